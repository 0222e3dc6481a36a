"""What errors of the same cause have in common."""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST = 1000  # characters of a text that count

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
# Small numbers that say what is wrong.
_CODE = r"\b(?i:(?:exit|sub)?code|errno|signal|status)\W{0,2}\d{1,5}\b|\b[45]\d\d (?=[A-Z])"
_Instead = str | Callable[[re.Match[str]], str]
_RULES: list[tuple[re.Pattern[str], _Instead]] = [
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"\s+", " "),
        (r"\b([a-z][a-z0-9+.-]*://[^\s/'\"<>()]+)/[^\s'\"<>()]*", r"\1/*"),  # what is behind the host of a URL
        (r"(?<![\w.:*/])/(?:[^\s/'\"<>():,;]+/)+[^\s/'\"<>():,;]*", "/*"),  # paths
        (rf"\b{_DAY},? (?=\d|{_MONTH} +\d)", ""),
        (rf"\b{_MONTH} +(?=\d)|(?<=\d[ -]){_MONTH}(?=[ -]\d)", "#"),
        (r"\b0x[0-9a-fA-F]+\b", "#"),
        (r"\b(?=[a-fA-F-]{0,40}\d)[0-9a-fA-F]{6,}(?:-[0-9a-fA-F]{4,})*\b", "#"),  # hexadecimal numbers, UUIDs
        (r"\b(?=(?:[A-Za-z_]{0,40}\d){3})\w{16,}\b", "#"),  # what only machines call so
        (rf"({_CODE})|\d+", lambda found: found[1] or "#"),
        (r"#(?:[\s.,:;/+TZ-]*#)+Z?", "#"),  # several in a row: versions, times, addresses, lists
    )
]


def likeness(text: str) -> str:
    """The text without what differs from one such error to the next: numbers, times, ids, paths. Exit codes stay."""
    text = text[:LONGEST]
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text.strip()
