"""Breakers, lanes, delegations, identity: what daemons share, also when several write at the same moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update

from act.db import ces, credentials, lanes, meta
from act.db.engine import NOW, Database
from act.db.schema import breakers, cejobs, delegations
from act.db.schema import lanes as lane_rows
from act.states import NEEDS_DELEGATION
from tests.kit import Rows

HOST = "here"


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def ce_id(rows: Rows) -> int:
    return rows.ce_of(rows.place())


def run(rows: Rows, work: Callable[[Connection], Any]) -> Any:
    return rows.db.run("test", work)


def both(rows: Rows, work: Callable[[Connection], Any]) -> list[Any]:
    """``work`` in two transactions, neither of which inserts before the other has looked, if the database lets it."""
    meeting = threading.Barrier(2)

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT"):
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(0.2)

    event.listen(rows.db.engine, "before_cursor_execute", before)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: run(rows, work), range(2), timeout=30))
    event.remove(rows.db.engine, "before_cursor_execute", before)
    return results


# -- breakers ----------------------------------------------------------------------------------------------------------


def fail(rows: Rows, ce_id: int, threshold: int = 3, open_s: float = 30) -> bool:
    return bool(
        run(rows, lambda c: ces.failed(c, ce_id, HOST, "no", threshold=threshold, open_s=open_s, max_open_s=100))
    )


def open_s(rows: Rows, ce_id: int) -> float | None:
    query = select(breakers.c.open_until - NOW).where(breakers.c.ce_id == ce_id)
    left: float | None = run(rows, lambda c: c.execute(query).scalar())
    return left


def test_a_breaker_opens_at_the_threshold_and_longer_each_time_up_to_a_limit(rows: Rows, ce_id: int) -> None:
    assert [fail(rows, ce_id) for _ in range(3)] == [False, False, True]
    assert open_s(rows, ce_id) == pytest.approx(30, abs=5)
    fail(rows, ce_id)
    assert open_s(rows, ce_id) == pytest.approx(60, abs=5)
    for _ in range(40):
        fail(rows, ce_id)
    assert open_s(rows, ce_id) == pytest.approx(100, abs=5)


def test_an_open_breaker_is_one_host_s_and_its_end_lets_one_probe(rows: Rows, ce_id: int) -> None:
    fail(rows, ce_id, threshold=1)
    assert run(rows, lambda c: ces.shut(c, HOST)) == {ce_id: False}
    assert run(rows, lambda c: ces.shut(c, "another")) == {}
    assert not run(rows, lambda c: ces.try_half_open(c, ce_id, HOST, 30))
    run(rows, lambda c: c.execute(update(breakers).values(open_until=NOW - 1)))
    assert run(rows, lambda c: ces.shut(c, HOST)) == {ce_id: True}
    assert sorted(both(rows, lambda c: ces.try_half_open(c, ce_id, HOST, 30))) == [False, True]


def test_a_good_answer_closes_the_breaker_and_forgets_the_failures(rows: Rows, ce_id: int) -> None:
    fail(rows, ce_id, threshold=1)
    run(rows, lambda c: ces.good(c, ce_id, HOST))
    assert run(rows, lambda c: ces.shut(c, HOST)) == {}
    assert [fail(rows, ce_id) for _ in range(2)] == [False, False]


def test_daemons_that_first_hear_of_a_ce_at_the_same_moment_do_not_fail(rows: Rows, ce_id: int) -> None:
    both(rows, lambda c: ces.good(c, ce_id, HOST))
    both(rows, lambda c: ces.failed(c, ce_id, "other", "no", threshold=2, open_s=1, max_open_s=1))
    failures = select(breakers.c.failures).where(breakers.c.host == "other")
    assert run(rows, lambda c: c.execute(failures).scalar()) == 2


@pytest.mark.parametrize("work", [
    lambda c: ces.ensure(c, "fake", "https://new", "q"),
    lambda c: meta.stop(c, "alarm"),
    lambda c: meta.count(c, "lost_answers"),
    lambda c: meta.note_archived(c, 7),
    lambda c: meta.report(c, "h", "submitter", 1, passes=1, moved=0, statements=0),
], ids=["ensure", "stop", "count", "note_archived", "report"])  # fmt: skip
def test_a_row_made_twice_at_the_same_moment_is_there_once(rows: Rows, work: Callable[[Connection], Any]) -> None:
    first, second = both(rows, work)
    assert first == second


def test_counters_count_every_caller(rows: Rows) -> None:
    both(rows, lambda c: meta.count(c, "lost_answers"))
    query = select(meta.meta.c.value).where(meta.meta.c.name == "lost_answers")
    assert run(rows, lambda c: c.execute(query).scalar()) == "2"


# -- lanes -------------------------------------------------------------------------------------------------------------


def test_a_lane_is_due_when_its_stamp_is_old_or_missing(rows: Rows, ce_id: int) -> None:
    lane = (ce_id, rows.proxy())

    def due() -> list[tuple[int, int]]:
        return rows.db.read("t", lambda c: lanes.due(c, "fake", "polled", 30))

    assert due() == []
    run(rows, lambda c: lanes.ensure(c, *lane))
    assert due() == [lane]
    run(rows, lambda c: lanes.polled(c, *lane, 600))
    assert due() == []
    run(rows, lambda c: c.execute(update(lane_rows).values(polled=NOW - 31)))
    assert due() == [lane]


def test_a_lane_rests_while_it_is_paused_and_an_answer_ends_that(rows: Rows, ce_id: int) -> None:
    lane = (ce_id, rows.proxy())
    run(rows, lambda c: lanes.pause(c, *lane, 60, "the CE refuses the proxy"))
    assert rows.db.read("t", lanes.paused) == {lane}
    run(rows, lambda c: lanes.polled(c, *lane, 600))
    assert rows.db.read("t", lanes.paused) == set()


def test_a_lane_of_a_poller_that_died_is_free_when_its_lease_ends(rows: Rows, ce_id: int) -> None:
    lane = (ce_id, rows.proxy())
    run(rows, lambda c: lanes.ensure(c, *lane))
    assert run(rows, lambda c: lanes.try_poll(c, *lane, "one", 60))
    run(rows, lambda c: lanes.unclaim(c, *lane, "two"))
    assert not run(rows, lambda c: lanes.try_poll(c, *lane, "two", 60))
    run(rows, lambda c: c.execute(update(lane_rows).values(claimed_until=NOW - 1)))
    assert run(rows, lambda c: lanes.try_poll(c, *lane, "two", 60))


# -- delegations -------------------------------------------------------------------------------------------------------


def delegated(rows: Rows, ce_id: int, proxy_id: int) -> int:
    assert run(rows, lambda c: credentials.add_delegation(c, ce_id, proxy_id, "remote", 1))
    run(rows, lambda c: c.execute(update(delegations).values(used=NOW - 3600)))
    return int(run(rows, lambda c: c.execute(select(delegations.c.id)).scalar()))


def test_a_lane_has_one_delegation(rows: Rows, ce_id: int) -> None:
    proxy = rows.proxy()
    made = both(rows, lambda c: credentials.add_delegation(c, ce_id, proxy, "remote", 1))
    assert sorted(made) == [False, True]


@pytest.mark.parametrize("state", NEEDS_DELEGATION)
def test_a_delegation_stays_while_an_attempt_may_act_with_it(rows: Rows, state: str) -> None:
    place, proxy = rows.place(), rows.proxy()
    lane = (rows.ce_of(place), proxy)
    delegation = delegated(rows, *lane)
    (job,) = rows.at_ce(1, state, place=place, proxy_id=proxy, delegation_id=delegation)
    assert rows.db.read("t", lambda c: credentials.restless(c, "fake", 600)) == []
    assert run(rows, lambda c: credentials.start_removal(c, *lane, 600)) is None
    rows.put([job], "done")
    assert rows.db.read("t", lambda c: credentials.restless(c, "fake", 600)) == [lane]
    assert run(rows, lambda c: credentials.start_removal(c, *lane, 600)).remote_id == "remote"
    assert run(rows, lambda c: credentials.live_delegation(c, *lane)) is None
    run(rows, lambda c: credentials.forget(c, delegation))
    assert rows.get(job).delegation_id is None


def test_a_delegation_just_used_is_not_removed(rows: Rows, ce_id: int) -> None:
    proxy = rows.proxy()
    delegation = delegated(rows, ce_id, proxy)
    run(rows, lambda c: credentials.touch(c, delegation))
    assert run(rows, lambda c: credentials.start_removal(c, ce_id, proxy, 600)) is None


def test_a_renewed_proxy_makes_its_delegations_outdated_until_they_are_renewed(rows: Rows, ce_id: int) -> None:
    proxy = rows.proxy()
    delegation = delegated(rows, ce_id, proxy)
    assert run(rows, lambda c: credentials.outdated(c, ce_id, proxy)) is None
    assert rows.proxy() == proxy  # the role's next proxy takes its place
    outdated = run(rows, lambda c: credentials.outdated(c, ce_id, proxy))
    assert (outdated.id, outdated.generation) == (delegation, 2)
    run(rows, lambda c: credentials.renewed(c, delegation, outdated.generation))
    assert run(rows, lambda c: credentials.outdated(c, ce_id, proxy)) is None


# -- identity ----------------------------------------------------------------------------------------------------------


def test_a_database_keeps_its_identity_and_a_copy_can_get_its_own(rows: Rows) -> None:
    before = rows.db.read("t", meta.identity)
    run(rows, meta.initialise)
    assert rows.db.read("t", meta.identity) == before
    run(rows, lambda c: meta.stop(c, "restored"))
    run(rows, lambda c: meta.stop(c, "again"))
    assert rows.db.read("t", meta.stopped) == "restored"
    assert run(rows, meta.clone_identity) == rows.db.read("t", meta.identity) != before
    assert rows.db.read("t", meta.stopped) is None


def test_the_highest_number_is_remembered_when_its_attempt_is_archived(rows: Rows) -> None:
    ids = rows.attempts(3, [rows.place()], rows.proxy())
    assert rows.db.read("t", meta.highest_cejob) == ids[-1]
    run(rows, lambda c: meta.note_archived(c, ids[-1]))
    run(rows, lambda c: meta.note_archived(c, ids[0]))
    run(rows, lambda c: c.execute(cejobs.delete()))
    assert rows.db.read("t", meta.highest_cejob) == ids[-1]
    assert rows.attempts(1, [rows.place()], rows.proxy())[0] > ids[-1]
