"""What languages of job descriptions share: bounds, names of files, and errors with the place and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from difflib import get_close_matches
from typing import NamedTuple

from act.errors import BadJobSpec
from act.model import JobSpec, OutputFile

MAX_CHARACTERS = 1_000_000
MAX_JOBS = 10_000
MAX_DEPTH = 20
MAX_NUMBER = 2**31 - 1
MAX_NAME = 400

_SHOWN = 100
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]*\S*", re.IGNORECASE)
_FILE_URL = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*|)", re.IGNORECASE | re.DOTALL)


class Word(NamedTuple):
    """A text of a description, and where in it that is: an offset in characters."""

    text: str
    at: int


class Wrong(BadJobSpec):
    """What is wrong with a description, and the offset where it is: for the modules of a language only."""

    def __init__(self, at: int, problem: str) -> None:
        super().__init__(problem)
        self.at = at


def bounded(text: str) -> str:
    """The text, if it is one that a person may have written. Raises BadJobSpec."""
    if len(text) > MAX_CHARACTERS:
        raise BadJobSpec(f"the description has {len(text)} characters, more than {MAX_CHARACTERS}: split it")
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise BadJobSpec(f"the description is no text: {e.reason} at character {e.start + 1}") from e
    return text


def shown(text: str, wrong: Wrong) -> BadJobSpec:
    """The error for people: line, column, what is wrong, and that line with a caret under the place."""
    at = min(max(wrong.at, 0), len(text))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line, column = text[start : end if end >= 0 else len(text)], at - start
    cut = max(0, column - _SHOWN // 2)
    part = "".join(c if c.isprintable() else " " for c in line[cut : cut + _SHOWN])
    place = f"line {text.count(chr(10), 0, start) + 1}, column {column + 1}"
    return BadJobSpec(f"{place}: {wrong}\n  {part}\n  {' ' * (column - cut)}^")


def meant(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known name that is most alike, "" if none is."""
    found = get_close_matches(name.lower()[:_SHOWN], known, 1)
    return f"; did you mean '{found[0]}'?" if found else ""


def plain(word: Word, what: str) -> str:
    """A text that a request can carry: without control characters but tabs."""
    if found := _CONTROL.search(word.text):
        raise Wrong(word.at, f"{what} has the character {found[0]!r} in it, which no CE would get")
    return word.text


def number(word: Word, what: str, low: int = 0, high: int = MAX_NUMBER) -> int:
    """A whole number within bounds."""
    text = word.text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 15 and low <= int(text) <= high):
        raise Wrong(word.at, f"{what} is {word.text[:_SHOWN]!r}; it must be a whole number from {low} to {high}")
    return int(text)


def is_url(text: str) -> bool:
    return _URL.fullmatch(text) is not None


def local_path(word: Word) -> str | None:
    """The path of a file of the author, also if written as a file:// URL; None for what is elsewhere."""
    text = plain(word, "the path")
    if found := _FILE_URL.fullmatch(text):
        if found["host"] not in (None, "", "localhost") or not found["path"]:
            raise Wrong(word.at, f"{text[:_SHOWN]!r} is not a file of yours: write its path")
        return found["path"]
    if "://" in text:
        if not is_url(text):
            raise Wrong(word.at, f"{text[:_SHOWN]!r} is not a URL: it has spaces, or no scheme")
        return None
    return text


def file_name(word: Word, what: str, *, folder: bool = False) -> str:
    """The name of a file in the job's directory, without ``./``. folder: it may end with ``/``, for all that is below.

    Names that lead out of the directory are refused.
    """
    text = plain(word, what)
    if len(text) > MAX_NAME:
        raise Wrong(word.at, f"{what} has {len(text)} characters, more than {MAX_NAME}")
    parts = [p for p in text.split("/") if p not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise Wrong(word.at, f"{what} {text!r} leads out of the job's directory: write a path relative to it")
    if not parts or (text.endswith("/") and not folder):
        raise Wrong(word.at, f"{what} {text!r} is not the name of a file")
    return "/".join(parts) + ("/" if text.endswith("/") else "")


def fetched(outputs: Iterable[OutputFile]) -> tuple[str, ...]:
    """What is to be brought back of the outputs: those that the CE sends nowhere, but no list by the job (``@``)."""
    return tuple(o.name for o in outputs if not o.destination and not o.name.startswith("@"))


def faithful(spec: JobSpec, text: str, read: Callable[[str], list[JobSpec]]) -> str:
    """The text, if it says of the job all that there is. Raises BadJobSpec naming what it cannot say."""
    try:
        back, *others = read(text)
    except BadJobSpec as e:
        raise BadJobSpec(f"the job cannot be written in this language: {e}") from e
    if others:
        raise BadJobSpec("the job cannot be written in this language: its texts would make several jobs")
    for field in fields(JobSpec):
        if getattr(back, field.name) != getattr(spec, field.name):
            told, wanted = repr(getattr(back, field.name)), repr(getattr(spec, field.name))
            raise BadJobSpec(f"this language cannot say {field.name} {wanted[:300]}; it would become {told[:300]}")
    return text
