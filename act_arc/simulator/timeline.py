"""One thread that does things at their time, whatever their number."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Timeline:
    """Calls functions at given times (seconds since the epoch), one after the other."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call in ``seconds`` from now; at once and in this thread if there is nothing to wait for."""
        if seconds <= 0:
            call()
            return
        with self._wake:
            heapq.heappush(self._due, (time.time() + seconds, next(self._order), call))
            self._wake.notify()

    def stop(self) -> None:
        """Forget what is still to come."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while call := self._next():
            call()

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            while not self._stopped:
                wait = self._due[0][0] - time.time() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._wake.wait(wait)
        return None
