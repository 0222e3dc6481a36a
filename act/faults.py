"""Ports and fault points: every effect goes through a port, is timed, and can be made to die, stall or fail.

`port(name, obj)` wraps an adapter so that each public method call passes two fault points, ``<name>.<method>:before``
and ``...:after``, and is told to `act.metrics` (or to whom the caller names). `act.db.engine.Database.tx` does the same
for transactions (``tx.<label>``). Because effects have no other way out, the list of points is complete by
construction; a lint test keeps it so.

Faults are chosen by the environment variable ACT_FAULT = ``<point>:<before|after>:<die|stall|fail>[:<seconds>]``, or
several of these with blanks between them; each strikes once per process (with ACT_FAULT_ONCE = a directory: once for
all processes that share it; a file ``<point>:<phase>`` there says that it has struck).
ACT_FAULT_RECORD = a path appends every point passed, one per line.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from act import metrics
from act.errors import TemporaryError

T = TypeVar("T")
Told = Callable[[str, float, BaseException | None], None]  # a call, how many seconds it took, and what it raised


class InjectedFault(TemporaryError):
    """The failure a fault point was told to raise; looks like any other temporary error."""


def hit(point: str, phase: str, error: Callable[[str], TemporaryError] = InjectedFault) -> None:
    """Pass a fault point. ``error`` makes the exception that this port's real failures would be."""
    record = os.environ.get("ACT_FAULT_RECORD")
    if record:
        with Path(record).open("a") as f:
            f.write(f"{point}:{phase}\n")
    place = f"{point}:{phase}"
    for wanted in os.environ.get("ACT_FAULT", "").split():
        if wanted.startswith(f"{place}:") and not _struck_before(wanted, place):
            _strike(wanted.removeprefix(f"{place}:"), place, error)


def _strike(what: str, place: str, error: Callable[[str], TemporaryError]) -> None:
    action, _, seconds = what.partition(":")
    if action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stall":
        time.sleep(float(seconds))
    else:
        raise error(f"injected fault at {place}")


def _struck_before(wanted: str, place: str) -> bool:
    """True from the second time on; a file makes it once over all processes."""
    once = os.environ.get("ACT_FAULT_ONCE")
    if not once:
        os.environ["ACT_FAULT"] = " ".join(f for f in os.environ["ACT_FAULT"].split() if f != wanted)
        return False
    try:
        os.close(os.open(f"{once}/{place}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return True
    return False


class _Port:
    """Proxy whose public methods pass the fault points of the port."""

    def __init__(self, name: str, target: object, error: Callable[[str], TemporaryError], told: Told) -> None:
        self._name, self._target, self._error, self._told = name, target, error, told

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._target, attribute)
        if not callable(value) or attribute == "close":  # giving back connections is no effect and cannot fail
            return value

        @functools.wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            point = f"{self._name}.{attribute}"
            hit(point, "before", self._error)
            with metrics.timed(functools.partial(self._told, attribute)):
                result = value(*args, **kwargs)
            hit(point, "after", self._error)
            return result

        return call


def port(
    name: str, target: T, error: Callable[[str], TemporaryError] = InjectedFault, *, told: Told | None = None
) -> T:
    """``target`` with fault points around each public method. told: hears of each call, instead of `act.metrics`."""
    return cast(T, _Port(name, target, error, told or functools.partial(metrics.port_call, name)))
