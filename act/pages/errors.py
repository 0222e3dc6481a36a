"""Errors by their causes: how often, since when, where to look. Read from one open snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from act.db import causes, survey
from act.db.causes import Cause
from act.errors import ActError
from act.explain.moment import Moment
from act.explain.words import seconds

MOST = 200
USUAL = "1d"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which causes. since: seconds, typed as ``text``."""

    kind: str
    text: str
    since_s: float

    @classmethod
    def of(cls, kind: str, since: str) -> Wanted:
        """Of what was typed. Raises ActError."""
        if len(kind) > 16:
            raise ActError(f"'{kind[:20]}...' is no kind of error")
        text = since.strip() or USUAL
        return cls(kind, text, seconds(text))


@dataclass(frozen=True, slots=True)
class Example:
    """Where an error was seen, in words. job: what its page is found by; ce_id: of the CE's page."""

    at: float
    job: str = ""
    job_text: str = ""
    ce: str = ""
    ce_id: int | None = None
    other: str = ""


@dataclass(frozen=True, slots=True)
class Errors:
    """The list. kinds: that there are any of. more: there are further ones."""

    now: float
    lines: tuple[tuple[Cause, tuple[Example, ...]], ...]
    kinds: tuple[str, ...]
    more: bool


def read(connection: Connection, moment: Moment, wanted: Wanted) -> Errors:
    """The causes that were seen lately, the latest first."""
    since = moment.now - wanted.since_s
    found = causes.listing(connection, since=since, limit=MOST + 1)
    kinds = tuple(sorted({c.kind for c in found} | ({wanted.kind} if wanted.kind else set())))
    if wanted.kind:
        found = causes.listing(connection, kind=wanted.kind, since=since, limit=MOST + 1)
    ids = {row.url: row.id for row in survey.ces_listed(connection)}
    lines = tuple((c, tuple(_example(c.kind, e, ids) for e in c.examples)) for c in found[:MOST])
    return Errors(moment.now, lines, kinds, len(found) > MOST)


def _example(kind: str, told: Mapping[str, Any], ids: Mapping[str, int]) -> Example:
    ce, job = str(told.get("ce") or ""), _job(kind, told)
    text = f"attempt {told['attempt']}" if told.get("attempt") else job
    other = " on ".join(str(told[k]) for k in ("daemon", "host") if told.get(k))
    return Example(float(told.get("at") or 0.0), job, text, ce, ids.get(ce), other)


def _job(kind: str, told: Mapping[str, Any]) -> str:
    """As `act.explain.ask` finds it: events of an application's jobs are of the kind that is its name with "job"."""
    if told.get("job"):
        return f"{told.get('app') or kind.removesuffix('job')}:{told['job']}"
    return str(told.get("attempt") or "")
