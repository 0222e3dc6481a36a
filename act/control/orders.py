"""Orders as operators give them: names that the tower knows, ends in time, and what a change would be before it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from act.config import CoreConfig
from act.db import meta, orders, situation
from act.db.orders import LIMITS, Kind, Order, What, plain
from act.errors import ActError
from act.explain.ordered import describe, phrase, until
from act.explain.words import clock
from act.interfaces import plugins

LEGAL = {
    Kind.CE: frozenset({What.DRAIN, What.PAUSE, *LIMITS}),
    Kind.CEQUEUE: frozenset(What),
    Kind.QUEUE: frozenset({What.DRAIN, What.PAUSE, *LIMITS}),
    Kind.SHARE: frozenset({What.DRAIN, What.PAUSE}),
}
AT_CE = (Kind.CE, Kind.CEQUEUE)
LONGEST_WHY = 1000
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Subject:
    """What orders are about, by names that the tower knows. text: in words."""

    kind: Kind
    name: str
    queue: str = ""

    @property
    def text(self) -> str:
        """For people."""
        if self.kind is Kind.CEQUEUE:
            return f"queue {self.queue or '(its default)'} of CE {self.name}"
        return f"{'CE' if self.kind is Kind.CE else self.kind} {self.name}"


def subject(connection: Connection, config: CoreConfig, kind: Kind, name: str, queue: str = "") -> Subject:
    """Find what is meant; enough of a CE's URL will do. Raises ActError that tells the nearest known names."""
    if kind in AT_CE:
        return _at_ce(connection, config, kind, name, queue)
    if kind is Kind.QUEUE:
        known = {q for application in plugins("act.app").values() for q in application.operations.queues(connection)}
        return Subject(kind, _one("queue", name, known))
    return Subject(kind, share(connection, name))


def share(connection: Connection, name: str) -> str:
    """A share by its name, or by that of whom it belongs to. Raises ActError."""
    found = _shares(connection, name)
    if name in found:
        return name
    owned = [s for s, owner in found.items() if owner == name]
    if len(owned or found) == 1:
        return next(iter(owned or found))
    if found:
        some = "; ".join(f"{s} of {owner}" for s, owner in sorted(found.items())[:5])
        raise ActError(f"'{name}' could be any of {some}: say more of it")
    raise ActError(f"no share '{name}' and nobody of that name is known here{_near(name, _shares(connection, ''))}")


def _shares(connection: Connection, text: str) -> dict[str, str]:
    applications = plugins("act.app").values()
    return {s: owner for a in applications for s, owner in a.operations.shares(connection, text).items()}


def _at_ce(connection: Connection, config: CoreConfig, kind: Kind, name: str, queue: str) -> Subject:
    rows = situation.ces_named(connection, "")
    url = _one("CE", name, {r.url for r in rows} | {ce.url for ce in config.ces.ce}, parts=True)
    if kind is Kind.CE:
        return Subject(kind, url)
    here = [r.id for r in rows if plain(r.url) == plain(url)]
    known = {q.queue for i in here for q in situation.cequeues_of(connection, i)}
    if queue not in known:
        names = ", ".join(sorted(q or "'' (its default)" for q in known)) or "none yet"
        raise ActError(f"CE {url} has no queue '{queue}' here (known: {names})")
    return Subject(kind, url, queue)


def _one(what: str, name: str, known: Collection[str], *, parts: bool = False) -> str:
    """The known name that is meant. parts: some of it will do."""
    exact = [k for k in known if plain(k) == plain(name)]
    found = exact or ([k for k in known if name in k] if parts and name else [])
    if len({plain(k) for k in found}) == 1:
        return min(found)
    if found:
        raise ActError(f"'{name}' could be any of {', '.join(sorted(found)[:10])}: say more of it")
    raise ActError(f"no {what} '{name}' is known here{_near(name, known)}")


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if near:
        return f": did you mean {' or '.join(near)}?"
    return f" (known: {', '.join(sorted(known)[:10])})" if known else ": none is known yet"


def end(text: str, now: float) -> float:
    """``30min``, ``2h``, ``1d``, or a time like ``2026-11-23T10:00`` (UTC unless it says otherwise) -> seconds since
    the epoch. Raises ActError, also for a time that is over."""
    if span := _SPAN.fullmatch(text.strip().lower()):
        return now + float(span[1]) * _SECONDS[span[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ActError(f"'{text}' is no time: say 30min, 2h, 1d, or 2026-11-23T10:00 (UTC)") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds <= now:
        raise ActError(f"{clock(seconds)} UTC is over already")
    return seconds


def give(connection: Connection, config: CoreConfig, order: Order, *, who: str, dry_run: bool = False) -> str:
    """Put an order into force; what that changes, in words. Safe to repeat. who: ``operator-<name>``.

    Raises ActError for what is not known or makes no sense.
    """
    about = subject(connection, config, order.kind, order.name, order.queue)
    wanted = replace(order, name=about.name, queue=about.queue, why=order.why.strip()[:LONGEST_WHY])
    _check(wanted, meta.clock(connection))
    before = orders.standing(connection).of(about.kind, about.name, about.queue).get(order.what)
    if not dry_run:
        orders.give(connection, wanted, who)
    told = f"{about.text}: {phrase(wanted)}{until(wanted.until)}"
    if before is None:
        return told
    if (before.value, before.until, before.why) == (wanted.value, wanted.until, wanted.why):
        return f"{told}: it is so already, nothing changes"
    return f"{told}, instead of: {describe(before)}"


def _check(order: Order, now: float) -> None:
    """Raises ActError."""
    if order.what not in LEGAL[order.kind]:
        known = ", ".join(what for what in What if what in LEGAL[order.kind])
        raise ActError(f"there is no order '{order.what}' for a {order.kind} (there are: {known})")
    if not order.why:
        raise ActError("say why: those who come after you will want to know")
    if order.what in LIMITS and (order.value is None or order.value < 0):
        raise ActError(f"{order.what} must be a number that is not negative")
    if order.until is not None and order.until <= now:
        raise ActError(f"its end, {clock(order.until)} UTC, is over already")


def take_back(
    connection: Connection, about: Subject, whats: Sequence[What], *, who: str, why: str, dry_run: bool = False
) -> list[str]:
    """End the orders of these kinds for one thing; those that were in force, in words. Safe to repeat."""
    there = orders.standing(connection).of(about.kind, about.name, about.queue)
    told = []
    for what in whats:
        row = there.get(what)
        if row is None:
            continue
        if not dry_run:
            orders.take_back(connection, about.kind, row.name, about.queue, what, who, why.strip()[:LONGEST_WHY])
        told.append(f"{about.text}: no longer: {describe(row)}")
    return told


def beside(connection: Connection, about: Subject, whats: Sequence[What]) -> list[str]:
    """The orders in force that touch the same thing, but for those of these kinds for itself; in words."""
    at_ce = about.kind in AT_CE
    told = []
    for row in orders.in_force(connection):
        itself = (row.kind, row.queue) == (about.kind, about.queue)
        if (row.kind in AT_CE) == at_ce and plain(row.name) == plain(about.name) and not (itself and row.what in whats):
            told.append(f"{Subject(Kind(row.kind), row.name, row.queue).text} {describe(row)}")
    return told
