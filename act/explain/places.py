"""What keeps a CE, or a queue of it, from taking and following jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from act.config import CE, SubmitPoint
from act.db import ces, claims, situation
from act.db.claims import Limits, Load
from act.db.engine import AnyRow
from act.db.orders import Kind, What
from act.explain.moment import Moment
from act.explain.ordered import hold
from act.explain.story import Hold, Trouble, Why
from act.explain.words import ago, some, span


@dataclass(frozen=True)
class Health:
    """A CE as hosts and credentials see it: rows of ``breakers`` and ``lanes``; submit_point: on the way to it."""

    url: str
    breakers: Sequence[AnyRow] = ()
    lanes: Sequence[AnyRow] = ()
    submit_point: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.url} through {self.submit_point}" if self.submit_point else self.url

    def lane(self, proxy_id: int) -> AnyRow | None:
        """The lane of a credential; None while it never had a job here."""
        return next((lane for lane in self.lanes if lane.proxy_id == proxy_id), None)


@dataclass(frozen=True)
class Place:
    """A CE queue: its row with the CE's (see `act.db.situation.places`), how full it is, and its CE's health.

    ahead: attempts of the same share that come first.
    """

    row: AnyRow
    load: Load
    health: Health
    ahead: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.health.name} queue {self.row.queue}" if self.row.queue else self.health.name


def healths(connection: Connection, ce_ids: Collection[int]) -> dict[int, Health]:
    """CE number -> health."""
    breakers = situation.breakers_of(connection, ce_ids)
    lanes = situation.lanes_of(connection, ce_ids)
    return {
        i: Health(url, [b for b in breakers if b.ce_id == i], [r for r in lanes if r.ce_id == i], point)
        for i, (url, point) in ces.places(connection, ce_ids).items()
    }


def read(connection: Connection, moment: Moment, rows: Iterable[AnyRow], cejob_id: int | None = None) -> list[Place]:
    """Places of rows of `act.db.situation`; cejob_id: of the attempt that waits for them."""
    rows = list(rows)
    health = healths(connection, {r.ce_id for r in rows})
    found = []
    for row in rows:
        limits = moment.config.limits_of(moment.config.ces.at(row.url))
        load = claims.load(connection, row, Limits(limits.max_waiting, limits.max_jobs), moment.orders)
        ahead = situation.ahead(connection, row, cejob_id) if cejob_id is not None and row.open else 0
        found.append(Place(row, load, health[row.ce_id], ahead))
    return found


def unwell(moment: Moment, health: Health, daemon: str, proxy_id: int | None = None) -> list[Hold]:
    """Why a daemon leaves a CE alone, wherever it runs; for one credential, or for all."""
    holds = _out_of_reach(moment, health, daemon)
    if (paused := moment.orders.paused(health.url)) is not None:
        holds.append(hold(health.url, paused))
    hosts = moment.hosts(daemon) or {b.host for b in health.breakers}
    if (point := _submit_point(moment, health)) is not None and point.host:
        hosts &= {point.host}
    shut = [b for b in health.breakers if b.open_until is not None and b.host in hosts]
    if shut and {b.host for b in shut} == hosts:
        first = min(shut, key=lambda b: b.open_until)
        text = _left_alone(moment, health.url, first)
        holds.append(Hold(Why.BREAKER, text, first.open_until, f"{health.url} is tried again"))
    if proxy_id is not None:
        lane = health.lane(proxy_id)
        if lane is not None and lane.paused_until is not None and lane.paused_until > moment.now:
            text = f"{health.url} does not take the credential of role '{moment.role(proxy_id)}': {lane.error}"
            holds.append(Hold(Why.CREDENTIAL, text, lane.paused_until, f"{health.url} is asked again"))
        holds += moment.credential(proxy_id, health.url)
    return holds


def _submit_point(moment: Moment, health: Health) -> SubmitPoint | None:
    """What the configuration says of the one on the way to a CE."""
    return next((p for p in moment.config.ces.submit_point if p.name == health.submit_point), None)


def _out_of_reach(moment: Moment, health: Health, daemon: str) -> list[Hold]:
    """No host on which a daemon runs can speak to a CE."""
    point, way = _submit_point(moment, health), f"{health.url} is behind the submit point {health.submit_point}"
    if not health.submit_point or (point is not None and point.host in ("", *moment.hosts(daemon))):
        return []
    if point is None:
        return [Hold(Why.SETTINGS, f"{way}, which is not in the configuration (ces/submit_point) here: nobody uses it")]
    return [Hold(Why.SETTINGS, f"{way}, which only host {point.host} reaches, and {daemon} does not run there")]


def _left_alone(moment: Moment, url: str, breaker: AnyRow) -> str:
    text = f"{url} is left alone by host {breaker.host} after {breaker.failures} failures in a row"
    if breaker.last_error:
        text += f", the last {ago(breaker.last_error_at, moment.now)}: {breaker.last_error}"
    return text


def no_room(moment: Moment, place: Place) -> list[Hold]:
    """Why a CE queue takes no more jobs."""
    row, holds = place.row, []
    settings: CE = moment.config.ces.at(row.url)
    if settings.status != "online":
        holds.append(Hold(Why.OFFLINE, f"{row.url} is {settings.status} in the configuration (ces/ce)"))
    if row.ce_status != "online" or row.status != "online":
        status = row.ce_status if row.status == "online" else row.status
        holds.append(Hold(Why.OFFLINE, f"{place.name} is set {status}"))
    if row.full_until is not None and row.full_until > moment.now:
        holds.append(
            Hold(Why.FULL, f"{row.url} says that it takes no more jobs", row.full_until, f"{row.url} is asked again")
        )
    if (closed := moment.orders.closed(row.url, row.queue)) is not None:
        holds.append(hold(place.health.url if closed.kind == Kind.CE else place.name, closed))
    elif place.load.room <= 0:
        holds.append(_filled_up(moment, place))
    elif place.ahead >= place.load.room:
        first = f"{some(place.ahead, 'attempt')} of the same share come first"
        holds.append(Hold(Why.LIMIT, f"{place.name} has room for {place.load.room}, and {first}"))
    return holds


def _filled_up(moment: Moment, place: Place) -> Hold:
    """The limit that a CE queue has reached, and who set it if it was an order."""
    row, load = place.row, place.load
    if load.probing and (probe := moment.orders.probe(row.url, row.queue)) is not None:
        return hold(place.name, probe)
    reached = What.MAX_JOBS if load.limits.max_jobs <= load.jobs else What.MAX_WAITING
    order = moment.orders.limit(reached, row.url, row.queue)
    if order is not None:
        return hold(f"{place.name} has {filled(load)}: it", order)
    return Hold(Why.LIMIT, f"{place.name} has {filled(load)}")


def filled(load: Load) -> str:
    """How full a CE queue is, against its limits."""
    limits = load.limits
    one = ", one at a time" if load.probing is not None else ""
    text = f"{load.waiting} waiting of at most {limits.max_waiting}, {load.jobs} in all of at most {limits.max_jobs}"
    return text + one


def silent(moment: Moment, lane: AnyRow | None) -> Hold | None:
    """The CE gave no complete answer for so long that deadlines stand still."""
    silent_s = moment.config.polling.silent_s
    if lane is None or lane.polled is None or lane.polled >= moment.now - silent_s:
        return None
    return Hold(Why.SILENCE, f"the CE has given no complete answer for {span(moment.now - lane.polled)}")


def troubles(moment: Moment, health: Health, holds: Iterable[Hold], proxy_id: int | None = None) -> list[Trouble]:
    """Errors of a CE that are not yet mended by a good answer, and that ``holds`` do not tell already."""
    found = [
        Trouble(f"{health.url}, seen from {b.host}: {b.last_error}", b.last_error_at)
        for b in health.breakers
        if b.last_error and (b.open_until is not None or b.failures or b.last_error_at > (b.last_good or 0.0))
    ]
    lanes = [lane for lane in health.lanes if lane.error and proxy_id in (None, lane.proxy_id)]
    found += [Trouble(f"{health.url}, role '{moment.role(lane.proxy_id)}': {lane.error}") for lane in lanes]
    for shown in [lane.proxy_id for lane in health.lanes] if proxy_id is None else [proxy_id]:
        found += moment.renewal(shown, health.url)
    told = " ".join(h.text for h in holds)
    return [t for t in found if t.text.partition(": ")[2] not in told]
