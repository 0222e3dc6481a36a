"""Looking for jobs: what was asked for, and a page of those that were found. Read from one open snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from act.control import orders
from act.control.apply import START, select
from act.control.jobs import Filter, JobLine
from act.errors import ActError
from act.explain.words import seconds
from act.interfaces import Application
from act.states import CEJOB

PAGE = 100
LONGEST = 2000  # characters of a field
FIELDS = ("app", "name", "state", "queue", "share", "ce", "error", "node", "older")


@dataclass(frozen=True, slots=True)
class Search:
    """What was typed, field by field, and what it means. asked: whether anything was."""

    fields: Mapping[str, str]
    wanted: Filter
    asked: bool

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Search:
        """Of a form's fields; several names or states are separated by blanks or commas. Raises ActError."""
        typed = {f: text for f in FIELDS if (text := fields.get(f, "").strip()[:LONGEST])}
        wanted = Filter(
            app=typed.get("app", ""),
            names=words(typed.get("name", "")),
            states=words(typed.get("state", "")),
            queue=typed.get("queue", ""),
            share=typed.get("share", ""),
            ce=typed.get("ce", ""),
            error=typed.get("error", ""),
            node=typed.get("node", ""),
            older_s=seconds(typed["older"]) if "older" in typed else None,
        )
        return cls(typed, wanted, bool(typed))

    def filter(self, connection: Connection) -> Filter:
        """What is wanted, with the share that a name or a subject stands for. Raises ActError for nobody's."""
        share = self.wanted.share
        return replace(self.wanted, share=orders.share(connection, share)) if share else self.wanted


@dataclass(frozen=True, slots=True)
class Jobs:
    """A page of jobs. next: where the next page begins, "" for none. apps, states: that can be asked for."""

    search: Search
    lines: tuple[JobLine, ...]
    next: str
    apps: tuple[str, ...]
    states: tuple[str, ...]


def listing(connection: Connection, applications: Sequence[Application], search: Search, cursor: str = "") -> Jobs:
    """The jobs that are wanted, application by application, in the order of their numbers; none if nothing was asked.

    cursor: "" or ``next`` of the page before. Raises ActError for one that is none, and for a share of nobody.
    """
    app, _, number = cursor.partition(":")
    if cursor and (app not in [a.name for a in applications] or not number.isdecimal() or len(number) > 18):
        raise ActError(f"'{cursor[:50]}' is no place in a list of jobs")
    after = (app, int(number)) if cursor else START
    lines = select(connection, search.filter(connection), after=after, limit=PAGE + 1) if search.asked else []
    states = dict.fromkeys([*(s for a in applications for s in a.operations.states()), *CEJOB.states])
    last = lines[PAGE - 1] if len(lines) > PAGE else None
    return Jobs(
        search=search,
        lines=tuple(lines[:PAGE]),
        next=f"{last.app}:{last.id}" if last is not None else "",
        apps=tuple(a.name for a in applications),
        states=tuple(states),
    )


def words(text: str) -> tuple[str, ...]:
    """What blanks and commas separate."""
    return tuple(text.replace(",", " ").split())
