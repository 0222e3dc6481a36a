"""xRSL as A-REX reads it: enough to take in what clients send, and to refuse what A-REX refuses.

Independent of the product's own xRSL code on purpose: a fault there must not cancel out here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

Value = str | list["Value"]
Relation = dict[str, list[Value]]
_TOKEN = re.compile(r"""\s*(?:\(\*.*?\*\)\s*)*(?:(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<mark>[()&+=|])|(?P<word>[^\s()&+=|"'<>!]+))""", re.S)  # fmt: skip  # noqa: E501
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


class RslError(Exception):
    """The text is not RSL; the message is A-REX's."""


@dataclass(frozen=True)
class Description:
    """What A-REX takes from one job's xRSL; inputs and outputs are (name, URL), times None if not given."""

    text: str
    name: str
    executable: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    executables: tuple[str, ...]
    stdin: str
    stdout: str
    stderr: str
    join: bool
    gmlog: str
    queue: str
    delegation: str
    slots: int
    walltime_s: float | None
    cputime_s: float | None
    priority: int
    reruns: int

    @property
    def uploads(self) -> frozenset[str]:
        """Names of the inputs that the client must bring itself: no source, or only a size."""
        return frozenset(name for name, source in self.inputs if re.fullmatch(r"(\d+(\.\d+)?)?", source))


def split(text: str) -> tuple[list[str], bool]:
    """The texts of the single jobs in a request, and whether it was a multi-request (``+``).

    Raises RslError if a multi-request does not parse; a single one is left to `describe`.
    """
    if not text.lstrip().startswith("+"):
        return [text], False
    tokens = _Tokens(text)
    tokens.take("+")
    parts = []
    while tokens.peek() == "(":
        tokens.take("(")
        start = tokens.position
        _relations(tokens)
        parts.append(text[start : tokens.position].strip())
        tokens.take(")")
    tokens.finish()
    return parts, True


def describe(text: str) -> Description:
    """Read one job's xRSL; raises RslError."""
    tokens = _Tokens(text)
    given = _relations(tokens)
    tokens.finish()
    walltime, cputime = _text(given, "walltime"), _text(given, "cputime")
    return Description(
        text=text,
        name=_text(given, "jobname"),
        executable=_text(given, "executable"),
        arguments=_texts(given, "arguments"),
        environment=_pairs(given, "environment"),
        inputs=_pairs(given, "inputfiles"),
        outputs=_pairs(given, "outputfiles"),
        executables=_texts(given, "executables"),
        stdin=_text(given, "stdin"),
        stdout=_text(given, "stdout"),
        stderr=_text(given, "stderr"),
        join=_text(given, "join").lower() in ("yes", "true"),
        gmlog=_text(given, "gmlog"),
        queue=_text(given, "queue"),
        delegation=_text(given, "delegationid"),
        slots=_number(given, "count", 1),
        walltime_s=_seconds(walltime) if walltime else None,
        cputime_s=_seconds(cputime) if cputime else None,
        priority=_number(given, "priority", 50),
        reruns=_number(given, "rerun", 0),
    )


class _Tokens:
    """A text and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def _match(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.position)

    def peek(self) -> str:
        """The mark that comes next, ``v`` for a value, or "" at the end."""
        found = self._match()
        return (found["mark"] or "v") if found else ""

    def take(self, mark: str) -> None:
        """Read exactly this mark."""
        found = self._match()
        if not found or found["mark"] != mark:
            raise RslError(f"'{mark}' expected")
        self.position = found.end()

    def value(self) -> str:
        """Read a word or a quoted text, in which a doubled quote stands for one."""
        found = self._match()
        if not found or found["mark"]:
            raise RslError("')' expected")
        self.position = found.end()
        if found["word"]:
            return found["word"]
        quote = found["quoted"][0]
        return found["quoted"][1:-1].replace(quote * 2, quote)

    def finish(self) -> None:
        """Nothing but white space may be left."""
        if self.text[self.position :].strip():
            raise RslError("Junk at end of RSL")


def _relations(tokens: _Tokens) -> Relation:
    """``& (attribute = values) ...``; attribute names in lower case without underscores, as A-REX compares them."""
    found: Relation = {}
    if tokens.peek() == "&":
        tokens.take("&")
    while tokens.peek() == "(":
        tokens.take("(")
        name = tokens.value().lower().replace("_", "")
        tokens.take("=")
        found.setdefault(name, []).extend(_values(tokens))
        tokens.take(")")
    if not found:
        raise RslError("'(' expected")
    return found


def _values(tokens: _Tokens) -> list[Value]:
    values: list[Value] = []
    while (kind := tokens.peek()) not in (")", ""):
        if kind == "(":
            tokens.take("(")
            values.append(_values(tokens))
            tokens.take(")")
        else:
            values.append(tokens.value())
    return values


def _texts(given: Relation, name: str) -> tuple[str, ...]:
    return tuple(v for v in given.get(name, []) if isinstance(v, str))


def _text(given: Relation, name: str) -> str:
    return next(iter(_texts(given, name)), "")


def _pairs(given: Relation, name: str) -> tuple[tuple[str, str], ...]:
    def read() -> Iterator[tuple[str, str]]:
        for item in given.get(name, []):
            words = [v for v in item if isinstance(v, str)] if isinstance(item, list) else []
            if words:
                yield words[0].lstrip("/") or "/", words[1] if len(words) > 1 else ""

    return tuple(read())


def _number(given: Relation, name: str, default: int) -> int:
    text = _text(given, name)
    return int(text) if re.fullmatch(r"\d+", text) else default


def _seconds(text: str) -> float:
    """``90``, ``"1 hour"`` or ``"1 hour 30 minutes"`` in seconds. A bare number is seconds here, although for ARC's
    own clients it is minutes (seen on 7.0 and 6.17); what cannot be read counts as nothing."""
    if re.fullmatch(r"[\d.]+", text):
        return float(text)
    parts = re.findall(r"([\d.]+)\s*(second|minute|hour|day|week)s?", text.lower())
    return sum(float(n) * _UNITS[unit] for n, unit in parts)
