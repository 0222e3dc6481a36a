"""What keeps a CE, or a queue of it, from taking and following jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from act.config import CE
from act.db import claims, situation
from act.db.claims import Limits, Load
from act.db.engine import AnyRow
from act.explain.moment import Moment
from act.explain.story import Hold, Trouble, Why
from act.explain.words import ago, some, span


@dataclass(frozen=True)
class Health:
    """A CE as hosts and credentials see it: rows of ``ces``, ``breakers``, ``lanes``."""

    url: str
    breakers: Sequence[AnyRow] = ()
    lanes: Sequence[AnyRow] = ()

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
        queue = f" queue {self.row.queue}" if self.row.queue else ""
        return f"{self.row.url}{queue}"


def healths(connection: Connection, urls: dict[int, str]) -> dict[int, Health]:
    """CE number -> health, for CEs given with their URLs."""
    breakers = situation.breakers_of(connection, urls)
    lanes = situation.lanes_of(connection, urls)
    return {
        i: Health(url, [b for b in breakers if b.ce_id == i], [r for r in lanes if r.ce_id == i])
        for i, url in urls.items()
    }


def read(connection: Connection, moment: Moment, rows: Iterable[AnyRow], cejob_id: int | None = None) -> list[Place]:
    """Places of rows of `act.db.situation`; cejob_id: of the attempt that waits for them."""
    rows = list(rows)
    health = healths(connection, {r.ce_id: r.url for r in rows})
    found = []
    for row in rows:
        limits = moment.config.limits_of(moment.config.ces.at(row.url))
        load = claims.load(connection, row, Limits(limits.max_waiting, limits.max_jobs))
        ahead = situation.ahead(connection, row, cejob_id) if cejob_id is not None and row.open else 0
        found.append(Place(row, load, health[row.ce_id], ahead))
    return found


def unwell(moment: Moment, health: Health, daemon: str, proxy_id: int | None = None) -> list[Hold]:
    """Why a daemon leaves a CE alone, wherever it runs; for one credential, or for all."""
    holds = []
    hosts = moment.hosts(daemon) or {b.host for b in health.breakers}
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
    if place.load.room <= 0:
        holds.append(Hold(Why.LIMIT, f"{place.name} has {filled(place.load)}"))
    elif place.ahead >= place.load.room:
        first = f"{some(place.ahead, 'attempt')} of the same share come first"
        holds.append(Hold(Why.LIMIT, f"{place.name} has room for {place.load.room}, and {first}"))
    return holds


def filled(load: Load) -> str:
    """How full a CE queue is, against its limits."""
    limits = load.limits
    return f"{load.waiting} waiting of at most {limits.max_waiting}, {load.jobs} in all of at most {limits.max_jobs}"


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
    told = " ".join(h.text for h in holds)
    return [t for t in found if t.text.partition(": ")[2] not in told]
