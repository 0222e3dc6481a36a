"""guard: keeps jobs from black holes, and jobs that come to nothing from all CEs.

It reads the events that came since its last pass. Whoever writes down how far it has read may act on what it found, so
that one guard acts, however many there are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Connection

from act.control.guard import black_hole, recovered
from act.daemons.base import Daemon, Key
from act.db import ces, ends, figures, meta, orders, waiting
from act.db.ends import End
from act.db.engine import AnyRow
from act.db.orders import Kind, Order, What

log = logging.getLogger(__name__)

AT_ONCE = 20_000  # events that one pass looks at
MOST = 500_000  # events after a time without a guard: those before are looked at no more
KEPT = 200  # ends of each CE queue
_SEEN = "guard_seen"  # in meta: the last event looked at


class Guard(Daemon):
    """Gives and takes back the orders for one job at a time; see `act.config.Guard`."""

    kind = "guard"

    def lanes(self) -> Sequence[Key]:
        return [] if self.context.config.guard.disabled else [None]

    def work(self, lane: Key) -> int:
        """Returns how many orders were given and taken back, and jobs quarantined."""
        seen = self.db.read("seen", lambda c: meta.value(c, _SEEN))
        newest = self.db.read("events", lambda c: figures.settled(c, int(seen or 0)))
        if seen is None:  # what was before the first guard is over
            self.db.run("seen", lambda c: meta.swap(c, _SEEN, None, str(newest)))
            return 0
        after = max(int(seen), newest - MOST)
        upto = min(newest, after + AT_ONCE)
        if upto <= int(seen):
            return 0
        least = self.context.config.guard.submissions
        found = self.db.read("ends", lambda c: ends.gather(c, after=after, upto=upto))
        poison = self.db.read("fruitless", lambda c: ends.fruitless(c, after=after, upto=upto, least=least))
        return self.db.run("guard", lambda c: self._act(c, seen, upto, found, poison))

    def _act(self, connection: Connection, seen: str, upto: int, found: Sequence[End], poison: Sequence[int]) -> int:
        if not meta.swap(connection, _SEEN, seen, str(upto)):
            return 0  # another guard was faster
        rules = self.context.config.guard
        ends.keep(connection, found, most=max(KEPT, rules.window))
        places = ces.queues_at(connection, {end.cequeue_id for end in found})
        changed = [place for place in places if self._judge(connection, place)]
        why = f"{rules.submissions} times it was at a CE and ended there without having been allowed to run"
        refused = waiting.quarantine(connection, poison, who=self.name, why=why)
        return len(changed) + len(poison) - len(refused)

    def _judge(self, connection: Connection, place: AnyRow) -> bool:
        """Whether an order was given or taken back for a CE queue at which an attempt has ended."""
        rules = self.context.config.guard
        about = (Kind.CEQUEUE, place.url, place.queue)
        order = orders.standing(connection).probe(place.url, place.queue)
        if order is None:
            over = orders.ended(connection, *about, What.PROBE) or 0.0  # what was before is forgiven
            since = max(meta.clock(connection) - rules.within_s, over)
            if why := black_hole(ends.latest(connection, place.id, since=since, limit=rules.window), rules):
                log.warning("queue '%s' of CE %s gets one job at a time: %s", place.queue, place.url, why)
                probe = Order(kind=Kind.CEQUEUE, name=place.url, queue=place.queue, what=What.PROBE, why=why)
                orders.give(connection, probe, self.name)
                return True
        elif order.who.partition(".")[0] == self.kind:
            probes = ends.latest(connection, place.id, since=order.since, limit=KEPT)
            if recovered([end for end in probes if end.placed is not None and end.placed >= order.since], rules):
                log.info("queue '%s' of CE %s gets all its jobs again", place.queue, place.url)
                why = f"the last {rules.probes} jobs that it got did not fail fast"
                return orders.take_back(connection, *about, What.PROBE, self.name, why)
        return False
