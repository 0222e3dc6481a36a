"""Work on many things with a few threads, that ends in order on Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar, cast

from act.cli.user.errors import Stopped
from act.cli.user.tool import note
from act.errors import ActError

T = TypeVar("T")

LOOK_S = 0.02
_END = object()


class Crew(Generic[T]):
    """Threads that take things one by one and work on them.

    work: raises an ActError only for what ends all work. It must call `check` now and then.
    """

    def __init__(self, work: Callable[[T], None]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._errors: list[ActError] = []
        self._running = 0

    def check(self) -> None:
        """Raises Stopped if work is to end."""
        if self._stop.is_set():
            raise Stopped("stopped")

    def run(self, size: int, things: Iterable[T]) -> None:
        """With so many threads, until all is done.

        Raises the first error of work, and KeyboardInterrupt, when all threads have ended.
        """
        ahead = iter(things)
        self._running = size
        for _ in range(size):
            threading.Thread(target=self._loop, args=(ahead,), daemon=True).start()
        try:
            self._wait()
        except KeyboardInterrupt:
            self._stop.set()
            note("ending in order; Ctrl-C again ends at once")
            self._wait()
            raise
        if self._errors:
            raise self._errors[0]

    @property
    def ended(self) -> bool:
        """Whether no work goes on any more; it still does after a second Ctrl-C."""
        return self._running == 0

    def _wait(self) -> None:
        # Not by Thread.join: before Python 3.13 it takes a thread for ended when Ctrl-C interrupts the waiting.
        while not self.ended:
            time.sleep(LOOK_S)

    def _loop(self, ahead: Iterator[T]) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    thing = next(ahead, _END)
                if thing is _END:
                    return
                self._work(cast(T, thing))
        except Stopped:
            pass
        except ActError as error:
            self._errors.append(error)
            self._stop.set()
        finally:
            with self._lock:
                self._running -= 1
