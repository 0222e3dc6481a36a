"""The simulator's clock: runs at any rate and can be put forward, never back."""

from __future__ import annotations

import threading
import time


class SimClock:
    """Epoch seconds, ``rate`` of them a second."""

    def __init__(self, rate: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._rate = rate
        self._base, self._since = time.time(), time.monotonic()

    def now(self) -> float:
        """The time of the simulation."""
        with self._lock:
            return self._now()

    def set_rate(self, rate: float) -> None:
        """From now on, ``rate`` seconds pass in one."""
        with self._lock:
            self._base, self._since, self._rate = self._now(), time.monotonic(), rate

    def forward(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        if seconds < 0:
            raise ValueError("the clock cannot go back")
        with self._lock:
            self._base += seconds

    def _now(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._rate
