"""Times and sizes as people write and read them."""

from __future__ import annotations

import re
import time

_SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"k": 1 / 1000, "kb": 1 / 1000, "m": 1, "mb": 1, "g": 1000, "gb": 1000, "t": 1_000_000, "tb": 1_000_000}
_CLOCK = re.compile(r"(\d+):([0-5]\d)(?::([0-5]\d))?")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(text: str) -> int:
    """A span such as 90m, 1h30m, 2d or 1:30:00 (h:mm:ss) in seconds. Raises ValueError; so for a bare number."""
    text = text.strip().lower()
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest = clock.groups(default="0")
        return int(hours) * 3600 + int(minutes) * 60 + int(rest)
    found = _SPAN.findall(text)
    if not found or _SPAN.sub("", text) or any(unit not in _SPANS for _, unit in found):
        raise ValueError(f"'{text}' is no time: write it like 90m, 2h, 1h30m or 1:30:00")
    return max(1, round(sum(float(number) * _SPANS[unit] for number, unit in found)))


def megabytes(text: str) -> int:
    """A size such as 2000 (MB), 2GB or 500M in MB, at least 1. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip().lower())
    if not found or (found[2] or "m") not in _SIZES:
        raise ValueError(f"'{text}' is no size: write it like 2000 (MB), 500MB or 2GB")
    return max(1, round(float(found[1]) * _SIZES[found[2] or "m"]))


def span(length_s: float | None) -> str:
    """45 s, 12 min, 3 h 20 min, 4 d 2 h."""
    if length_s is None:
        return ""
    length = max(0, round(length_s))
    if length < 100:
        return f"{length} s"
    minutes = round(length / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(length / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def size(n_bytes: float | None) -> str:
    """17 B, 3.4 kB, 120 MB; in steps of 1000."""
    if n_bytes is None:
        return ""
    if n_bytes < 1000:
        return f"{n_bytes:.0f} B"
    value = float(n_bytes)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.5 or unit == "PB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def moment(epoch_s: float | None, now: float | None = None) -> str:
    """A time here: 14:03:22 for today's, otherwise with its date."""
    if epoch_s is None:
        return ""
    then, today = time.localtime(epoch_s), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    return time.strftime("%b %d %H:%M" if then[0] == today[0] else "%Y-%m-%d %H:%M", then)
