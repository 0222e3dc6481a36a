"""The submitter's claim: choose CE queues, reserve room, take a fair share of each share's waiting attempts."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, true, update

from act.db import cejobs as attempts
from act.db import ces, orders
from act.db.engine import NOW, AnyRow, now
from act.db.moves import Move
from act.db.orders import Standing, What
from act.db.schema import breakers, candidates, cejobs, cequeues
from act.db.schema import ces as ce_rows
from act.errors import JobError
from act.states import Event

_WAITING = ("submitting", "created", "submitted")
_ROOM_TAKEN = (*_WAITING, "holding", "running", "finishing", "torerun", "tocancel", "cancelling")
# After this long in tosubmit any CE queue may have it, whatever the ranks say.
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Limits:
    """For CE queues that have none of their own."""

    max_waiting: int
    max_jobs: int


@dataclass(frozen=True)
class Load:
    """How full a CE queue is: attempts that wait there, all that it has, and the limits that hold for it.

    probing: of those, how many came since it gets one at a time; None: it gets as many as there is room for.
    """

    waiting: int
    jobs: int
    limits: Limits
    probing: int | None = None

    @property
    def room(self) -> int:
        """How many more it may get."""
        room = min(self.limits.max_waiting - self.waiting, self.limits.max_jobs - self.jobs)
        return room if self.probing is None else min(room, 1 - self.probing)


def lanes(connection: Connection, flavour: str) -> list[tuple[int, int]]:
    """(CE, proxy) pairs with attempts that wait for a CE, and that may get some."""
    query = (
        select(candidates.c.cequeue_id, candidates.c.proxy_id).where(candidates.c.open == true()).distinct().subquery()
    )
    rows = connection.execute(
        select(cequeues.c.ce_id, cequeues.c.queue, ce_rows.c.url, query.c.proxy_id)
        .join(cequeues, cequeues.c.id == query.c.cequeue_id)
        .join(ce_rows, ce_rows.c.id == cequeues.c.ce_id)
        .where(ce_rows.c.flavour == flavour, ce_rows.c.status == "online")
    )
    ordered = orders.standing(connection)
    return list(dict.fromkeys((r.ce_id, r.proxy_id) for r in rows if not ordered.closed(r.url, r.queue)))


def take(
    connection: Connection,
    ce_id: int,
    proxy_id: int,
    *,
    limit: int,
    holder: str,
    lease_s: float,
    who: str,
    db_id: str,
    delegation_id: int,
    default: Limits,
) -> Sequence[AnyRow]:
    """Move up to ``limit`` attempts of a lane ``tosubmit -> submitting``, each with a fresh token; returns the rows.

    The CE queue's row is locked, so its limits hold over all hosts.
    """
    taken: list[int] = []
    ordered = orders.standing(connection)
    for queue in ces.queues(connection, ce_id):
        if ordered.closed(queue.url, queue.queue):
            continue
        connection.execute(select(cequeues.c.id).where(cequeues.c.id == queue.id).with_for_update())
        room = min(load(connection, queue, default, ordered).room, limit - len(taken))
        if room <= 0:
            continue
        picked = _pick(connection, queue.id, proxy_id, room, ordered)
        moves = _claims(picked, queue, db_id, delegation_id, holder, connection, lease_s)
        done = attempts.move(connection, moves, who=who, keep_claim=True, skip_locked=True)
        taken += done
    if not taken:
        return []
    return connection.execute(select(cejobs).where(cejobs.c.id.in_(taken)).order_by(cejobs.c.id)).all()


def load(connection: Connection, queue: AnyRow, default: Limits, ordered: Standing) -> Load:
    """How full a CE queue (a row of ``cequeues`` with the CE's URL) is. Orders win over limits of its own."""
    rows = connection.execute(
        select(cejobs.c.state, func.count().label("n"))
        .where(cejobs.c.cequeue_id == queue.id, cejobs.c.state.in_(_ROOM_TAKEN))
        .group_by(cejobs.c.state)
    )
    by_state: dict[str, int] = {r.state: r.n for r in rows}
    limits = Limits(
        _limit(ordered.limit(What.MAX_WAITING, queue.url, queue.queue), queue.max_waiting, default.max_waiting),
        _limit(ordered.limit(What.MAX_JOBS, queue.url, queue.queue), queue.max_jobs, default.max_jobs),
    )
    probe = ordered.probe(queue.url, queue.queue)
    probing = None if probe is None else _placed_since(connection, queue.id, probe.since)
    return Load(sum(by_state.get(s, 0) for s in _WAITING), sum(by_state.values()), limits, probing)


def _limit(order: AnyRow | None, own: int | None, default: int) -> int:
    if order is not None:
        return int(order.value)
    return default if own is None else own


def _placed_since(connection: Connection, cequeue_id: int, since: float) -> int:
    """How many attempts a CE queue has that were given to it since then."""
    query = select(func.count()).where(cejobs.c.cequeue_id == cequeue_id, cejobs.c.state.in_(_ROOM_TAKEN))
    return int(connection.execute(query.where(cejobs.c.placed >= since)).scalar_one())


def _pick(connection: Connection, cequeue_id: int, proxy_id: int, room: int, ordered: Standing) -> Sequence[AnyRow]:
    """Candidates by rank, evenly over the shares; those with a clearly better CE queue elsewhere are left.

    Where there is room for fewer than one of each share, chance decides, so that no share waits for ever.
    """
    where = (candidates.c.open == true(), candidates.c.cequeue_id == cequeue_id, candidates.c.proxy_id == proxy_id)
    paused = ordered.paused_shares()
    shares = [s for s in connection.scalars(select(candidates.c.share).where(*where).distinct()) if s not in paused]
    random.shuffle(shares)
    found: list[AnyRow] = []
    for n, share in enumerate(shares):
        quota = -(-(room - len(found)) // (len(shares) - n))
        if quota <= 0:
            break
        ids = connection.scalars(
            select(candidates.c.cejob_id)
            .where(*where, candidates.c.share == share)
            .order_by(candidates.c.rank, candidates.c.cejob_id)
            .limit(quota)
            .with_for_update(skip_locked=True)
        ).all()
        if ids:
            columns = (cejobs.c.id, cejobs.c.submission, (now() - cejobs.c.since).label("waited_s"))
            by_id = {r.id: r for r in connection.execute(select(*columns).where(cejobs.c.id.in_(ids)))}
            found += [by_id[i] for i in ids]  # by rank
    return _without_better(connection, found, cequeue_id, ordered)


def _without_better(connection: Connection, rows: list[AnyRow], cequeue_id: int, ordered: Standing) -> list[AnyRow]:
    """Leave to other healthy CE queues what belongs there, so that in the end all have as much waiting."""
    places: dict[int, list[int]] = {}
    query = select(candidates.c.cejob_id, candidates.c.cequeue_id).where(
        candidates.c.cejob_id.in_([r.id for r in rows]), candidates.c.open == true()
    )
    for r in connection.execute(query):
        places.setdefault(r.cejob_id, []).append(r.cequeue_id)
    if not {q for queues in places.values() for q in queues} - {cequeue_id}:
        return rows
    ids = list({cequeue_id, *(q for queues in places.values() for q in queues)})
    ahead = _waiting_per_queue(connection, ids, ordered)
    groups: dict[frozenset[int], list[AnyRow]] = {}
    for row in rows:
        groups.setdefault(frozenset(places.get(row.id, ())).intersection(ahead) | {cequeue_id}, []).append(row)
    kept = []
    for queues, group in groups.items():
        quota = _even_share(len(group), [ahead[q] for q in queues - {cequeue_id}], ahead.get(cequeue_id, 0))
        mine = group[:quota] + [r for r in group[quota:] if r.waited_s > _PATIENCE_S]
        ahead[cequeue_id] = ahead.get(cequeue_id, 0) + len(mine)
        kept += mine
    return kept


def _even_share(n: int, others: Sequence[int], mine: int) -> int:
    """How many of n new ones go to a queue with ``mine`` waiting, if they fill all queues up to one level."""
    waiting = sorted([*others, mine])
    level, filled = float(waiting[0]), 0
    for k, load in enumerate(waiting, start=1):
        following = waiting[k] if k < len(waiting) else math.inf
        room = (following - load) * k
        if filled + room >= n:
            level = load + (n - filled) / k
            break
        filled += int(room)
    return max(0, math.ceil(level - mine))


def _waiting_per_queue(connection: Connection, ids: Sequence[int], ordered: Standing) -> dict[int, int]:
    """CE queues that take jobs now, and not only one at a time -> how many attempts wait there."""
    rows = connection.execute(
        select(cequeues.c.id, cequeues.c.queue, ce_rows.c.url)
        .join(ce_rows, ce_rows.c.id == cequeues.c.ce_id)
        .outerjoin(breakers, breakers.c.ce_id == cequeues.c.ce_id)
        .where(cequeues.c.id.in_(ids), cequeues.c.status == "online", breakers.c.open_until.is_(None))
    )
    waiting = {r.id: 0 for r in rows if not (ordered.closed(r.url, r.queue) or ordered.probe(r.url, r.queue))}
    counted = connection.execute(
        select(cejobs.c.cequeue_id, func.count().label("n"))
        .where(cejobs.c.cequeue_id.in_(list(waiting)), cejobs.c.state.in_(_WAITING))
        .group_by(cejobs.c.cequeue_id)
    )
    return waiting | {r.cequeue_id: r.n for r in counted}


def _claims(
    picked: Sequence[AnyRow],
    queue: AnyRow,
    db_id: str,
    delegation_id: int,
    holder: str,
    connection: Connection,
    lease_s: float,
) -> list[Move]:
    until = connection.execute(select(now() + lease_s)).scalar_one()
    shared: Mapping[str, Any] = {
        "ce_id": queue.ce_id,
        "cequeue_id": queue.id,
        "delegation_id": delegation_id,
        "claimed_by": holder,
        "claimed_until": until,
        "placed": NOW,
        "ce_job_id": None,
        "ce_state": None,
        "missing_at": None,
    }
    return [
        Move(
            r.id,
            "tosubmit",
            Event.CLAIM,
            f"to queue {queue.queue}, after {r.waited_s:.0f} s of waiting",
            {
                **shared,
                "submission": r.submission + 1,
                "token": f"act.{db_id}.{r.id}.{r.submission + 1}.{secrets.token_hex(8)}",
            },
        )
        for r in picked
    ]


def refuse(connection: Connection, refused: Mapping[int, JobError], *, who: str, holder: str) -> dict[int, str]:
    """The CE queue said no to these attempts: they go to another of theirs, or end if none is left.

    Rows that ``holder`` no longer holds are left alone.
    """
    query = select(cejobs.c.id, cejobs.c.state, cejobs.c.cequeue_id).where(
        cejobs.c.id.in_(list(refused)), cejobs.c.claimed_by == holder
    )
    rows = {r.id: r for r in connection.execute(query.order_by(cejobs.c.id).with_for_update())}
    for row in rows.values():
        connection.execute(
            update(candidates)
            .where(candidates.c.cejob_id == row.id, candidates.c.cequeue_id == row.cequeue_id)
            .values(refused=True, open=False)
        )
    left = set(
        connection.scalars(
            select(candidates.c.cejob_id)
            .where(candidates.c.cejob_id.in_(list(rows)), candidates.c.refused.is_(False))
            .distinct()
        )
    )
    moves = [
        Move(
            i,
            rows[i].state,
            Event.PUTBACK if i in left else Event.REFUSED,
            f"refused by the CE: {refused[i]}",
            {"error": str(refused[i])[:2000], "doubts": 0},
        )
        for i in rows
    ]
    return attempts.move(connection, moves, who=who, holder=holder)
