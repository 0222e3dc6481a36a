"""Times in words."""

from __future__ import annotations

import re
import time

from act.errors import ActError

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|min|h|d|w)?")
_SECONDS = dict(_UNITS) | {"w": 604800, None: 1}


def span(seconds: float) -> str:
    """``40 s``, ``5 min``, ``2 h 10 min``, ``6 d 23 h``: two units at most, the lower one where it matters."""
    left = round(abs(seconds))
    for n, (unit, size) in enumerate(_UNITS):
        if left >= size:
            lower, lower_size = _UNITS[min(n + 1, len(_UNITS) - 1)]
            whole, rest = divmod(left, size)
            more = rest // lower_size if lower != unit and whole < 10 else 0
            return f"{whole} {unit} {more} {lower}" if more else f"{whole} {unit}"
    return "0 s"


def seconds(text: str) -> float:
    """``90``, ``90s``, ``20min``, ``2h``, ``1d``, ``1w``. Raises ActError."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise ActError(f"'{text[:50]}' is no length of time: say 20min, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def ago(at: float | None, now: float) -> str:
    """``5 min ago``, ``never``."""
    return "never" if at is None else f"{span(now - at)} ago"


def ahead(at: float, now: float) -> str:
    """``in 5 min``, ``now``."""
    return f"in {span(at - now)}" if at - now >= 0.5 else "now"


def clock(at: float) -> str:
    """``2026-11-22 08:15:00``, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def some(number: int, one: str, many: str = "") -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
