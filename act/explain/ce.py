"""How a CE is: health, breakers, lanes, delegations, queues with their limits, jobs by state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from act.db.engine import AnyRow
from act.db.orders import Kind, What
from act.explain import places
from act.explain.attempt import ends, holder
from act.explain.moment import Moment
from act.explain.ordered import describe
from act.explain.places import Health, Place
from act.explain.story import Due, Hold, Story, Why, in_order
from act.explain.words import ago, ahead, some, span
from act.states import CEJOB, NEEDS_DELEGATION


@dataclass(frozen=True)
class Facts:
    """All that is known of a CE. delegations: with the generation of their proxies; waiting: attempts without a CE
    that may come here."""

    row: AnyRow
    health: Health
    places: Sequence[Place] = ()
    delegations: Sequence[AnyRow] = ()
    states: Mapping[str, int] = ()  # type: ignore[assignment]
    waiting: int = 0


def tell(moment: Moment, facts: Facts) -> Story:
    """The whole story of one CE."""
    holds = list(dict.fromkeys(_holds(moment, facts)))
    return Story(
        title=f"CE {facts.row.url}",
        state=_state(moment, facts, holds),
        facts=tuple(_facts(moment, facts)),
        holds=tuple(holds),
        due=in_order(_due(moment, facts, holds)),
        errors=tuple(places.troubles(moment, facts.health, holds)),
    )


def _holds(moment: Moment, facts: Facts) -> list[Hold]:
    holds = [Hold(Why.STOPPED, f"nothing is submitted: {moment.stopped}")] if moment.stopped else []
    for place in facts.places:
        holds += places.no_room(moment, place)
    status = f"status-{facts.row.flavour}"
    for proxy_id in [lane.proxy_id for lane in facts.health.lanes] or [None]:
        holds += places.unwell(moment, facts.health, status, proxy_id)
    if any(facts.states.get(s) for s in NEEDS_DELEGATION):
        holds += moment.idle(moment.turn(status, "follows its jobs"))
    return holds


def _state(moment: Moment, facts: Facts, holds: Sequence[Hold]) -> str:
    """In a word."""
    ordered = moment.orders.of(Kind.CE, facts.row.url)
    for what, word in ((What.PAUSE, "paused"), (What.DRAIN, "drained")):
        if what in ordered:
            return word
    for why, word in ((Why.OFFLINE, "offline"), (Why.SETTINGS, "out of reach"), (Why.BREAKER, "left alone"),
                      (Why.CREDENTIAL, "refuses a credential")):  # fmt: skip
        if any(h.why is why for h in holds):
            return word
    if any(b.failures for b in facts.health.breakers):
        return "in trouble"
    return "well" if facts.health.breakers or facts.health.lanes else "not spoken to yet"


def _facts(moment: Moment, facts: Facts) -> list[tuple[str, str]]:
    told = [("type", facts.row.flavour)]
    told += [("submit point", facts.row.submit_point)] if facts.row.submit_point else []
    told += [("order", describe(order)) for order in moment.orders.of(Kind.CE, facts.row.url).values()]
    told += [("breaker", _breaker(moment, b)) for b in facts.health.breakers]
    told += [("lane", _lane(moment, lane)) for lane in facts.health.lanes]
    told += _token(moment, facts.row.url)
    told += [("delegation", _delegation(moment, d)) for d in facts.delegations]
    told += [("queue", f"{_named(p)}: {places.filled(p.load)}") for p in facts.places]
    told += [("order", f"queue {_named(p)} {describe(order)}") for p in facts.places
             for order in moment.orders.of(Kind.CEQUEUE, p.row.url, p.row.queue).values()]  # fmt: skip
    told.append(("jobs", _jobs(facts)))
    return told


def _named(place: Place) -> str:
    """The name that a CE queue has at its CE."""
    return place.row.queue or "(its default)"


def _token(moment: Moment, url: str) -> list[tuple[str, str]]:
    row = moment.tokens.get(url.rstrip("/"))
    if row is None or moment.config.ces.at(url).token is None:
        return []
    good = row.expires > moment.now
    return [("token", f"good for {span(row.expires - moment.now)}" if good else "not good any more")]


def _breaker(moment: Moment, row: AnyRow) -> str:
    """How one host sees the CE."""
    if row.open_until is not None:
        state = f"open, tried again {ahead(row.open_until, moment.now)}"
    else:
        state = "closed"
    failures = f", {some(row.failures, 'failure')} in a row" if row.failures else ""
    good = f", last found well {ago(row.last_good, moment.now)}" if row.last_good is not None else ""
    return f"host {row.host}: {state}{failures}{good}"


def _lane(moment: Moment, row: AnyRow) -> str:
    told = f"role '{moment.role(row.proxy_id)}': last complete answer {ago(row.polled, moment.now)}"
    if row.claimed_by is not None and row.claimed_until > moment.now:
        told += f", being asked by {holder(row.claimed_by)}"
    if row.paused_until is not None and row.paused_until > moment.now:
        told += f", paused, tried again {ahead(row.paused_until, moment.now)}"
    return told


def _delegation(moment: Moment, row: AnyRow) -> str:
    told = f"role '{row.role}': {row.remote_id}, {row.state}, used {ago(row.used, moment.now)}"
    if row.generation < row.proxy_generation:
        return f"{told}; of proxy {row.generation}, the CE will get proxy {row.proxy_generation}"
    return f"{told}; of the present proxy"


def _jobs(facts: Facts) -> str:
    there = [s for s in CEJOB.states if s != CEJOB.initial and s not in CEJOB.final]  # others have nothing here
    by_state = [f"{facts.states[s]} {s}" for s in there if facts.states.get(s)]
    waiting = f"{some(facts.waiting, 'attempt')} may come here" if facts.waiting else "nothing waits to come here"
    return f"{', '.join(by_state) or 'none'}; {waiting}"


def _due(moment: Moment, facts: Facts, holds: Sequence[Hold]) -> list[Due]:
    due = ends(moment, holds)
    if not holds:
        every = moment.config.polling.status_s
        polled = [lane.polled + every for lane in facts.health.lanes if lane.polled is not None]
        due += [Due(max(min(polled), moment.now), f"status-{facts.row.flavour} asks it")] if polled else []
    return due
