"""CEs: each that the tower knows or the configuration names is spoken to, with a credential that may have rights."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from act.daemons.context import Context
from act.db.engine import AnyRow
from act.doctor.check import Check, Examination, bad, good, unchecked, warning
from act.doctor.facts import Facts
from act.errors import CredentialError, TemporaryError
from act.explain.words import ago, ahead, some

SLOW_S = 5.0
TRIED = 3  # credentials


@dataclass(frozen=True)
class Place:
    """A CE: a row of ``ces``, or what one would be (id 0). breaker: of this host; lanes: of the CE."""

    id: int
    flavour: str
    url: str
    submit_point: str
    breaker: AnyRow | None = None
    lanes: Sequence[AnyRow] = field(default=())


def examinations(context: Context, facts: Facts, missing: Collection[str]) -> Iterator[Examination]:
    """missing: CE types that cannot be spoken to from here."""
    places = _places(context, facts)
    if not places:
        yield Examination("CEs", lambda: [unchecked("CEs", "none is known or configured", _HOW)])
    for place in places:
        yield Examination(_name(place), _look(context, facts, place, place.flavour in missing))


_HOW = "they come with the first jobs for them, from users/ce, or from ces/ce if that says the flavour"


def _look(context: Context, facts: Facts, place: Place, missing: bool) -> Callable[[], list[Check]]:
    return lambda: [look(context, facts, place, missing)]


def _places(context: Context, facts: Facts) -> list[Place]:
    """Those of the database, then those that only the configuration has."""
    found: dict[tuple[str, str, str], Place] = {}
    for row in facts.ces:
        key = (row.flavour, row.url, row.submit_point)
        breaker = row if row.host == context.host else None
        if breaker is not None or key not in found:
            lanes = [lane for lane in facts.lanes if lane.ce_id == row.id]
            found[key] = Place(row.id, row.flavour, row.url, row.submit_point, breaker, lanes)
    config = context.config
    named = {(ce.flavour, ce.url) for ce in config.ces.ce if ce.flavour}
    for flavour, url in sorted(named | {(ce.flavour, ce.url) for ce in config.users.ce}):
        for way in config.ces.ways(flavour, url):
            found.setdefault((flavour, url, way), Place(0, flavour, url, way))
    return list(found.values())


def look(context: Context, facts: Facts, place: Place, missing: bool) -> Check:
    """Speak to one CE; tells its breaker, too."""
    what = _name(place)
    if context.config.ces.at(place.url).status == "offline":
        return unchecked(what, "offline by the configuration")
    if not context.config.ces.reached_from(context.host, place.submit_point):
        return unchecked(what, f"its submit point {place.submit_point} is not reached from here", "ask on its host")
    if missing:
        why = context.factory(place.flavour).missing()
        return warning(what, f"cannot be spoken to from here: {why}", "install what is missing, and restart the tower")
    roles = credentials_for(place, facts, [p.role for p in context.config.proxies.proxy])
    if not roles:
        return unchecked(what, "there is no good proxy to ask it with", "'actctl daemon proxy --once' tells why")
    return _asked(context, facts, place, roles)


def credentials_for(place: Place, facts: Facts, roles: Sequence[str]) -> list[AnyRow]:
    """Good proxies that may have rights: those that have jobs there first, and of these the tower's own."""
    own = {role: n for n, role in enumerate(roles)}
    used = {lane.proxy_id for lane in place.lanes}
    usable = [p for p in facts.proxies.values() if p.expires > facts.now and (p.id in used or p.role in own)]
    return sorted(usable, key=lambda p: (p.id not in used, own.get(p.role, len(own)), -p.expires))[:TRIED]


def _asked(context: Context, facts: Facts, place: Place, proxies: Sequence[AnyRow]) -> Check:
    what, refused = _name(place), list[str]()
    for proxy in proxies:
        before = time.monotonic()
        try:
            _probe(context, place, proxy.id)
        except CredentialError as error:
            refused.append(f"role '{proxy.role}': {error}")
            continue
        except TemporaryError as error:
            told = f"{error}{_breaker(place, facts.now)}"
            todo = f"does 'openssl s_client' reach it? else tell the site; 'actctl explain --ce {place.url}' tells more"
            return bad(what, told, todo)
        took = time.monotonic() - before
        told = f"answers role '{proxy.role}' in {took * 1000:.0f} ms"
        if refused:
            todo = "the site must map that role, or the tower not use it there"
            return warning(what, f"{told}, but refuses {'; '.join(refused)}", todo)
        return _answered(what, told, took, place, facts.now)
    return bad(what, f"refuses {'; '.join(refused)}", "the site must map us; is our CA known there, and the VO?")


def _answered(what: str, told: str, took: float, place: Place, now: float) -> Check:
    """It is well now; was it lately?"""
    paused = [lane for lane in place.lanes if lane.paused_until is not None and lane.paused_until > now]
    if breaker := _breaker(place, now):
        return warning(what, told + breaker, "nothing: it is tried again by itself")
    if paused:
        told += f", {some(len(paused), 'credential')} paused: {paused[0].error}"
        return warning(what, told, "nothing if that is mended: it is tried again by itself")
    if took > SLOW_S:
        return warning(what, told, "it is slow: ask the site about its load")
    return good(what, told)


def _probe(context: Context, place: Place, proxy_id: int) -> None:
    ce = context.look_at_ce(place, proxy_id)
    try:
        ce.probe()
    finally:
        ce.close()


def _breaker(place: Place, now: float) -> str:
    row = place.breaker
    if row is None or not row.failures:
        return ""
    told = f"; {some(row.failures, 'failure')} in a row, the last {ago(row.last_error_at, now)}"
    if row.open_until is not None:
        told += f", left alone, tried again {ahead(row.open_until, now)}"
    return told


def _name(place: Place) -> str:
    return f"CE {place.url}" + (f" by way of {place.submit_point}" if place.submit_point else "")
