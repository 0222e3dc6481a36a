"""Values of submit commands: arguments, environment, sizes, lists of files and attributes of a job's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import ceil

from act.descriptions import MAX_NUMBER, Word, Wrong, number, plain

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"(\d{1,15})\s*(?:([KMGT])B?)?", re.IGNORECASE | re.ASCII)
_KIB = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}
_PART = re.compile(r"[^\s']+|'[^']*'|(\s+)")
_NUMBER_OR_TRUTH = re.compile(r"[+-]?\d+(\.\d+)?|true|false", re.IGNORECASE | re.ASCII)


def arguments(word: Word) -> list[str]:
    """In the new syntax, within double quotes, or in the old one: words, with ``\\"`` for a quote."""
    plain(word, "arguments")
    if word.text.startswith('"'):
        return list(_new(word))
    if '"' in word.text.replace('\\"', ""):
        raise Wrong(word.at, "arguments with quotes in them are written within double quotes: \"one 'number two'\"")
    return word.text.replace('\\"', '"').split()


def environment(word: Word) -> list[tuple[str, str]]:
    """In the new syntax, within double quotes, or in the old one: ``NAME=value;NAME=value``."""
    plain(word, "environment")
    settings = list(_new(word)) if word.text.startswith('"') else [s for s in word.text.split(";") if s.strip()]
    pairs = [setting.partition("=") for setting in settings]
    for name, sign, _ in pairs:
        if not sign or not _VARIABLE.fullmatch(name.strip()):
            raise Wrong(word.at, f"environment: {name[:100]!r} is not a setting; write \"NAME=value OTHER='a b'\"")
    return [(name.strip(), value) for name, _, value in pairs]


def _new(word: Word) -> Iterable[str]:
    """Words of the new syntax: within double quotes; single ones keep spaces; both are written twice to have them."""
    text = word.text
    if len(text) < 2 or not text.endswith('"') or '"' in text[1:-1].replace('""', ""):
        raise Wrong(word.at, 'a value in double quotes ends with one, and has "" for each that is inside')
    inside, parts, position = text[1:-1].replace('""', '"'), list[str](), 0
    while position < len(inside):
        part = _PART.match(inside, position)
        if part is None:
            raise Wrong(word.at, "a single quote has no second one; inside of single quotes, '' is one")
        if part[1] is not None:
            if parts:
                yield "".join(parts)
            parts = []
        elif part[0].startswith("'"):
            follows = inside.startswith("'", part.end())
            parts.append(part[0][1:-1] + ("'" if follows else ""))
        else:
            parts.append(part[0])
        position = part.end()
    if parts:
        yield "".join(parts)


def quoted(words: Iterable[str]) -> str:
    """Words as the new syntax has them."""
    told = (f"'{w}'" if (w := word.replace("'", "''")) != word or not w or re.search(r"\s", w) else w for word in words)
    return '"' + " ".join(told).replace('"', '""') + '"'


def megabytes(word: Word, what: str, unit: str) -> int:
    """A size with or without K, M, G, T (then in unit), rounded up."""
    found = _SIZE.fullmatch(word.text)
    size = ceil(int(found[1]) * _KIB[(found[2] or unit).upper()] / 1024) if found else -1
    if not 0 <= size <= MAX_NUMBER:
        raise Wrong(word.at, f"{what} is {word.text[:100]!r}; it must be a size such as 2000M or 2G, no expression")
    return size


def paths(word: Word, what: str) -> list[Word]:
    """A list with commas."""
    plain(word, what)
    if '"' in word.text:
        raise Wrong(word.at, f"{what} is a list with commas, without quotes")
    return [Word(part.strip(), word.at) for part in word.text.split(",") if part.strip()]


def attribute(word: Word, name: str) -> str:
    """A number, true, false or a text in double quotes, which has a backslash before each quote."""
    text = plain(word, name)
    if _NUMBER_OR_TRUTH.fullmatch(text):
        return text
    inside = re.fullmatch(r'"((?:[^"\\]|\\")*)"', text)
    if inside is None:
        raise Wrong(word.at, f'+{name} is {text[:100]!r}; it can be a number, true, false or a "text"')
    value = inside[1].replace('\\"', '"')
    if _NUMBER_OR_TRUTH.fullmatch(value):
        raise Wrong(word.at, f"+{name} would be a text that is taken as {value}: write it without quotes")
    return value


def attribute_written(value: str) -> str:
    return value if _NUMBER_OR_TRUTH.fullmatch(value) else '"' + value.replace('"', '\\"') + '"'


def whole(word: Word, what: str, low: int = 1, high: int = MAX_NUMBER) -> int:
    """A number, also one in double quotes, as attributes may have it."""
    return number(Word(word.text.strip('"'), word.at), what, low, high)
