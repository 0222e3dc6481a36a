"""What operators, or the guard, have ordered at run time: it wins over the configuration until its end.

Orders are few: who works by them reads them all, once for each transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from act.db import moves
from act.db.engine import AnyRow, inserted_id, now
from act.db.schema import events
from act.db.schema_operating import orders
from act.states import DAY

EVENTS = "order"  # kind of the events of orders
RESUME = "resume"  # event: taken back
KEPT_S = 7 * DAY  # an order that has ended


class Kind(StrEnum):
    """What an order is about."""

    CE = "ce"  # by URL, whatever the way to it
    CEQUEUE = "cequeue"  # the same, and the name of the queue there
    QUEUE = "queue"  # of a source of jobs; its jobs are the share of the same name
    SHARE = "share"


class What(StrEnum):
    """What is ordered."""

    DRAIN = "drain"  # no new jobs; those that are there go on
    PAUSE = "pause"  # a CE is left alone completely; of a queue or share no job is given to a CE
    MAX_WAITING = "max_waiting"
    MAX_JOBS = "max_jobs"
    PROBE = "probe"  # a CE queue gets one job at a time


LIMITS = (What.MAX_WAITING, What.MAX_JOBS)
STOPS = (What.PAUSE, What.DRAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to give. name, queue: as of `Kind`. value: of a limit. until: its end, None: until it is taken back."""

    kind: Kind
    name: str
    queue: str = ""
    what: What
    value: int | None = None
    until: float | None = None
    why: str


class Standing:
    """The orders in force at one moment, by what they are about. Methods that find none return None."""

    def __init__(self, rows: Iterable[AnyRow] = ()) -> None:
        self.rows = tuple(rows)
        self._by: dict[tuple[str, str, str], dict[str, AnyRow]] = {}
        for row in self.rows:
            self._by.setdefault(_key(row.kind, row.name, row.queue), {})[row.what] = row

    def of(self, kind: Kind, name: str, queue: str = "") -> Mapping[str, AnyRow]:
        """What is ordered of one thing -> the order."""
        return self._by.get(_key(kind, name, queue), {})

    def paused(self, url: str) -> AnyRow | None:
        """Why a CE is left alone completely."""
        return self.of(Kind.CE, url).get(What.PAUSE)

    def closed(self, url: str, queue: str) -> AnyRow | None:
        """Why a CE queue gets no new jobs at all; a limit of 0 is as good as a drain."""
        for found in (self.of(Kind.CE, url), self.of(Kind.CEQUEUE, url, queue)):
            for what in STOPS:
                if what in found:
                    return found[what]
        return next((row for what in LIMITS if (row := self.limit(what, url, queue)) and not row.value), None)

    def limit(self, what: What, url: str, queue: str) -> AnyRow | None:
        """The order for a limit of a CE queue: its own comes before that of its CE."""
        return self.of(Kind.CEQUEUE, url, queue).get(what) or self.of(Kind.CE, url).get(what)

    def probe(self, url: str, queue: str) -> AnyRow | None:
        """Why a CE queue gets one job at a time."""
        return self.of(Kind.CEQUEUE, url, queue).get(What.PROBE)

    def paused_ces(self) -> set[str]:
        """CEs that are left alone, as `plain` writes their URLs."""
        return {plain(r.name) for r in self.rows if r.kind == Kind.CE and r.what == What.PAUSE}

    def paused_shares(self) -> set[str]:
        """Shares none of whose waiting attempts is given to a CE, those of paused queues too."""
        return {r.name for r in self.rows if r.kind in (Kind.QUEUE, Kind.SHARE) and r.what == What.PAUSE}

    def share(self, name: str) -> AnyRow | None:
        """Why none of a share's waiting attempts is given to a CE."""
        return self.of(Kind.SHARE, name).get(What.PAUSE) or self.of(Kind.QUEUE, name).get(What.PAUSE)

    def unwanted(self, kind: Kind, name: str) -> AnyRow | None:
        """Why no new jobs of a queue or a share are taken."""
        found = self.of(kind, name)
        return next((found[what] for what in STOPS if what in found), None)


