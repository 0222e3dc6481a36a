"""Reading for people who ask why: an attempt, a CE or an archived job with all that stands around it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, select, true

from act.db.engine import AnyRow
from act.db.schema import archive, breakers, candidates, cejobs, cequeues, ces, delegations, lanes, proxies

Rows = Sequence[AnyRow]


def places(connection: Connection, cejob_id: int) -> Rows:
    """The CE queues that an attempt may go to, or went to: candidates with their CE queue and CE."""
    return connection.execute(
        select(
            cequeues,
            ces.c.url,
            ces.c.flavour,
            ces.c.submit_point,
            ces.c.status.label("ce_status"),
            candidates.c.open,
            candidates.c.refused,
            candidates.c.proxy_id,
            candidates.c.share,
            candidates.c.rank,
        )
        .join(ces, ces.c.id == cequeues.c.ce_id)
        .join(candidates, candidates.c.cequeue_id == cequeues.c.id)
        .where(candidates.c.cejob_id == cejob_id)
        .order_by(ces.c.url, cequeues.c.queue)
    ).all()


def ahead(connection: Connection, place: AnyRow, cejob_id: int) -> int:
    """How many attempts of the same share and credential come before one at a place (a row of `places`)."""
    c = candidates.c
    query = select(func.count()).where(
        c.open == true(),
        c.cequeue_id == place.id,
        c.proxy_id == place.proxy_id,
        c.share == place.share,
        (c.rank < place.rank) | ((c.rank == place.rank) & (c.cejob_id < cejob_id)),
    )
    return int(connection.execute(query).scalar_one())


def breakers_of(connection: Connection, ce_ids: Collection[int]) -> Rows:
    """What each host knows of the health of these CEs."""
    return connection.execute(select(breakers).where(breakers.c.ce_id.in_(ce_ids)).order_by(breakers.c.host)).all()


def lanes_of(connection: Connection, ce_ids: Collection[int]) -> Rows:
    """The lanes of these CEs."""
    return connection.execute(select(lanes).where(lanes.c.ce_id.in_(ce_ids)).order_by(lanes.c.proxy_id)).all()


def ces_named(connection: Connection, name: str) -> Rows:
    """CEs with this URL; else those that have the text in it. "": all."""
    exact = connection.execute(select(ces).where(ces.c.url.in_({name, name.rstrip("/")}))).all()
    return exact or connection.execute(select(ces).where(ces.c.url.contains(name, autoescape=True))).all()


def ce_with(connection: Connection, ce_id: int) -> AnyRow | None:
    """One CE."""
    return connection.execute(select(ces).where(ces.c.id == ce_id)).first()


def cequeues_of(connection: Connection, ce_id: int) -> Rows:
    """All queues of a CE, with its URL."""
    return connection.execute(
        select(cequeues, ces.c.url, ces.c.flavour, ces.c.submit_point, ces.c.status.label("ce_status"))
        .join(ces, ces.c.id == cequeues.c.ce_id)
        .where(cequeues.c.ce_id == ce_id)
        .order_by(cequeues.c.queue)
    ).all()


def cequeues_at(connection: Connection, flavour: str, url: str, queue: str) -> Rows:
    """The CE queue of an endpoint, if an attempt ever had it as a candidate."""
    return connection.execute(
        select(cequeues, ces.c.url, ces.c.flavour, ces.c.submit_point, ces.c.status.label("ce_status"))
        .join(ces, ces.c.id == cequeues.c.ce_id)
        .where(ces.c.flavour == flavour, ces.c.url == url, cequeues.c.queue == queue)
    ).all()


def states_at(connection: Connection, ce_id: int) -> dict[str, int]:
    """State -> number of attempts at a CE."""
    query = select(cejobs.c.state, func.count()).where(cejobs.c.ce_id == ce_id).group_by(cejobs.c.state)
    return {r[0]: r[1] for r in connection.execute(query)}


def waiting_for(connection: Connection, ce_id: int) -> int:
    """How many attempts that wait for a CE queue could go to this CE."""
    query = (
        select(func.count(candidates.c.cejob_id.distinct()))
        .join(cequeues, cequeues.c.id == candidates.c.cequeue_id)
        .where(candidates.c.open == true(), cequeues.c.ce_id == ce_id)
    )
    return int(connection.execute(query).scalar_one())


def delegations_of(connection: Connection, ce_id: int) -> Rows:
    """The delegations at a CE, each with the generation of its proxy as it is now."""
    return connection.execute(
        select(delegations, proxies.c.role, proxies.c.generation.label("proxy_generation"))
        .join(proxies, proxies.c.id == delegations.c.proxy_id)
        .where(delegations.c.ce_id == ce_id)
    ).all()


def archived(connection: Connection, source: str, external_id: str) -> AnyRow | None:
    """The archive's row of an ended job."""
    return connection.execute(
        select(archive).where(archive.c.source == source, archive.c.external_id == external_id)
    ).first()
