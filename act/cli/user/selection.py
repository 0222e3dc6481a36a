"""Which jobs are meant: ids and ranges, part of the name, states; all that is said must hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_QUERY = 2000  # of the list of ids in a URL; servers refuse long first lines
MOST_IDS = 5000  # in one request
LARGEST_RANGE = 100_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Jobs by ids (first and last of each range), substring of the name, and states; empty: no matter which."""

    ids: tuple[tuple[int, int], ...] = ()
    name: str = ""
    states: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether it names no job in particular."""
        return not (self.ids or self.name or self.states)

    def queries(self) -> Iterator[dict[str, str]]:
        """As parameters of a URL; several if the ids do not fit into one."""
        rest = {key: value for key, value in (("name", self.name), ("state", ",".join(self.states))) if value}
        if not self.ids:
            yield rest
        for text in _pieces(_short(self.ids)):
            yield rest | {"id": text}

    def bodies(self) -> Iterator[dict[str, Any]]:
        """As bodies of requests to change jobs; several if there are many ids."""
        rest: dict[str, Any] = {"all": True} if self.everything else {}
        if self.name:
            rest["name"] = self.name
        if self.states:
            rest["states"] = list(self.states)
        if not self.ids:
            yield rest
        ids = [i for first, last in self.ids for i in range(first, last + 1)]
        for start in range(0, len(ids), MOST_IDS):
            yield rest | {"ids": ids[start : start + MOST_IDS]}


def of_ids(ids: Iterable[int]) -> Selection:
    """Exactly these jobs."""
    return Selection(tuple(_merged((i, i) for i in ids)))


def select(words: Sequence[str], name: str, states: Sequence[str]) -> Selection:
    """What a command line says: words such as 7, 5-9 or 1,2,5-9; states also with commas. Raises ValueError."""
    parts = (part.strip() for word in words for part in word.split(","))
    ranges = tuple(_merged(_range(part) for part in parts if part))
    wanted = tuple(dict.fromkeys(s.strip().lower() for word in states for s in word.split(",") if s.strip()))
    return Selection(ranges, name, wanted)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"'{text}' is no job id: give numbers and ranges such as 17 20-25 or 17,20-25")
    begin, end = int(first), int(last or first)
    if end < begin:
        raise ValueError(f"the range {text} ends before it begins")
    if end - begin >= LARGEST_RANGE:
        raise ValueError(f"the range {text} is too long: use --name, --state or --all")
    return begin, end


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted, without overlaps, as few as can be."""
    open_range: tuple[int, int] | None = None
    for first, last in sorted(ranges):
        if open_range and first <= open_range[1] + 1:
            open_range = (open_range[0], max(open_range[1], last))
            continue
        if open_range:
            yield open_range
        open_range = (first, last)
    if open_range:
        yield open_range


def compact(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Ranges as text: 17, 20-25."""
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]


def ids_as_text(ids: Iterable[int]) -> str:
    """Ids for people: 17,20-25."""
    return ",".join(compact(_merged((i, i) for i in ids)))


def _short(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same, none with more ids than a request may name."""
    for first, last in ranges:
        for start in range(first, last + 1, MOST_IDS):
            yield start, min(last, start + MOST_IDS - 1)


def _pieces(ranges: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Comma lists, none longer than a URL may be or with more ids than a request may name."""
    piece, n = "", 0
    for first, last in ranges:
        (word,) = compact([(first, last)])
        if piece and (len(piece) + 1 + len(word) > LONGEST_QUERY or n + last + 1 - first > MOST_IDS):
            yield piece
            piece, n = "", 0
        piece = f"{piece},{word}" if piece else word
        n += last + 1 - first
    if piece:
        yield piece


def array(text: str) -> list[int]:
    """Indices of a job array: 1-100, 0-9:3 (every third), 1,5,7-9. Raises ValueError."""
    found: dict[int, None] = {}
    for part in text.split(","):
        ends, _, step = part.strip().partition(":")
        first, last = _range(ends)
        if step and (not step.isdecimal() or int(step) == 0):
            raise ValueError(f"'{part}' is no array: give indices such as 1-100, 0-99:10 or 1,5,7-9")
        found |= dict.fromkeys(range(first, last + 1, int(step or 1)))
    return list(found)


def only_id(word: str) -> int:
    """The id of a command for a single job. Raises ValueError."""
    if not word.isdecimal():
        raise ValueError(f"'{word}' is no job id: this command takes one number, as actcli stat shows it")
    return int(word)
