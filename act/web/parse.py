"""What requests of both interfaces have in common: who speaks, and which jobs are meant."""

from __future__ import annotations

from typing import cast

from flask import g, request

from act.client.identity import Caller
from act.web import models
from act.web.errors import BadRequest


def caller() -> Caller:
    """Who speaks in the current request."""
    return cast(Caller, g.caller)


def bearer() -> str:
    """The token of the current request, whatever it is worth; empty if there is none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def words(text: str) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def ranges(text: str) -> tuple[int, ...]:
    """The ids of a list like 1,5-9. Raises BadRequest for what is none, or too many."""
    found: set[int] = set()
    for word in words(text):
        first, _, last = word.partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError as error:
            raise BadRequest(f"'{word}' is no job id or range of them like 5-9") from error
        if not 0 <= low <= high <= models.MAX_ID or high - low + len(found) >= models.MAX_IDS:
            raise BadRequest(f"'{word}': ids are positive, and at most {models.MAX_IDS} of them fit into a request")
        found.update(range(low, high + 1))
    return tuple(sorted(found))
