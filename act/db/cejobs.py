"""Attempts: inserting them, wishing, moving, and the rows each daemon asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, true, update

from act.db import moves, specs
from act.db.engine import AnyRow, chunks, now
from act.db.moves import Ledger, Move
from act.db.schema import candidates, cejobs, ces, events
from act.db.schema import lanes as lane_rows
from act.model import JobSpec
from act.states import CEJOB, IN_DOUBT, PLACELESS, WISHES

LEDGER = Ledger("cejob", CEJOB, cejobs)
_OVER = (*PLACELESS, "lost", "archived")  # an id in such a row stands for nothing at the CE

Rows = Sequence[AnyRow]


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt to insert. cequeue_ids: where it may go; share: what fairness is between."""

    app: str
    appjob_id: int
    flavour: str
    share: str
    priority: int
    proxy_id: int
    spec: JobSpec
    cequeue_ids: tuple[int, ...]
    attempt: int = 1


def add(connection: Connection, attempts: Sequence[NewAttempt], *, who: str) -> list[int]:
    """Insert attempts with their candidates; returns their ids in order."""
    if not attempts:
        return []
    jobspec_ids = specs.add(connection, [a.spec for a in attempts])
    query = insert(cejobs).values(since=now(), created=now()).returning(cejobs.c.id, sort_by_parameter_order=True)
    rows = [_new_row(a, jobspec_id) for a, jobspec_id in zip(attempts, jobspec_ids, strict=True)]
    ids = list(connection.scalars(query, rows))
    places = [
        {"cejob_id": i, "cequeue_id": q, "open": True, "proxy_id": a.proxy_id, "share": a.share, "rank": -a.priority}
        for i, a in zip(ids, attempts, strict=True)
        for q in dict.fromkeys(a.cequeue_ids)
    ]
    if places:
        connection.execute(insert(candidates), places)
    moves.note(connection, LEDGER.kind, [(i, CEJOB.initial, "") for i in ids], who=who)
    return ids


def _new_row(new: NewAttempt, jobspec_id: int) -> dict[str, Any]:
    return {
        "app": new.app,
        "appjob_id": new.appjob_id,
        "attempt": new.attempt,
        "flavour": new.flavour,
        "share": new.share,
        "priority": new.priority,
        "proxy_id": new.proxy_id,
        "jobspec_id": jobspec_id,
        "state": CEJOB.initial,
        "reruns": new.spec.reruns,
        "seen_version": 1,
    }


def move(
    connection: Connection,
    wanted: Sequence[Move],
    *,
    who: str,
    holder: str | None = None,
    keep_claim: bool = False,
    skip_locked: bool = False,
) -> dict[int, str]:
    """`act.db.moves.move` for attempts; candidates open and close with ``tosubmit``."""
    done = moves.move(
        connection, LEDGER, wanted, who=who, holder=holder, keep_claim=keep_claim, skip_locked=skip_locked
    )
    left = [m.id for m in wanted if m.state == "tosubmit" and done.get(m.id, "tosubmit") != "tosubmit"]
    back = [i for i, state in done.items() if state == "tosubmit"]
    for ids, is_open in ((left, False), (back, True)):
        if ids:
            connection.execute(
                update(candidates)
                .where(candidates.c.cejob_id.in_(ids), candidates.c.refused.is_(False))
                .values(open=is_open)
            )
    return done


def wish(connection: Connection, ids: Sequence[int], event: str, *, who: str, why: str) -> dict[int, str]:
    """Ask for something (`act.states.WISHES`). Returns id -> new state, or ``"noted"`` where it waits its turn.

    Rows for which it can mean nothing any more are left alone and not in the answer.
    """
    assert event in WISHES
    rows = connection.execute(
        select(cejobs.c.id, cejobs.c.state, (cejobs.c.claimed_by.is_not(None) & ~_free()).label("held"))
        .where(cejobs.c.id.in_(ids))
        .order_by(cejobs.c.id)
        .with_for_update()
    ).all()
    wait = [r for r in rows if r.state in IN_DOUBT or (r.held and r.state not in CEJOB.final)]
    waiting = {r.id for r in wait}
    direct = [Move(r.id, r.state, event, why) for r in rows if r.id not in waiting and CEJOB.step(r.state, event)]
    answer = move(connection, direct, who=who) if direct else {}
    if waiting:
        connection.execute(update(cejobs).where(cejobs.c.id.in_(waiting)).values(wish=event))
        moves.note(connection, LEDGER.kind, [(r.id, r.state, why) for r in wait], who=who, event=event)
        answer |= dict.fromkeys(waiting, "noted")
    return answer


def get(connection: Connection, ids: Iterable[int]) -> dict[int, AnyRow]:
    """Rows by id, those that exist."""
    found = {}
    for part in chunks(list(ids)):
        found.update({r.id: r for r in connection.execute(select(cejobs).where(cejobs.c.id.in_(part)))})
    return found


