"""Text -> the relations of each job, as RSL means them: variables replaced, texts joined.

Nothing here recurses: whatever is nested is put together from the inside while it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from act.descriptions import MAX_CHARACTERS, MAX_DEPTH, MAX_JOBS, Word, Wrong

_SUBSTITUTION = "rslsubstitution"
_EXPECTED = {"LPAR": "'('", "RPAR": "')'", "OPERATOR": "'='", "LITERAL": "a word", "QUOTED": "a text in quotes"}


@dataclass(frozen=True, slots=True)
class Group:
    """``(a b c)``, of any depth."""

    values: tuple[Word | Group, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Relation:
    """``attribute operator values``. name: as all spellings of it have in common; written: as the author spelt it."""

    name: str
    written: str
    operator: str
    values: tuple[Word | Group, ...]
    at: int


class _Raw(NamedTuple):
    """A word, a reference to a variable, a ``#`` or a list, as it stands in the text from at to end."""

    kind: str
    text: str
    values: tuple[_Raw, ...]
    at: int
    end: int
    depth: int = 0


class _Several(NamedTuple):
    """Requests within ``+``, ``&`` or ``|``."""

    kind: str
    parts: tuple[Any, ...]
    at: int
    depth: int


def read(text: str) -> list[tuple[int, list[Relation]]]:
    """Each job's offset and relations. Raises Wrong."""
    try:
        request = _PARSER.parse(text)
    except UnexpectedToken as e:
        raise _unexpected(text, e) from e
    except UnexpectedCharacters as e:
        raise Wrong(e.pos_in_stream or 0, f"{e.char!r} has no meaning here") from e
    jobs = list(_jobs(request))
    if len(jobs) > MAX_JOBS:
        raise Wrong(0, f"these are {len(jobs)} jobs, more than {MAX_JOBS}: split the description")
    budget = _Budget()
    return [(at, _evaluated(relations, budget)) for at, relations in jobs]


class _Budget:
    """How many characters may come out of variables."""

    left = 10 * MAX_CHARACTERS

    def spend(self, word: Word) -> None:
        self.left -= len(word.text)
        if self.left < 0:
            raise Wrong(word.at, f"the variables make more than {10 * MAX_CHARACTERS} characters of this description")


class _Builder(Transformer[Token, Any]):
    """Called by the parser for each rule, from the inside to the outside."""

    def start(self, parts: list[Any]) -> Any:
        return parts[0]

    def unclosed(self, parts: list[Token]) -> Any:
        raise _unclosed(parts[0])

    def several(self, parts: list[Any]) -> _Several:
        return _nested("several", parts)

    def conjunction(self, parts: list[Any]) -> _Several:
        return _nested("conjunction", parts)

    def alternatives(self, parts: list[Any]) -> _Several:
        raise Wrong(
            _at(parts[0]), "alternatives ('|') are not supported: write what the job needs, or several jobs ('+')"
        )

    def relation(self, parts: list[Any]) -> _Raw:
        name, operator, *values = parts
        return _Raw(f"relation {operator}", _text(name), tuple(map(_raw, values)), *_span(name))

    def variable(self, parts: list[Token]) -> _Raw:
        return _Raw("variable", str(parts[1]), (), parts[0].start_pos or 0, (parts[1].end_pos or 0) + 1)

    def sequence(self, parts: list[Any]) -> _Raw:
        values = tuple(map(_raw, parts[1:]))
        depth = 1 + max((v.depth for v in values), default=0)
        at = parts[0].start_pos
        if depth > MAX_DEPTH:
            raise Wrong(at, f"lists are nested more than {MAX_DEPTH} deep")
        return _Raw("sequence", "", values, at, at, depth)


def _nested(kind: str, parts: list[Any]) -> _Several:
    depth = 1 + max((p.depth for p in parts if isinstance(p, _Several)), default=0)
    if depth > MAX_DEPTH:
        raise Wrong(_at(parts[0]), f"requests are nested more than {MAX_DEPTH} deep")
    return _Several(kind, tuple(parts), _at(parts[0]), depth)


def _at(part: Any) -> int:
    return int(part.at)


def _span(token: Token) -> tuple[int, int]:
    return token.start_pos or 0, token.end_pos or 0


