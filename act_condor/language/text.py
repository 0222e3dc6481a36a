"""Text of a submit description -> the commands of each job that it queues, with macros put in.

Nothing is read but the text: items come from lists in it, and macros that would read files, the environment or what
is only known later are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from act.descriptions import MAX_CHARACTERS, MAX_DEPTH, MAX_JOBS, Word, Wrong

_MAX_NAMES = 500
_MACRO_COST = 50  # characters that are as much work as to put in a macro
_ASSIGNMENT = re.compile(r"\s*(\+?\s*[A-Za-z_][\w.]*)\s*=(?!=)\s*(.*?)\s*", re.DOTALL)
_QUEUE = re.compile(r"\s*queue\b(?!\s*=)(.*)", re.IGNORECASE | re.DOTALL)
_FOREACH = re.compile(
    r"(?P<head>.*?)(?:^|(?<=[\s,]))(?P<how>in|from|matching)\b(?P<items>.*)", re.IGNORECASE | re.DOTALL
)
_REFERENCE = re.compile(r"\$\(\s*(\w+)")
_MACRO = re.compile(r"\$\(\s*(?P<name>\w+)\s*(?::(?P<default>[^()$]*))?\)")
_MACRO_START = re.compile(r"\$\$?\w*[(\[]")
_LATER = frozenset({"cluster", "clusterid"})
_KEYWORD = re.compile(r"\s*@?(include|if|elif|else|endif|use|error|warning)\b", re.IGNORECASE)


class Command(NamedTuple):
    """The value of a command as it is written, and the offsets of it and of the command's name."""

    text: str
    at: int
    named_at: int


@dataclass
class Budget:
    """How many characters may come out of the macros of a description, however many jobs it makes."""

    left: int = 10 * MAX_CHARACTERS

    def spend(self, characters: int, at: int) -> None:
        self.left -= _MACRO_COST + characters
        if self.left < 0:
            raise Wrong(at, f"the macros make more than {10 * MAX_CHARACTERS} characters of this description: split it")


@dataclass(frozen=True)
class Job:
    """One job.

    commands: by names in small letters, ``+name`` for those with a ``+`` or ``My.``; macros are not put in yet.
    at: where it was queued. own: macros of this job alone. referenced: names that some macro refers to.
    """

    at: int
    commands: Mapping[str, Command]
    own: Mapping[str, str]
    referenced: frozenset[str]
    budget: Budget = field(repr=False)

    def value(self, name: str) -> Word | None:
        """A command's value; None without one, or if it is empty."""
        raw = self.commands.get(name)
        if raw is None:
            return None
        text = self.expanded(raw).strip()
        return Word(text, raw.at) if text else None

    def expanded(self, raw: Word | Command, depth: int = 0) -> str:
        """The text with its macros put in. Raises Wrong."""
        if depth > MAX_DEPTH:
            raise Wrong(raw.at, f"macros refer to each other more than {MAX_DEPTH} times")
        parts, position = [], 0
        while start := _MACRO_START.search(raw.text, position):
            macro = _MACRO.match(raw.text, start.start())
            if macro is None:
                raise Wrong(raw.at, _not_possible(start[0]))
            parts += [raw.text[position : start.start()], self._macro(macro, raw.at, depth)]
            position = macro.end()
            self.budget.spend(len(parts[-1]), raw.at)
        return "".join([*parts, raw.text[position:]])

    def _macro(self, macro: re.Match[str], at: int, depth: int) -> str:
        name, default = macro["name"].lower(), macro["default"]
        if name in self.own:
            return self.expanded(Word(self.own[name], at), depth + 1) if "$" in self.own[name] else self.own[name]
        if name in self.commands:
            return self.expanded(self.commands[name], depth + 1)
        if name == "dollar":
            return "$"
        if default is not None:
            return str(default)
        if name in _LATER:
            raise Wrong(
                at, f"$({macro['name']}) is not known here: use $(Process), each job has a directory of its own"
            )
        raise Wrong(at, f"$({macro['name']}) is not defined: a line {macro['name']} = ... does that")


def _not_possible(start: str) -> str:
    if start.startswith("$$"):
        return "$$(...) is a matter of machines, which only the CE knows: leave it out"
    if start.upper() == "$ENV(":
        return "$ENV(...) would be the environment of the tower, not yours: write the value"
    if start == "$(":
        return "this macro has no end, or others in it: write $(NAME) or $(NAME:default)"
    return f"{start}...) is not possible here: only macros such as $(NAME) are, and $(DOLLAR) for a '$'"


def read(text: str) -> list[Job]:
    """All jobs, in order. Raises Wrong."""
    commands: dict[str, Command] = {}
    referenced = frozenset(name.lower() for name in _REFERENCE.findall(text))
    budget, held = Budget(), None
    jobs: list[Job] = []
    lines = _Lines(text)
    for line in lines:
        if found := _QUEUE.fullmatch(line.text):
            held = dict(commands) if held is None else held
            for own in _queued(found[1], line, lines, Job(line.at, held, {}, referenced, budget)):
                jobs.append(Job(line.at, held, own | {"process": str(len(jobs))}, referenced, budget))
                if len(jobs) > MAX_JOBS:
                    raise Wrong(line.at, f"these are more than {MAX_JOBS} jobs: split the description")
        else:
            _assign(commands, line)
            held = None
    if not jobs:
        raise Wrong(len(text.rstrip()), "there is no queue statement, so no job: add the line 'queue'")
    return [Job(j.at, j.commands, {**j.own, "procid": j.own["process"]}, referenced, budget) for j in jobs]


