"""Orders: they win over the configuration until their end, each leaves a trace, and claims obey them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from act.db import claims, meta, orders
from act.db.claims import Limits
from act.db.engine import NOW, Database
from act.db.orders import Kind, Order, What
from act.db.schema import candidates
from tests.kit import Claimer
from tests.tower import pass_time

WHO = "operator-anna"
CE1, CE2 = "https://ce1.example.org/arex", "https://ce2.example.org/arex"


@pytest.fixture
def rows(database: Database) -> Claimer:
    return Claimer(database)


def give(rows: Claimer, kind: Kind, name: str, what: What, *, queue: str = "", for_s: float | None = None,
         value: int | None = None, why: str = "downtime", who: str = WHO) -> int:  # fmt: skip
    def work(connection: Any) -> int:
        until = None if for_s is None else meta.clock(connection) + for_s
        order = Order(kind=kind, name=name, queue=queue, what=what, value=value, until=until, why=why)
        return orders.give(connection, order, who)

    return rows.db.run("test", work)


def take_back(rows: Claimer, kind: Kind, name: str, what: What, queue: str = "") -> bool:
    return rows.db.run("test", lambda c: orders.take_back(c, kind, name, queue, what, WHO, "it is over"))


def in_force(rows: Claimer) -> list[tuple[str, str]]:
    return [(r.what, r.name) for r in rows.db.read("test", orders.in_force)]


def happened(rows: Claimer) -> list[tuple[str, str, str]]:
    return [(r.event, r.who, r.why) for r in reversed(rows.db.read("test", orders.history))]


# -- giving and taking back --------------------------------------------------------------------------------------------


def test_an_order_is_in_force_until_it_is_taken_back_and_both_are_told(rows: Claimer) -> None:
    number = give(rows, Kind.CE, CE1, What.DRAIN)
    assert in_force(rows) == [("drain", CE1)]
    assert take_back(rows, Kind.CE, CE1, What.DRAIN)
    assert in_force(rows) == []
    assert happened(rows) == [
        ("drain", WHO, f"drain ce {CE1}: downtime"),
        ("resume", WHO, f"drain ce {CE1} taken back: it is over"),
    ]
    assert {r.job_id for r in rows.db.read("test", orders.history)} == {number}


def test_the_same_order_again_changes_nothing(rows: Claimer) -> None:
    first = give(rows, Kind.QUEUE, "Q", What.MAX_JOBS, value=5)
    assert give(rows, Kind.QUEUE, "Q", What.MAX_JOBS, value=5) == first
    assert len(happened(rows)) == 1
    take_back(rows, Kind.QUEUE, "Q", What.MAX_JOBS)
    assert not take_back(rows, Kind.QUEUE, "Q", What.MAX_JOBS)
    assert len(happened(rows)) == 2


def test_another_value_takes_the_place_of_the_one_before(rows: Claimer) -> None:
    give(rows, Kind.CE, CE1, What.MAX_JOBS, value=5)
    give(rows, Kind.CE, CE1, What.MAX_JOBS, value=0, why="worse", who="operator-bert")
    (row,) = rows.db.read("test", orders.in_force)
    assert (row.value, row.why, row.who) == (0, "worse", "operator-bert")
    assert [text for _, _, text in happened(rows)] == [
        f"max_jobs=5 ce {CE1}: downtime", f"max_jobs=0 ce {CE1}: worse"
    ]  # fmt: skip


def test_an_order_whose_end_has_come_counts_no_more(rows: Claimer) -> None:
    give(rows, Kind.SHARE, "A", What.PAUSE, for_s=3600)
    assert len(in_force(rows)) == 1
    pass_time(rows.db, 3601)
    assert in_force(rows) == []
    assert not take_back(rows, Kind.SHARE, "A", What.PAUSE)


def test_an_order_that_has_ended_can_be_given_again_and_is_forgotten_in_time(rows: Claimer) -> None:
    give(rows, Kind.SHARE, "A", What.PAUSE)
    pass_time(rows.db, 3600)
    take_back(rows, Kind.SHARE, "A", What.PAUSE)
    begun = rows.db.read("test", meta.clock)
    assert rows.db.run("test", lambda c: orders.ended(c, "share", "A", "", "pause")) == pytest.approx(begun, abs=60)
    give(rows, Kind.SHARE, "A", What.PAUSE)
    (row,) = rows.db.read("test", orders.in_force)
    assert row.since >= begun - 60
    assert rows.db.run("test", lambda c: orders.ended(c, "share", "A", "", "pause")) is None
    take_back(rows, Kind.SHARE, "A", What.PAUSE)
    pass_time(rows.db, orders.KEPT_S + 60)
    give(rows, Kind.SHARE, "B", What.PAUSE)
    assert rows.db.run("test", lambda c: orders.ended(c, "share", "A", "", "pause")) is None


# -- what claims do ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "what", "queue"), [
    (Kind.CE, What.DRAIN, ""), (Kind.CE, What.PAUSE, ""), (Kind.CEQUEUE, What.DRAIN, "default"),
    (Kind.CEQUEUE, What.PAUSE, "default"),
])  # fmt: skip
def test_nothing_is_given_to_a_ce_that_is_drained_or_paused(rows: Claimer, kind: Kind, what: What, queue: str) -> None:
    here, there = rows.place("ce1"), rows.place("ce2")
    rows.attempts(3, [here, there], rows.proxy_id)
    give(rows, kind, CE1 + "/", what, queue=queue, for_s=60)
    assert rows.take(here) == []
    assert rows.db.read("test", lambda c: claims.lanes(c, "fake")) == [(rows.ce_of(there), rows.proxy_id)]
    assert len(rows.take(there)) == 3
    rows.attempts(1, [here], rows.proxy_id)
    pass_time(rows.db, 61)
    assert len(rows.take(here)) == 1


def test_only_the_queue_that_is_meant_is_drained(rows: Claimer) -> None:
    short, long = rows.place("ce1", "short"), rows.place("ce1", "long")
    rows.attempts(2, [short, long], rows.proxy_id)
    give(rows, Kind.CEQUEUE, CE1, What.DRAIN, queue="short")
    assert {r.cequeue_id for r in rows.take(short)} == {long}


def test_what_waits_for_a_drained_ce_too_goes_to_another_that_is_busy(rows: Claimer) -> None:
    busy, idle = rows.place("ce1"), rows.place("ce2")
    rows.at_ce(10, "submitted", place=busy, proxy_id=rows.proxy_id)
    ids = rows.attempts(3, [busy, idle], rows.proxy_id)
    assert rows.take(busy) == []
    give(rows, Kind.CE, CE2, What.DRAIN)
    assert [r.id for r in rows.take(busy)] == ids


@pytest.mark.parametrize(("kind", "queue"), [(Kind.CE, ""), (Kind.CEQUEUE, "default")])
@pytest.mark.parametrize("what", [What.MAX_WAITING, What.MAX_JOBS])
def test_ordered_limits_win_over_those_of_the_configuration_and_of_the_queue_itself(
    rows: Claimer, what: What, kind: Kind, queue: str
) -> None:
    place = rows.place("ce1")
    rows.attempts(20, [place], rows.proxy_id)
    give(rows, kind, CE1, what, queue=queue, value=4, for_s=60)
    assert len(rows.take(place, default=Limits(10, 10))) == 4
    assert rows.take(place, default=Limits(10, 10)) == []
    pass_time(rows.db, 61)
    assert len(rows.take(place, default=Limits(10, 10))) == 6


def test_the_limit_of_a_ce_queue_comes_before_that_of_its_ce(rows: Claimer) -> None:
    short, long = rows.place("ce1", "short"), rows.place("ce1", "long")
    rows.attempts(20, [short], rows.proxy_id)
    rows.attempts(20, [long], rows.proxy_id)
    give(rows, Kind.CE, CE1, What.MAX_JOBS, value=2)
    give(rows, Kind.CEQUEUE, CE1, What.MAX_JOBS, queue="long", value=5)
    assert Counter(r.cequeue_id for r in rows.take(short)) == {short: 2, long: 5}


@pytest.mark.parametrize("kind", [Kind.SHARE, Kind.QUEUE])
def test_a_share_that_is_paused_gets_no_place_and_others_get_its_part(rows: Claimer, kind: Kind) -> None:
    place = rows.place("ce1")
    rows.attempts(10, [place], rows.proxy_id, share="A", priority=1000)
    rows.attempts(10, [place], rows.proxy_id, share="B")
    give(rows, kind, "A", What.PAUSE)
    assert Counter(r.share for r in rows.take(place, limit=8)) == {"B": 8}
    take_back(rows, kind, "A", What.PAUSE)
    assert "A" in {r.share for r in rows.take(place, limit=8)}


def test_a_share_that_is_drained_has_its_waiting_attempts_placed(rows: Claimer) -> None:
    place = rows.place("ce1")
    rows.attempts(3, [place], rows.proxy_id, share="A")
    give(rows, Kind.SHARE, "A", What.DRAIN)
    assert len(rows.take(place)) == 3


def test_a_probed_ce_queue_gets_one_job_at_a_time_beside_those_that_were_there(rows: Claimer) -> None:
    place = rows.place("ce1")
    old = rows.at_ce(5, "running", place=place, proxy_id=rows.proxy_id, placed=NOW - 7200)
    rows.attempts(10, [place], rows.proxy_id)
    give(rows, Kind.CEQUEUE, CE1, What.PROBE, queue="default", who="guard")
    (one,) = rows.take(place)
    assert rows.take(place) == []
    rows.put([one.id], "running")
    rows.put(old, "finished")
    assert rows.take(place) == []
    rows.put([one.id], "failed")
    assert len(rows.take(place)) == 1


def test_attempts_do_not_wait_for_a_ce_queue_that_is_probed(rows: Claimer) -> None:
    busy, probed = rows.place("ce1"), rows.place("ce2")
    rows.at_ce(10, "submitted", place=busy, proxy_id=rows.proxy_id)
    ids = rows.attempts(3, [busy, probed], rows.proxy_id)
    give(rows, Kind.CEQUEUE, CE2, What.PROBE, queue="default", who="guard")
    assert [r.id for r in rows.take(busy)] == ids


def test_orders_change_no_row_of_what_waits(rows: Claimer) -> None:
    place = rows.place("ce1")
    (job,) = rows.attempts(1, [place], rows.proxy_id)
    before = rows.get(job)
    give(rows, Kind.CE, CE1, What.PAUSE)
    rows.take(place)
    assert rows.get(job) == before
    assert rows.db.read("test", lambda c: c.execute(select(candidates.c.open)).scalars().all()) == [True]