def plain(url: str) -> str:
    """A CE's URL, the same with and without a slash at its end."""
    return url.rstrip("/")


def _key(kind: str, name: str, queue: str) -> tuple[str, str, str]:
    return str(kind), plain(name), queue


def standing(connection: Connection) -> Standing:
    """The orders in force now."""
    return Standing(in_force(connection))


def in_force(connection: Connection, kind: str | None = None) -> Sequence[AnyRow]:
    """Rows of orders whose end has not come, the oldest first."""
    query = select(orders).where(_in_force()).order_by(orders.c.id)
    return connection.execute(query if kind is None else query.where(orders.c.kind == kind)).all()


def _in_force() -> Any:
    return or_(orders.c.until.is_(None), orders.c.until > now())


def give(connection: Connection, order: Order, who: str) -> int:
    """Put an order into force, in the place of one that says the same with another value or end; its number.

    An order that is in force already as it is changes nothing.
    """
    _forget(connection)
    row = _find(connection, order.kind, order.name, order.queue, order.what)
    values = {"value": order.value, "until": order.until, "why": order.why}
    if row is not None and row.stands and (row.value, row.until, row.why) == tuple(values.values()):
        return int(row.id)
    if row is None:
        about = {"kind": order.kind, "name": order.name, "queue": order.queue, "what": order.what}
        number = inserted_id(connection.execute(insert(orders).values(**about, **values, since=now(), who=who)))
    else:
        number = int(row.id)
        since = orders.c.since if row.stands else now()
        connection.execute(update(orders).where(orders.c.id == number).values(**values, since=since, who=who))
    ends = "" if order.until is None else f" until {datetime.fromtimestamp(order.until, UTC):%Y-%m-%d %H:%M} UTC"
    moves.note(connection, EVENTS, [(number, "", f"{_text(order)}{ends}: {order.why}")], who=who, event=order.what)
    return number


def take_back(connection: Connection, kind: str, name: str, queue: str, what: str, who: str, why: str) -> bool:
    """End an order; False if it is not in force."""
    row = _find(connection, kind, name, queue, what)
    if row is None or not row.stands:
        return False
    connection.execute(update(orders).where(orders.c.id == row.id).values(until=now()))
    told = f"{_text(row)} taken back: {why}" if why else f"{_text(row)} taken back"
    moves.note(connection, EVENTS, [(row.id, "", told)], who=who, event=RESUME)
    return True


def ended(connection: Connection, kind: str, name: str, queue: str, what: str) -> float | None:
    """When such an order ended; None if it is in force, or there was none of late."""
    row = _find(connection, kind, name, queue, what)
    return None if row is None or row.stands else float(row.until)


def history(connection: Connection, *, limit: int = 100) -> Sequence[AnyRow]:
    """Events of orders, those of the latest orders first."""
    query = select(events).where(events.c.kind == EVENTS)
    return connection.execute(query.order_by(events.c.job_id.desc(), events.c.id.desc()).limit(limit)).all()


def _find(connection: Connection, kind: str, name: str, queue: str, what: str) -> AnyRow | None:
    """The row of an order, locked. stands: it is in force."""
    about = (orders.c.kind == kind, orders.c.name == name, orders.c.queue == queue, orders.c.what == what)
    return connection.execute(select(orders, _in_force().label("stands")).where(*about).with_for_update()).first()


def _forget(connection: Connection) -> None:
    """Delete the orders that ended long ago."""
    connection.execute(delete(orders).where(orders.c.until < now() - KEPT_S))


def _text(order: Order | AnyRow) -> str:
    """``drain ce https://ce.example.org``, ``max_jobs=10 cequeue https://ce.example.org short``."""
    value = "" if order.value is None else f"={order.value}"
    return f"{order.what}{value} {order.kind} {order.name} {order.queue}".rstrip()
