"""A child of the master: forked, tied to the master's life, beating through a pipe.

The pipe carries one NUL byte per beat and, before the child ends badly, the reason as text.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn, cast

from act.errors import ActError, Bug, ConfigError
from act.log import rename

EXIT_FAILED = 1
EXIT_CONFIG = 78  # EX_CONFIG: a restart would not help
BEAT = b"\0"
MAX_REASON_BYTES = 2000

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)

log = logging.getLogger(__name__)

# (own name, beat, "shall I stop?") -> exit code. It calls beat at least once a second, and returns soon after it is
# told to stop. Both are for the main thread and return at once.
Target = Callable[[str, Callable[[], None], Callable[[], bool]], int]


@dataclass(frozen=True)
class DaemonSpec:
    """One kind of daemon: what to run, as "module:attribute" or a callable, in how many processes."""

    name: str
    target: str | Target
    processes: int = 1

    def instances(self) -> tuple[str, ...]:
        """Names of its processes: the name itself, numbered if there are several."""
        if self.processes == 1:
            return (self.name,)
        return tuple(f"{self.name}.{n}" for n in range(1, self.processes + 1))

    def load(self) -> Target:
        """The target, imported; the master does it, so that children share the memory. Raises ConfigError."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return cast(Target, getattr(import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"daemon {self.name}: {self.target} cannot be loaded: {error}") from error


def spawn(name: str, target: Target, beat_s: float, close: Iterable[int]) -> tuple[int, int]:
    """Fork a child that runs the target in a process group of its own; returns its pid and the pipe to listen to.

    close: the master's own descriptors, which the child shall not hold. Raises OSError if there is no room.
    """
    listening, telling = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    master = os.getpid()
    # A signal between fork and the child's own handlers would be taken for one of the master's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(name, target, _Pulse(telling, beat_s), master, (listening, *close))
    except OSError:
        os.close(listening)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(telling)
    with suppress(ProcessLookupError):
        os.setpgid(pid, pid)  # so does the child: whoever comes first
    return pid, listening


class _Pulse:
    """The child's end of the pipe."""

    def __init__(self, descriptor: int, beat_s: float) -> None:
        self._descriptor, self._every, self._last = descriptor, beat_s / 2, float("-inf")

    def beat(self) -> None:
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._tell(BEAT)

    def reason(self, text: str) -> None:
        self._tell(text.encode(errors="replace").replace(BEAT, b"")[:MAX_REASON_BYTES])

    def _tell(self, data: bytes) -> None:
        # A master that is stopped does not read, one that is dead takes us with it: neither is our failure.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, data)


class _Stop:
    """Set by SIGTERM. A bare flag: an Event's lock may be held by the very thread that the signal interrupts."""

    asked = False

    def ask(self, *_: object) -> None:
        self.asked = True


def _live(name: str, target: Target, pulse: _Pulse, master: int, close: Iterable[int]) -> NoReturn:
    """From fork to exit; never returns into the master's stack, and joins no thread."""
    code = EXIT_FAILED
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == master:  # else it died before the line above
            code = _run(name, target, pulse, close)
    finally:
        logging.shutdown()
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _run(name: str, target: Target, pulse: _Pulse, close: Iterable[int]) -> int:
    """Run the target; translates what it raises into an exit code, a log line and a reason for the master."""
    try:
        stop = _settle(name, close)
        return target(name, pulse.beat, lambda: stop.asked)
    except ConfigError as error:
        pulse.reason(str(error))
        return EXIT_CONFIG
    except ActError as error:
        pulse.reason(str(error))
        log.error("ends: %s", error, exc_info=isinstance(error, Bug))
    except Exception as error:  # last stop before the process ends
        pulse.reason(f"{type(error).__name__}: {error}")
        log.critical("ends by an unexpected error", exc_info=True)
    return EXIT_FAILED


def _settle(name: str, close: Iterable[int]) -> _Stop:
    """Become a process of our own: group, name, descriptors, log, signals."""
    os.setpgid(0, 0)
    _libc.prctl(_PR_SET_NAME, name.encode()[:15])
    for descriptor in close:
        os.close(descriptor)
    rename(name)
    stop = _Stop()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):  # a handler of the master
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1)  # shows where every thread is
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return stop