class _Lines(Iterator[Word]):
    """The lines that say something, those that end with a backslash joined with the next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def __next__(self) -> Word:
        while True:
            line = self.plain()
            if line.text.strip() and not line.text.lstrip().startswith("#"):
                break
        parts = [line.text]
        while parts[-1].endswith("\\") and self._at < len(self._text):
            parts[-1] = parts[-1][:-1]
            parts.append(self.plain().text)
        return Word("".join(parts).removesuffix("\\"), line.at)

    def plain(self) -> Word:
        """The next line as it is. Raises StopIteration at the end."""
        if self._at >= len(self._text):
            raise StopIteration
        at = self._at
        end = self._text.find("\n", at)
        end = len(self._text) if end < 0 else end
        self._at = end + 1
        return Word(self._text[at:end].rstrip("\r"), at)


def _assign(commands: dict[str, Command], line: Word) -> None:
    start = line.at + len(line.text) - len(line.text.lstrip())
    found = _ASSIGNMENT.fullmatch(line.text)
    if found is None or "@=" in line.text[: found.start(2)]:
        if keyword := _KEYWORD.match(line.text):
            raise Wrong(start, f"'{keyword[1]}' is not possible here: only commands, macros and queue are")
        raise Wrong(start, "this is neither NAME = VALUE nor a queue statement")
    name = re.sub(r"^my\.", "+", re.sub(r"\s", "", found[1]).lower())
    value = Word(found[2], line.at + found.start(2))
    if name in commands and "$(" in value.text:
        value = _extended(value, name, commands[name].text)
    commands[name] = Command(*value, start)
    if len(commands) > _MAX_NAMES:
        raise Wrong(start, f"there are more than {_MAX_NAMES} different commands and macros")


def _extended(value: Word, name: str, before: str) -> Word:
    """The value, where it refers to its own name with what that was before."""
    own = re.compile(rf"\$\(\s*{re.escape(name)}\s*\)", re.IGNORECASE)
    if len(own.findall(value.text)) * len(before) > MAX_CHARACTERS:
        raise Wrong(value.at, f"the value of {name} has more than {MAX_CHARACTERS} characters")
    return Word(own.sub(lambda _: before, value.text), value.at)


def _queued(text: str, line: Word, lines: _Lines, macros: Job) -> Iterator[dict[str, str]]:
    """The macros of each job that a queue statement makes."""
    found = _FOREACH.fullmatch(text.strip())
    head = (found["head"] if found else text).replace(",", " ").split()
    count = _count(head.pop(0), line, macros) if head and not re.fullmatch(r"[A-Za-z_]\w*", head[0]) else 1
    if found is None:
        if head:
            raise Wrong(
                line.at, f"'queue {text.strip()[:80]}' is not understood: write 'queue N' or 'queue NAME in (a, b)'"
            )
        yield from ({"step": str(step), "itemindex": "0", "row": "0", "item": ""} for step in range(count))
        return
    if bad := [name for name in head if not re.fullmatch(r"[A-Za-z_]\w*", name)]:
        raise Wrong(line.at, f"{bad[0][:80]!r} is not the name of a macro")
    names = [name.lower() for name in head] or ["item"]
    for index, values in enumerate(_rows(found["how"].lower(), found["items"].strip(), names, line, lines)):
        fixed = {**dict(zip(names, values, strict=True)), "itemindex": str(index), "row": str(index)}
        yield from ({**fixed, "step": str(step)} for step in range(count))


def _count(text: str, line: Word, macros: Job) -> int:
    number = macros.expanded(Word(text, line.at)).strip()
    if not (number.isascii() and number.isdecimal() and len(number) < 9):
        raise Wrong(line.at, f"queue {number[:80]!r}: it takes a number of jobs")
    if int(number) > MAX_JOBS:
        raise Wrong(line.at, f"queue {number}: at most {MAX_JOBS} jobs can be in a description")
    return int(number)


def _rows(how: str, text: str, names: list[str], line: Word, lines: _Lines) -> Iterator[list[str]]:
    """The values of the names for each item."""
    if how == "matching":
        raise Wrong(line.at, "'matching' would look for files of the tower, not yours: list them with 'in (...)'")
    if text.startswith("["):
        raise Wrong(line.at, "slices are not possible here: list the items that you want")
    if how == "from" and not text.startswith("("):
        raise Wrong(line.at, "'from FILE' would read a file of the tower, not yours: write its lines in 'from ( ... )'")
    if how == "in" and len(names) > 1:
        raise Wrong(line.at, "'in' is for one name; use 'from ( ... )' with a line for each job")
    inside = list(_inside(text, line, lines))
    if how == "in":
        yield from ([item] for piece in inside for item in piece.replace(",", " ").split())
        return
    for piece in inside:
        if not piece.strip():
            continue
        values = re.split(r"\s*,\s*|\s+", piece.strip(), maxsplit=len(names) - 1) if len(names) > 1 else [piece.strip()]
        yield values + [""] * (len(names) - len(values))


def _inside(text: str, line: Word, lines: _Lines) -> Iterator[str]:
    """The lines of a list: what is in parentheses on one line, or the lines up to one with only ``)``."""
    if not text.startswith("("):
        yield text
        return
    if text.endswith(")"):
        yield text[1:-1]
        return
    part = text[1:]
    while part.strip() != ")":
        if not part.lstrip().startswith("#"):
            yield part
        try:
            part = lines.plain().text
        except StopIteration:
            raise Wrong(
                line.at, "the list of this queue statement has no end: a line with only ')' is missing"
            ) from None