def at_ce(connection: Connection, *, lane: tuple[int, int], states: Sequence[str], after: int, limit: int) -> Rows:
    """Rows of one lane (CE, proxy) in ``states`` with id > after, per state in id order (no claim: reading only)."""
    found: list[AnyRow] = []
    for state in states:
        found += connection.execute(
            select(
                cejobs,
                (now() - cejobs.c.missing_at).label("missing_s"),
                (now() - cejobs.c.restarted).label("restarted_s"),
            )
            .where(cejobs.c.state == state, cejobs.c.ce_id == lane[0], cejobs.c.proxy_id == lane[1])
            .where(cejobs.c.id > after)
            .order_by(cejobs.c.id)
            .limit(limit)
        ).all()
    return sorted(found, key=lambda r: r.id)[:limit]


def claim(
    connection: Connection, ce_id: int, proxy_id: int, state: str, *, holder: str, lease_s: float, limit: int,
    after_s: float = 0.0,
) -> Rows:  # fmt: skip
    """Take rows of one lane that nobody holds and that have been in ``state`` for ``after_s``."""
    ids = list(
        connection.scalars(
            select(cejobs.c.id)
            .where(cejobs.c.state == state, cejobs.c.ce_id == ce_id, cejobs.c.proxy_id == proxy_id, _free())
            .where(cejobs.c.since <= now() - after_s)
            .order_by(cejobs.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    return hold(connection, ids, holder=holder, lease_s=lease_s)


def claim_placeless(
    connection: Connection, flavour: str, state: str, *, holder: str, lease_s: float, limit: int
) -> Rows:
    """Like `claim`, for rows that never came to a CE."""
    ids = connection.scalars(
        select(cejobs.c.id)
        .where(cejobs.c.state == state, cejobs.c.ce_id.is_(None), cejobs.c.flavour == flavour, _free())
        .order_by(cejobs.c.proxy_id, cejobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    return hold(connection, ids, holder=holder, lease_s=lease_s)


def _free() -> ColumnElement[bool]:
    """Nobody holds the row, or no longer."""
    return or_(cejobs.c.claimed_until.is_(None), cejobs.c.claimed_until < now())


def hold(connection: Connection, ids: Sequence[int], *, holder: str, lease_s: float) -> Rows:
    """Put a claim on rows that the transaction has locked."""
    if not ids:
        return []
    connection.execute(
        update(cejobs).where(cejobs.c.id.in_(ids)).values(claimed_by=holder, claimed_until=now() + lease_s)
    )
    return connection.execute(select(cejobs).where(cejobs.c.id.in_(ids)).order_by(cejobs.c.id)).all()


def release(
    connection: Connection,
    ids: Sequence[int],
    *,
    holder: str,
    after_s: float = 0.0,
    doubt: bool = False,
) -> None:
    """Give up a claim; nobody else may take the rows for ``after_s``. doubt: the CE failed on a bulk they were in."""
    values: dict[str, Any] = {"claimed_by": None, "claimed_until": now() + after_s}
    if doubt:
        values["doubts"] = cejobs.c.doubts + 1
    for part in chunks(list(ids)):
        connection.execute(update(cejobs).where(cejobs.c.id.in_(part), cejobs.c.claimed_by == holder).values(**values))


def in_doubt(connection: Connection, ce_id: int, proxy_id: int, *, limit: int) -> list[int]:
    """Ids of submitting and created rows of a lane whose lease has ended, ``limit`` of each at most, locked."""
    ids: list[int] = []
    for state in IN_DOUBT:
        ids += connection.scalars(
            select(cejobs.c.id)
            .where(cejobs.c.state == state, cejobs.c.ce_id == ce_id, cejobs.c.proxy_id == proxy_id, _free())
            .order_by(cejobs.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    return ids


def lanes(
    connection: Connection, flavour: str, states: Sequence[str], *, expired: bool = False
) -> list[tuple[int, int]]:
    """(CE, proxy) pairs that have rows in ``states``. expired: only rows whose lease has ended."""
    query = select(cejobs.c.ce_id, cejobs.c.proxy_id).distinct()
    query = query.where(cejobs.c.state.in_(states), cejobs.c.flavour == flavour, cejobs.c.ce_id.is_not(None))
    if expired:
        query = query.where(_free())
    return [(r.ce_id, r.proxy_id) for r in connection.execute(query)]


def any_at_ce(connection: Connection, lane: tuple[int, int], states: Sequence[str]) -> bool:
    """Whether a lane (CE, proxy) has rows in ``states``."""
    there = exists().where(cejobs.c.state.in_(states), cejobs.c.ce_id == lane[0], cejobs.c.proxy_id == lane[1])
    return bool(connection.execute(select(there)).scalar())


def known_ids(connection: Connection, ce_id: int, ce_job_ids: Sequence[str]) -> set[str]:
    """Which of the CE's ids stand in a row that is still of interest."""
    known: set[str] = set()
    for part in chunks(list(ce_job_ids), 1000):
        query = select(cejobs.c.ce_job_id).where(
            cejobs.c.ce_id == ce_id, cejobs.c.ce_job_id.in_(part), cejobs.c.state.not_in(_OVER)
        )
        known.update(connection.scalars(query))
    return known


def set_values(connection: Connection, ids: Sequence[int], **values: Any) -> None:
    """Write columns that are no state and that nobody waits for (counters, marks)."""
    for part in chunks(list(ids)):
        connection.execute(update(cejobs).where(cejobs.c.id.in_(part)).values(**values))


def mark_missing(connection: Connection, ids: Sequence[int]) -> None:
    """A complete answer did not have these; the first such moment counts."""
    for part in chunks(list(ids)):
        connection.execute(
            update(cejobs).where(cejobs.c.id.in_(part), cejobs.c.missing_at.is_(None)).values(missing_at=now())
        )


def unseen(connection: Connection, app: str, *, limit: int, lock: bool) -> Rows:
    """Rows that changed since the application last acknowledged them; lock: kept from other readers."""
    query = select(cejobs).where(cejobs.c.app == app, cejobs.c.unseen == true()).order_by(cejobs.c.id).limit(limit)
    return connection.execute(query.with_for_update(skip_locked=True) if lock else query).all()


def acknowledge(connection: Connection, versions: Mapping[int, int]) -> None:
    """The application has acted on these versions; a later one stays unseen."""
    by_version: dict[int, list[int]] = {}
    for i, version in versions.items():
        by_version.setdefault(version, []).append(i)
    for version, ids in by_version.items():
        connection.execute(
            update(cejobs).where(cejobs.c.id.in_(ids), cejobs.c.version == version).values(seen_version=version)
        )


def overdue(
    connection: Connection, flavour: str, state: str, after_s: float, *, silent_s: float, at_most_s: float, limit: int
) -> Rows:
    """Rows longer in ``state`` than allowed.

    A CE that was silent for ``silent_s`` or more stops the clock, which begins anew when it speaks again; but nothing
    is put off by more than ``at_most_s``.
    """
    spoke = or_(
        cejobs.c.ce_id.is_(None),
        (lane_rows.c.polled > now() - silent_s) & (lane_rows.c.heard < now() - after_s),
        cejobs.c.since < now() - (after_s + at_most_s),
    )
    return connection.execute(
        select(cejobs)
        .outerjoin(lane_rows, and_(lane_rows.c.ce_id == cejobs.c.ce_id, lane_rows.c.proxy_id == cejobs.c.proxy_id))
        .where(cejobs.c.state == state, cejobs.c.since < now() - after_s, cejobs.c.flavour == flavour, spoke)
        .order_by(cejobs.c.since)
        .limit(limit)
    ).all()


def counts(connection: Connection) -> list[tuple[str, str, int]]:
    """(CE url or "", state, number of rows), for people."""
    query = (
        select(ces.c.url, cejobs.c.state, func.count())
        .select_from(cejobs.outerjoin(ces, ces.c.id == cejobs.c.ce_id))
        .group_by(ces.c.url, cejobs.c.state)
    )
    return [(url or "", state, n) for url, state, n in connection.execute(query)]


def history(connection: Connection, kind: str, job_ids: Sequence[int]) -> Rows:
    """The events of jobs, job by job, the oldest first."""
    return connection.execute(
        select(events).where(events.c.kind == kind, events.c.job_id.in_(job_ids)).order_by(events.c.job_id, events.c.id)
    ).all()


def with_event(connection: Connection, ids: Collection[int], event: str) -> set[int]:
    """Those attempts to which this has happened, or of which it was noted."""
    e = events.c
    query = select(e.job_id).where(e.kind == LEDGER.kind, e.job_id.in_(ids), e.event == event)
    return set(connection.scalars(query)) if ids else set()


def token_in(name: str) -> str:
    """The token that a job's name at a CE ends with; "" if there is none."""
    start = name.rfind("act.")
    return name[start:] if start >= 0 and parse_token(name[start:]) else ""


def parse_token(token: str) -> tuple[str, int, int] | None:
    """``act.<db-id>.<cejob>.<submission>.<nonce>`` -> (db id, cejob, submission), or None if it is no token."""
    parts = token.split(".")
    if len(parts) != 5 or parts[0] != "act" or not (parts[2].isdigit() and parts[3].isdigit()):
        return None
    return parts[1], int(parts[2]), int(parts[3])


def of_application(connection: Connection, app: str, appjob_id: int) -> Rows:
    """The attempts of an application job, oldest first."""
    return connection.execute(
        select(cejobs).where(cejobs.c.app == app, cejobs.c.appjob_id == appjob_id).order_by(cejobs.c.id)
    ).all()