def _raw(value: Token | _Raw) -> _Raw:
    if isinstance(value, _Raw):
        return value
    return _Raw("#" if value.type == "HASH" else "word", _text(value), (), *_span(value))


def _text(token: Token) -> str:
    """What a word says, without its quotes."""
    if token.type != "QUOTED":
        return str(token)
    inside, mark = (token[2:-1], token[1]) if token[0] == "^" else (token[1:-1], token[0])
    return str(inside.replace(mark * 2, mark))


def _jobs(request: Any, *, inside: bool = False) -> Iterator[tuple[int, list[_Raw]]]:
    if isinstance(request, _Several) and request.kind == "several":
        if inside:
            raise Wrong(request.at, "'+' is for whole jobs only: it cannot stand inside one")
        for part in request.parts:
            yield from _jobs(part)
    else:
        yield _at(request), list(_flat(request))


def _flat(request: Any) -> Iterator[_Raw]:
    """All relations of one job; the depth of what is nested is bounded."""
    if isinstance(request, _Raw):
        yield request
    elif request.kind == "several":
        raise Wrong(request.at, "'+' is for whole jobs only: it cannot stand inside one")
    else:
        for part in request.parts:
            yield from _flat(part)


def _evaluated(relations: list[_Raw], budget: _Budget) -> list[Relation]:
    variables: dict[str, str] = {}
    found = []
    for raw in relations:
        name = raw.text.lower().replace("_", "")
        values = _joined(raw.values, variables, budget)
        if name == _SUBSTITUTION:
            variables.update(_definition(v) for v in values)
        else:
            found.append(Relation(name, raw.text, raw.kind.split()[1], values, raw.at))
    return found


def _definition(value: Word | Group) -> tuple[str, str]:
    match value:
        case Group(values=(Word(text=name), Word(text=text))):
            return name, text
    raise Wrong(value.at, 'rsl_substitution defines variables as ("NAME" "value")')


def _joined(raws: tuple[_Raw, ...], variables: dict[str, str], budget: _Budget) -> tuple[Word | Group, ...]:
    """The values, with those joined that are linked by ``#`` or stand together without a space."""
    found: list[Word | Group] = []
    linked, end = False, -1
    for position, raw in enumerate(raws):
        if raw.kind == "#":
            if linked or not found or position == len(raws) - 1:
                raise Wrong(raw.at, "'#' joins two texts: one is missing")
            linked = True
            continue
        value = _value(raw, variables, budget)
        before = found[-1] if found else None
        if linked or (raw.at == end and isinstance(before, Word) and isinstance(value, Word)):
            if not isinstance(before, Word) or not isinstance(value, Word):
                raise Wrong(raw.at, "'#' joins texts, not lists")
            found[-1] = joined = Word(before.text + value.text, before.at)
            budget.spend(joined)
        else:
            found.append(value)
        linked, end = False, raw.end
    return tuple(found)


def _value(raw: _Raw, variables: dict[str, str], budget: _Budget) -> Word | Group:
    if raw.kind == "sequence":
        return Group(_joined(raw.values, variables, budget), raw.at)
    if raw.kind == "word":
        return Word(raw.text, raw.at)
    if raw.text not in variables:
        raise Wrong(raw.at, f'$({raw.text}) is not defined before: (rsl_substitution=({raw.text} "value")) does that')
    word = Word(variables[raw.text], raw.at)
    budget.spend(word)
    return word


def _unexpected(text: str, error: UnexpectedToken) -> Wrong:
    token = error.token
    if token.type == "UNCLOSED":
        return _unclosed(token)
    wanted = " or ".join(sorted(_EXPECTED[name] for name in error.expected if name in _EXPECTED))
    if token.type == "$END":
        return Wrong(len(text.rstrip()), f"the description ends too early{f': {wanted} expected' if wanted else ''}")
    return Wrong(
        token.start_pos or 0, f"{str(token)[:40]!r} is not right here{f': {wanted} expected' if wanted else ''}"
    )


def _unclosed(token: Token) -> Wrong:
    if token == "(*":
        return Wrong(token.start_pos or 0, "the comment has no end: '*)' is missing")
    return Wrong(
        token.start_pos or 0, f"the quoted text has no end; a {token} in a text is written twice or quoted otherwise"
    )


_PARSER = Lark.open("rsl.lark", rel_to=__file__, parser="lalr", lexer="basic", transformer=_Builder())
