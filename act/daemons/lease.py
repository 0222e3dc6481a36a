"""The holder's side of a claim."""

from __future__ import annotations

import os
import secrets
import socket
import time

from act.config import CORE_FILE, Leases
from act.errors import ConfigError, StaleClaim


class Lease:
    """The holder's side of a claim: good until ``lease_s`` minus a margin have passed on the monotonic clock."""

    def __init__(self, name: str, lease_s: float, margin_s: float) -> None:
        self.holder = f"{holders_of(name)}{os.getpid()}:{secrets.token_hex(4)}"
        self.lease_s = lease_s
        usable_s = lease_s - min(margin_s, lease_s / 4)
        self._end = time.monotonic() + usable_s
        self._half_s = usable_s / 2

    def covers(self, seconds: float) -> bool:
        """Whether a call that begins now and may take so long ends within the lease."""
        return time.monotonic() + seconds < self._end

    def has_time_for(self, seconds: float) -> bool:
        """Whether to begin with one more of several things, each of which may take so long. A lease that is too short
        even for one (`must_cover` tells the operator) is good for that in its first half."""
        return self.covers(min(seconds, self._half_s))

    def check(self) -> None:
        """Before every effect: StaleClaim if the lease may have ended."""
        if not self.covers(0.0):
            raise StaleClaim("the lease ended before the work did; somebody else may hold the rows now")


def must_cover(leases: Leases, setting: str, seconds: float) -> None:
    """Raises ConfigError if a call that may take so long does not end within a lease. setting: what says how long."""
    longest_s = leases.lease_s - leases.margin_s
    if seconds >= longest_s:
        raise ConfigError(
            f"{setting} is {seconds:g} s, which must be less than leases/lease_s without margin_s, {longest_s:g} s, in "
            f"{CORE_FILE}: others would take over what is still being worked on. Lower the one or raise lease_s"
        )


def holders_of(name: str) -> str:
    """What the holders of all claims by this daemon on this host begin with."""
    return f"{name}@{socket.gethostname()}:"


def is_dead(holder: str) -> bool:
    """Whether the process that made the claim, on this host, is gone."""
    pid = int(holder.split(":")[1])
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
