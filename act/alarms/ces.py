"""CEs that do not answer, that refuse a credential, or that let jobs die. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from act.alarms.alarm import Alarm, Severity
from act.db.engine import AnyRow
from act.db.orders import What, plain
from act.explain.moment import Moment
from act.explain.words import ago, some, span


@dataclass(frozen=True)
class Facts:
    """ces, breakers, lanes (with their role): rows. in_use: CEs by number that have jobs, or may get some that wait."""

    ces: Sequence[AnyRow]
    breakers: Sequence[AnyRow]
    lanes: Sequence[AnyRow]
    in_use: Collection[int]


def of_ces(moment: Moment, facts: Facts) -> Iterator[Alarm]:
    """Those that jobs are at or wait for, unless an operator has them left alone."""
    wanted = {ce.id: ce for ce in facts.ces if ce.id in facts.in_use and _wanted(moment, ce)}
    yield from _down(moment, facts, wanted)
    yield from _refused(moment, facts, wanted)


def suspects(moment: Moment, breakers: Sequence[AnyRow], lanes: Sequence[AnyRow]) -> set[int]:
    """CEs by number that there may be something to say of."""
    return {b.ce_id for b in breakers if _fails(moment, b)} | {r.ce_id for r in lanes if r.paused_until is not None}


def _wanted(moment: Moment, ce: AnyRow) -> bool:
    return moment.config.ces.at(ce.url).status == "online" and plain(ce.url) not in moment.orders.paused_ces()


def _fails(moment: Moment, breaker: AnyRow) -> bool:
    """One failure may be chance, and so may be several in a moment."""
    again = breaker.open_until is not None or breaker.failures > 1
    return again and (breaker.last_good or 0.0) < moment.now - moment.config.alarms.ce_down_s


def _down(moment: Moment, facts: Facts, wanted: Mapping[int, AnyRow]) -> Iterator[Alarm]:
    failing: dict[int, list[AnyRow]] = {}
    for breaker in facts.breakers:
        if breaker.ce_id in wanted and _fails(moment, breaker):
            failing.setdefault(breaker.ce_id, []).append(breaker)
    spoken_to = {b.ce_id for b in facts.breakers}
    severity = Severity.CRITICAL if len(failing) == len(spoken_to) else Severity.WARNING
    for ce_id, breakers in failing.items():
        url, name = wanted[ce_id].url, _name(wanted[ce_id])
        last = max(breakers, key=lambda b: b.last_error_at)
        where = ", ".join(b.host for b in breakers)
        text = f"{name} does not answer (asked from {where}), {ago(last.last_error_at, moment.now)}: {last.last_error}"
        todo = f"'actctl explain --ce {url}' tells more; tell the site, or 'actctl pause ce {url}' while it is down"
        yield Alarm("ce_down", severity, name, text, todo, max((b.last_good or 0.0) for b in breakers) or None)


def _refused(moment: Moment, facts: Facts, wanted: Mapping[int, AnyRow]) -> Iterator[Alarm]:
    """CEs that refuse a credential of the tower, or every one: if it is somebody's own, that is for them to mend. Lanes
    stay marked until the CE takes the credential again."""
    ours = {source.role for source in moment.config.proxies.proxy}
    for ce_id, ce in wanted.items():
        lanes = [lane for lane in facts.lanes if lane.ce_id == ce_id]
        refused = [lane for lane in lanes if lane.paused_until is not None]
        told = refused if len(refused) == len(lanes) else [lane for lane in refused if lane.role in ours]
        if told:
            more = f", nor {some(len(told) - 1, 'other')}" if told[1:] else ""
            text = f"{_name(ce)} does not take the credential of role '{told[0].role}'{more}: {told[0].error}"
            todo = f"'actctl doctor' looks at the credential; else ask the site why it refuses {told[0].role}"
            yield Alarm("ce_credential", Severity.WARNING, _name(ce), text, todo)


def _name(ce: AnyRow) -> str:
    """A CE may be known by several ways to it."""
    return f"{ce.url} through {ce.submit_point}" if ce.submit_point else str(ce.url)


def black_holes(moment: Moment) -> Iterator[Alarm]:
    """CE queues that get one job at a time until jobs live there again."""
    for order in moment.orders.rows:
        if order.what == What.PROBE:
            place = f"{order.name} queue {order.queue}" if order.queue else order.name
            text = f"{place} gets one job at a time, for {span(moment.now - order.since)}: {order.why}"
            resume = f"actctl resume cequeue {order.name} {order.queue}".rstrip()
            todo = f"tell the site; mended, it gets its load back by itself, or by '{resume}'"
            yield Alarm("black_hole", Severity.WARNING, place, text, todo, order.since)
