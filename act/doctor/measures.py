"""Measures that several looks share: how far clocks may differ, how full a disk may be, how open a secret. Pure."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from act.doctor.check import Check, bad, good, unchecked, warning
from act.explain.words import span

SKEW_WARNING_S, SKEW_BAD_S = 5.0, 60.0
GIB = 1 << 30
# A disk is full by its share, unless what is left is a lot all the same.
FULL, FULL_BYTES = 0.03, 20 * GIB
FILLING, FILLING_BYTES = 0.10, 50 * GIB


@dataclass(frozen=True)
class Space:
    """Of a file system: bytes and inodes, free for us and in all. inodes 0: it does not count them."""

    free: int
    size: int
    free_inodes: int
    inodes: int


def clock(what: str, ahead_s: float | None) -> Check:
    """ahead_s: by how much the other clock is ahead of this host's; None: it did not say."""
    if ahead_s is None:
        return unchecked(what, "it did not tell the time")
    told = f"{span(ahead_s)} {'ahead of' if ahead_s > 0 else 'behind'} this host's"
    todo = "set the clocks right (chrony, ntpd): leases, credentials and deadlines go by them"
    if abs(ahead_s) > SKEW_BAD_S:
        return bad(what, told, todo)
    if abs(ahead_s) > SKEW_WARNING_S:
        return warning(what, told, todo)
    return good(what, f"agrees with this host's to {SKEW_WARNING_S:.0f} s")


def space(what: str, where: str, of: Space) -> Check:
    """How much is left where the tower writes."""
    share = of.free / of.size if of.size else 0.0
    inodes = of.free_inodes / of.inodes if of.inodes else 1.0
    told = f"{where}: {amount(of.free)} ({share:.0%}) free"
    if inodes < FILLING:
        told += f", {of.free_inodes} inodes ({inodes:.0%})"
    todo = "make room: nothing can be written there when it is full"
    if (share < FULL and of.free < FULL_BYTES) or inodes < FULL:
        return bad(what, told, todo)
    if (share < FILLING and of.free < FILLING_BYTES) or inodes < FILLING:
        return warning(what, told, todo)
    return good(what, told)


def private(what: str, where: str, *, mode: int, owner: str, expected: str) -> Check:
    """A file that must be nobody else's. owner, expected: names of accounts."""
    open_to = mode & (stat.S_IRWXG | stat.S_IRWXO)
    told = f"{where}: mode {stat.S_IMODE(mode):o}, owner {owner}"
    if open_to:
        return bad(what, told, f"others can get at it: chmod 600 {where}")
    if owner != expected:
        return bad(what, told, f"the tower runs as {expected}: chown {expected} {where}")
    return good(what, told)


def amount(size: int) -> str:
    """``12.3 GiB``, ``340 MiB``."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size >> 20} MiB"
