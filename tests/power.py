"""The tower's power supply: dying and failing at any effect, in one process."""

from __future__ import annotations

from collections.abc import Callable

from act.errors import ActError, CEUnreachable


class Crash(BaseException):
    """The tower's process is dead; nothing it does any more has an effect."""


class Power:
    """The tower's power supply: counts the effects, can be cut at any of them, and can make any of them fail."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self._cut_at: int | None = None
        self._fail_at: int | None = None
        self._off = False

    def cut_at(self, number: int) -> None:
        """Die at the effect with this number, counted from now."""
        self.passed, self._cut_at = [], number

    def fail_at(self, number: int) -> None:
        """Let the effect with this number, counted from now, end in an error."""
        self.passed, self._fail_at = [], number

    def restore(self) -> None:
        """Power is back, for good, and nothing fails."""
        self._cut_at, self._fail_at, self._off = None, None, False

    def hit(self, point: str, phase: str, error: Callable[[str], ActError] = CEUnreachable) -> None:
        """Pass a point; stands in for `act.faults.hit`. Raises Crash, or ``error``."""
        if self._off:
            raise Crash
        number = len(self.passed)
        self.passed.append(f"{point}:{phase}")
        if number == self._cut_at:
            self._off = True
            raise Crash
        if number == self._fail_at:
            raise error(f"injected at {point}:{phase}")
