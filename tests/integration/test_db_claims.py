"""Claims: no row has two holders, limits hold whoever claims, fairness and priority are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import insert

from act.db import cejobs, ces, claims, meta, specs
from act.db.claims import Limits
from act.db.engine import NOW, Database
from act.db.moves import Move
from act.db.schema import breakers, cequeues
from act.errors import CERefused, StaleClaim
from act.states import Event
from tests.kit import Claimer, together


@pytest.fixture
def rows(database: Database) -> Claimer:
    return Claimer(database)


def test_a_claimed_attempt_has_a_place_a_holder_a_delegation_and_a_token_of_its_own(rows: Claimer) -> None:
    place = rows.place()
    ids = rows.attempts(3, [place], rows.proxy_id)
    taken = rows.take(place)
    assert [r.id for r in taken] == ids
    for r in taken:
        assert (r.state, r.cequeue_id, r.ce_id, r.submission) == ("submitting", place, rows.ce_of(place), 1)
        assert (r.claimed_by, r.ce_job_id) == ("me", None) and r.delegation_id is not None
        assert cejobs.parse_token(r.token) == (rows.db.read("t", meta.identity), r.id, 1)
    assert len({r.token.rsplit(".")[-1] for r in taken}) == 3


def test_every_submission_has_another_token(rows: Claimer) -> None:
    place = rows.place()
    (job,) = rows.attempts(1, [place], rows.proxy_id)
    (first,) = rows.take(place)
    back = Move(job, "submitting", Event.PUTBACK)
    rows.db.run("test", lambda c: cejobs.move(c, [back], who="submitter", holder="me"))
    (second,) = rows.take(place)
    assert (first.submission, second.submission) == (1, 2)
    assert first.token != second.token


def test_two_claimers_share_no_attempt(rows: Claimer) -> None:
    place = rows.place()
    ids = rows.attempts(60, [place], rows.proxy_id)
    rows.take(place, limit=0)
    first, second = together(
        lambda: [r.id for _ in range(6) for r in rows.take(place, limit=7, holder="one")],
        lambda: [r.id for _ in range(6) for r in rows.take(place, limit=7, holder="two")],
    )
    assert not set(first) & set(second)
    assert sorted(first + second) == ids


@pytest.mark.parametrize(("limits", "states"), [
    (Limits(max_waiting=20, max_jobs=100), ("submitted",)),
    (Limits(max_waiting=100, max_jobs=20), ("submitted", "running", "tocancel")),
])  # fmt: skip
def test_limits_of_a_ce_queue_hold_over_two_claimers(rows: Claimer, limits: Limits, states: Sequence[str]) -> None:
    place = rows.place()
    for state in states:
        rows.at_ce(4, state, place=place, proxy_id=rows.proxy_id)
    rows.attempts(50, [place], rows.proxy_id)
    rows.take(place, limit=0)
    first, second = together(
        lambda: rows.take(place, default=limits, holder="one"), lambda: rows.take(place, default=limits, holder="two")
    )
    assert len(first) + len(second) == 20 - 4 * len(states)


def test_limits_of_the_queue_itself_come_before_those_of_the_configuration(rows: Claimer) -> None:
    place = rows.place()
    rows.attempts(10, [place], rows.proxy_id)
    rows.db.run("test", lambda c: c.execute(cequeues.update().values(max_waiting=3)))
    assert len(rows.take(place)) == 3


def test_two_claimers_of_a_state_share_no_row(rows: Claimer) -> None:
    place = rows.place()
    ids = rows.at_ce(40, "tocancel", place=place, proxy_id=rows.proxy_id)
    lane = (rows.ce_of(place), rows.proxy_id)

    def take(holder: str) -> list[int]:
        return [
            r.id
            for _ in range(5)
            for r in rows.db.run(
                "test", lambda c: cejobs.claim(c, *lane, "tocancel", holder=holder, lease_s=60, limit=5)
            )
        ]

    first, second = together(lambda: take("one"), lambda: take("two"))
    assert not set(first) & set(second)
    assert sorted(first + second) == ids


def test_the_highest_priority_goes_first_and_the_oldest_among_equals(rows: Claimer) -> None:
    place = rows.place()
    low = rows.attempts(3, [place], rows.proxy_id, priority=-5)
    high = rows.attempts(3, [place], rows.proxy_id, priority=1000)
    assert [r.id for r in rows.take(place, limit=2)] == high[:2]
    assert [r.id for r in rows.take(place, limit=2)] == [low[0], high[2]]


def test_each_share_gets_its_part_however_much_another_has_waiting(rows: Claimer) -> None:
    place = rows.place()
    rows.attempts(50, [place], rows.proxy_id, share="many", priority=1000)
    rows.attempts(8, [place], rows.proxy_id, share="few")
    rows.attempts(2, [place], rows.proxy_id, share="two")
    taken = Counter(r.share for r in rows.take(place, limit=18))
    assert taken["two"] == 2 and taken["few"] >= 6 and taken["many"] >= 6


def test_no_share_starves_when_room_comes_one_by_one(rows: Claimer) -> None:
    place = rows.place()
    for share in ("A", "B", "C"):
        rows.attempts(40, [place], rows.proxy_id, share=share)
    taken = Counter(r.share for _ in range(36) for r in rows.take(place, limit=1))
    assert set(taken) == {"A", "B", "C"}


def test_an_attempt_goes_where_clearly_less_is_waiting(rows: Claimer) -> None:
    busy, idle = rows.place("busy"), rows.place("idle")
    rows.at_ce(10, "submitted", place=busy, proxy_id=rows.proxy_id)
    ids = rows.attempts(3, [busy, idle], rows.proxy_id)
    assert rows.take(busy) == []
    assert [r.id for r in rows.take(idle)] == ids


def test_an_attempt_does_not_wait_for_a_ce_that_is_broken(rows: Claimer) -> None:
    busy, broken = rows.place("busy"), rows.place("broken")
    rows.at_ce(10, "submitted", place=busy, proxy_id=rows.proxy_id)
    ids = rows.attempts(2, [busy, broken], rows.proxy_id)
    shut = insert(breakers).values(ce_id=rows.ce_of(broken), host="here", failures=9, open_until=NOW + 60)
    rows.db.run("test", lambda c: c.execute(shut))
    assert [r.id for r in rows.take(busy)] == ids


def test_an_attempt_that_has_waited_long_takes_any_place(rows: Claimer) -> None:
    busy, idle = rows.place("busy"), rows.place("idle")
    rows.at_ce(10, "submitted", place=busy, proxy_id=rows.proxy_id)
    ids = rows.attempts(2, [busy, idle], rows.proxy_id)
    rows.put(ids, "tosubmit", since=NOW - 3600)
    assert [r.id for r in rows.take(busy)] == ids


def test_a_full_ce_and_a_closed_queue_get_nothing(rows: Claimer) -> None:
    full, closed = rows.place("full"), rows.place("closed")
    rows.attempts(2, [full, closed], rows.proxy_id)
    rows.db.run("test", lambda c: ces.set_full(c, rows.ce_of(full), 60))
    close = cequeues.update().where(cequeues.c.id == closed).values(status="offline")
    rows.db.run("test", lambda c: c.execute(close))
    assert rows.take(full) == []
    assert rows.take(closed) == []


def test_a_claim_takes_only_attempts_of_its_proxy(rows: Claimer) -> None:
    place = rows.place()
    rows.attempts(2, [place], rows.proxy("other"))
    assert rows.take(place) == []


def test_lanes_with_waiting_attempts_are_found(rows: Claimer) -> None:
    here, there = rows.place("here"), rows.place("there")
    rows.attempts(1, [here, there], rows.proxy_id)
    rows.place("elsewhere")
    foreign = rows.place("foreign", flavour="other")
    rows.attempts(1, [foreign], rows.proxy_id, flavour="other")
    wanted = [(rows.ce_of(p), rows.proxy_id) for p in (here, there)]
    assert sorted(rows.db.read("test", lambda c: claims.lanes(c, "fake"))) == wanted


# -- refusals ----------------------------------------------------------------------------------------------------------


def refuse(rows: Claimer, job: int, holder: str = "me") -> dict[int, str]:
    no = {job: CERefused("no such runtime environment")}
    return rows.db.run("test", lambda c: claims.refuse(c, no, who="submitter", holder=holder))


def test_a_refused_attempt_goes_to_its_other_ce_queues_and_ends_when_none_is_left(rows: Claimer) -> None:
    one, two = rows.place("one"), rows.place("two")
    (job,) = rows.attempts(1, [one, two], rows.proxy_id)
    rows.take(one)
    assert refuse(rows, job) == {job: "tosubmit"}
    assert rows.is_open(job) == [False, True]
    assert rows.take(one) == []
    rows.take(two)
    assert refuse(rows, job) == {job: "donefailed"}
    assert "no such runtime environment" in rows.get(job).error


def test_a_refusal_that_comes_late_changes_nothing(rows: Claimer) -> None:
    """The lease ran out and another took the row over: what it is doing with it stands."""
    place = rows.place()
    (job,) = rows.attempts(1, [place], rows.proxy_id)
    rows.take(place, holder="me")
    rows.db.run("test", lambda c: cejobs.hold(c, [job], holder="other", lease_s=60))
    assert refuse(rows, job, holder="me") == {}
    back = Move(job, "submitting", Event.PUTBACK)
    rows.db.run("test", lambda c: cejobs.move(c, [back], who="reconciler", holder="other"))
    assert rows.is_open(job) == [True]


def test_a_refusal_of_a_row_that_is_gone_is_nothing(rows: Claimer) -> None:
    assert refuse(rows, 4711) == {}


def test_whoever_stood_still_until_its_jobs_were_archived_is_told_so(rows: Claimer) -> None:
    (job,) = rows.attempts(1, [rows.place()], rows.proxy_id)
    spec_id = rows.get(job).jobspec_id
    with pytest.raises(StaleClaim):
        rows.db.read("test", lambda c: specs.get(c, [spec_id, spec_id + 1]))
