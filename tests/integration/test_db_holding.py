"""Holding rows and letting go of them; candidates stay in step with the attempts they belong to."""

from __future__ import annotations

import pytest

from act.db import cejobs, claims, lanes
from act.db.engine import NOW, Database
from act.db.moves import Move
from act.errors import CERefused
from act.states import Event
from tests.kit import Claimer, together


@pytest.fixture
def rows(database: Database) -> Claimer:
    return Claimer(database)


def refuse(rows: Claimer, job: int) -> None:
    no = {job: CERefused("no such runtime environment")}
    rows.db.run("test", lambda c: claims.refuse(c, no, who="submitter", holder="me"))


def test_released_rows_rest_and_are_then_free(rows: Claimer) -> None:
    place = rows.place()
    (job,) = rows.at_ce(1, "tocancel", place=place, proxy_id=rows.proxy_id)
    lane = (rows.ce_of(place), rows.proxy_id)

    def take(holder: str) -> list[int]:
        found = rows.db.run("t", lambda c: cejobs.claim(c, *lane, "tocancel", holder=holder, lease_s=60, limit=5))
        return [r.id for r in found]

    assert take("me") == [job]
    assert take("other") == []
    rows.db.run("test", lambda c: cejobs.release(c, [job], holder="other"))  # not theirs
    assert take("other") == []
    rows.db.run("test", lambda c: cejobs.release(c, [job], holder="me", after_s=60, doubt=True))
    assert take("other") == []
    assert rows.get(job).doubts == 1
    rows.put([job], "tocancel", claimed_until=NOW - 1)
    assert take("other") == [job]


def test_candidates_are_open_exactly_while_the_attempt_waits_and_the_queue_did_not_refuse(rows: Claimer) -> None:
    one, two = rows.place("one"), rows.place("two")
    (job,) = rows.attempts(1, [one, two], rows.proxy_id)
    assert rows.is_open(job) == [True, True]
    rows.take(one)
    assert rows.is_open(job) == [False, False]
    refuse(rows, job)
    assert rows.is_open(job) == [False, True]
    rows.take(two)
    for event, state in ((Event.ACCEPTED, "submitting"), (Event.ARMED, "created")):
        step = Move(job, state, event)
        rows.db.run("t", lambda c, step=step: cejobs.move(c, [step], who="submitter", holder="me", keep_claim=True))
    assert rows.is_open(job) == [False, False]
    unarmed = Move(job, "submitted", Event.UNARMED)
    rows.db.run("t", lambda c: cejobs.move(c, [unarmed], who="status", holder="me"))
    assert rows.is_open(job) == [False, True]
    rows.db.run("t", lambda c: cejobs.wish(c, [job], Event.CANCEL, who="application", why=""))
    assert (rows.is_open(job), rows.get(job).state) == ([False, False], "cancelled")


def test_only_rows_whose_lease_has_ended_are_in_doubt(rows: Claimer) -> None:
    place = rows.place()
    free, held, ran_out = rows.at_ce(3, "submitting", place=place, proxy_id=rows.proxy_id)
    rows.put([held], "submitting", claimed_by="x", claimed_until=NOW + 60)
    rows.put([ran_out], "submitting", claimed_by="x", claimed_until=NOW - 60)
    lane = (rows.ce_of(place), rows.proxy_id)
    assert rows.db.run("t", lambda c: cejobs.in_doubt(c, *lane, limit=10)) == [free, ran_out]
    assert rows.db.read("t", lambda c: cejobs.lanes(c, "fake", ("submitting",), expired=True)) == [lane]


def test_one_poller_has_a_lane_at_a_time(rows: Claimer) -> None:
    lane = (rows.ce_of(rows.place()), rows.proxy_id)
    rows.db.run("t", lambda c: lanes.ensure(c, *lane))
    won = together(*(lambda n=n: rows.db.run("t", lambda c: lanes.try_poll(c, *lane, f"p{n}", 60)) for n in range(3)))
    assert sorted(won) == [False, False, True]
