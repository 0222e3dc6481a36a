"""Lengths of time as ARC's clients take them."""

from __future__ import annotations

import re

from act.descriptions import MAX_NUMBER, Word, Wrong

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_UNITS = {
    "w": ("w", "week", "weeks"), "d": ("d", "day", "days"), "h": ("h", "hour", "hours"),
    "m": ("m", "min", "mins", "minute", "minutes"), "s": ("s", "sec", "secs", "second", "seconds"),
}  # fmt: skip
_BY_NAME = {name: _SECONDS[unit] for unit, names in _UNITS.items() for name in names}
_ISO = re.compile(
    r"P(?:(?P<w>\d{1,12})W)?(?:(?P<d>\d{1,12})D)?(?:T(?:(?P<h>\d{1,12})H)?(?:(?P<m>\d{1,12})M)?(?:(?P<s>\d{1,12})S)?)?",
    re.IGNORECASE | re.ASCII,
)
_PART = re.compile(r"\s*(\d{1,12})\s*([A-Za-z]+)[\s,]*", re.ASCII)


def seconds(word: Word, what: str, low: int = 1) -> int:
    """``90`` (minutes), ``2 hours 30 minutes``, ``1d``, or ``PT2H`` of ISO 8601. Raises Wrong."""
    text = word.text.strip()
    found = _read(text[:100])
    if found is None:
        raise Wrong(word.at, f"{what} is {text[:100]!r}; write minutes, or as in '2 hours 30 minutes' or 'PT2H30M'")
    if not low <= found <= MAX_NUMBER:
        raise Wrong(word.at, f"{what} is {found} seconds; it must be from {low} to {MAX_NUMBER}")
    return found


def _read(text: str) -> int | None:
    if re.fullmatch(r"\d{1,12}", text, re.ASCII):
        return int(text) * 60
    if (iso := _ISO.fullmatch(text)) and any(iso.groups()):
        return sum(int(count) * _SECONDS[unit] for unit, count in iso.groupdict().items() if count)
    total, position = 0, 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or part[2].lower() not in _BY_NAME:
            return None
        total += int(part[1]) * _BY_NAME[part[2].lower()]
        position = part.end()
    return total if text else None
