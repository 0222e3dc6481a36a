"""Reads the facts of one moment and has them told. Each function works on an open snapshot of the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from sqlalchemy import Connection

from act.db import cejobs, ces, meta, situation
from act.db.engine import AnyRow
from act.errors import ActError
from act.explain import attempt, ce, places
from act.explain.moment import Moment
from act.explain.story import Asked, Hold, Story, Why, merged
from act.interfaces import plugins
from act.states import CEJOB, PLACELESS


def job(connection: Connection, moment: Moment, number: int) -> Story:
    """A job of an application by its source's number, or an attempt. Raises ActError if there is neither."""
    found = _of_application(connection, moment, Asked.JOB, str(number))
    return _complete(connection, moment, found) if found is not None else an_attempt(connection, moment, number)


def by_row(connection: Connection, moment: Moment, name: str) -> Story:
    """A job by the number of its application's own row: ``app:number``. Raises ActError if there is none."""
    found = _of_application(connection, moment, Asked.ROW, name)
    if found is None:
        raise ActError(f"there is no job {name} here")
    return _complete(connection, moment, found)


def an_attempt(connection: Connection, moment: Moment, number: int) -> Story:
    """The job that an attempt belongs to, or the attempt alone where no application knows it."""
    row = cejobs.get(connection, [number]).get(number)
    if row is None:
        if 0 < number <= meta.highest_cejob(connection):
            raise ActError(f"attempt {number} is in the archive with its job: ask for the job's number")
        raise ActError(f"there is no job and no attempt {number} here, and no such job in the archive")
    owner = _of_application(connection, moment, Asked.ROW, f"{row.app}:{row.appjob_id}")
    if owner is not None:
        return _complete(connection, moment, owner)
    alone = _attempt(connection, moment, row)
    if alone.turn is None or alone.turn.daemon != attempt.APPLICATION:
        return alone
    return replace(alone, holds=(Hold(Why.SETTINGS, f"no application here knows its job, {row.app} {row.appjob_id}"),))


def queue(connection: Connection, moment: Moment, name: str) -> Story:
    """A queue of a source. Raises ActError if no application knows it."""
    found = _of_application(connection, moment, Asked.QUEUE, name)
    if found is None:
        raise ActError(f"no queue '{name}' is known here; names are as in the catalogue of queues")
    return found


def a_ce(connection: Connection, moment: Moment, name: str) -> list[Story]:
    """CEs by URL, or the one whose URL has this text in it. Raises ActError if there is none, or not only one."""
    rows = situation.ces_named(connection, name)
    if not rows:
        known = ", ".join(sorted({r.url for r in situation.ces_named(connection, "")})) or "none yet"
        raise ActError(f"no CE '{name}' is known here (known: {known})")
    if len(urls := sorted({r.url for r in rows})) > 1:
        raise ActError(f"'{name}' could be any of {', '.join(urls)}: say more of it")
    return [of_ce(connection, moment, row) for row in rows]


def _of_application(connection: Connection, moment: Moment, asked: Asked, name: str) -> Story | None:
    for application in plugins("act.app").values():
        found: Story | None = application.operations.explain(connection, moment, asked, name)
        if found is not None:
            return found
    return None


def _complete(connection: Connection, moment: Moment, story: Story) -> Story:
    """Add the attempts: what happened to each, and the whole story of those that are not over."""
    rows = cejobs.get(connection, story.attempts)
    told = [_attempt(connection, moment, rows[i]) for i in story.attempts if i in rows]
    parts = [t for t in told if t.state not in CEJOB.final or t is told[-1]]
    return replace(
        story,
        history=merged([story.history, *(t.history for t in told)]),
        parts=tuple(replace(_left_to_owner(p), history=()) for p in parts),
    )


def _left_to_owner(part: Story) -> Story:
    """It is the application's turn, of which the job's own story tells."""
    return replace(part, turn=None) if part.turn is not None and part.turn.daemon == attempt.APPLICATION else part


def _attempt(connection: Connection, moment: Moment, row: AnyRow) -> Story:
    waits = row.state in PLACELESS
    there = places.read(connection, moment, situation.places(connection, row.id), row.id) if waits else []
    health, name = None, ""
    if row.ce_id is not None:
        (health,) = places.healths(connection, [row.ce_id]).values()
        name = ces.queue_names(connection, [row.cequeue_id]).get(row.cequeue_id, "")
    events = cejobs.history(connection, cejobs.LEDGER.kind, [row.id])
    return attempt.tell(moment, attempt.Facts(row, there, health, name, events))


def of_ce(connection: Connection, moment: Moment, row: AnyRow) -> Story:
    """One CE, a row of ``ces``."""
    (health,) = places.healths(connection, [row.id]).values()
    facts = ce.Facts(
        row=row,
        health=health,
        places=places.read(connection, moment, situation.cequeues_of(connection, row.id)),
        delegations=situation.delegations_of(connection, row.id),
        states=situation.states_at(connection, row.id),
        waiting=situation.waiting_for(connection, row.id),
    )
    return ce.tell(moment, facts)


def endpoints(
    connection: Connection, moment: Moment, known: Iterable[tuple[str, str, str]], served: Collection[str]
) -> list[Story]:
    """How CE queues are, given as (type of CE, URL, queue): what applications put behind a queue of theirs.

    served: the types of CEs that the application makes attempts for.
    """
    told = []
    for flavour, url, name in known:
        title = f"CE queue {url} {name}".rstrip()
        if flavour not in served:
            told.append(Story(title, f"type {flavour} is not served"))
            continue
        found = places.read(connection, moment, situation.cequeues_at(connection, flavour, url, name))
        for place in found:
            unwell = places.unwell(moment, place.health, f"submitter-{flavour}")
            holds = dict.fromkeys(places.no_room(moment, place) + unwell)
            state = "takes jobs" if not holds else "takes no jobs"
            told.append(Story(title, state, facts=(("jobs", places.filled(place.load)),), holds=tuple(holds)))
        if not found:
            told.append(Story(title, "had no job yet"))
    return told
