"""What operators and the guard do to attempts that wait, in the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from act.control.jobs import Verb
from act.db import cejobs, claims, waiting
from act.db.engine import Database
from act.db.moves import Move
from act.db.waiting import Refused
from act.errors import CERefused
from act.states import Event
from tests.kit import Claimer

ME, WHY = "operator-joe", "the CE is sick"


class Waiting(Claimer):
    """Orders of an operator."""

    def do(self, order: Callable[..., Refused], ids: list[int], *value: Any, who: str = ME) -> Refused:
        return self.db.run("test", lambda c: order(c, ids, *value, who=who, why=WHY))

    def move(self, attempt: int, event: str, who: str, **values: Any) -> None:
        row = self.get(attempt)
        done = self.db.run("test", lambda c: cejobs.move(c, [Move(attempt, row.state, event, "", values)], who=who,
                                                         holder=row.claimed_by))  # fmt: skip
        assert attempt in done

    def never_ran(self, *ids: int) -> set[int]:
        rows = list(self.db.read("test", lambda c: cejobs.get(c, ids)).values())
        return self.db.read("test", lambda c: waiting.never_ran(c, rows))

    def told(self, attempt: int, event: str) -> list[tuple[str, str]]:
        """(who, why) of all events of a kind."""
        rows = self.db.read("test", lambda c: cejobs.history(c, "cejob", [attempt]))
        return [(r.who, r.why) for r in rows if r.event == event]


@pytest.fixture
def rows(database: Database) -> Waiting:
    return Waiting(database)


# -- quarantine --------------------------------------------------------------------------------------------------------


def test_a_quarantined_attempt_goes_to_no_ce_until_it_is_released(rows: Waiting) -> None:
    place = rows.place()
    sick, well = rows.attempts(2, [place], rows.proxy_id)
    assert rows.do(waiting.quarantine, [sick]) == {}
    assert (rows.get(sick).state, rows.is_open(sick)) == ("quarantined", [False])
    assert [r.id for r in rows.take(place)] == [well]
    assert rows.do(waiting.release, [sick]) == {}
    assert [r.id for r in rows.take(place)] == [sick]
    assert rows.told(sick, "quarantine") == rows.told(sick, "release") == [(ME, WHY)]


def test_a_ce_queue_that_refused_it_before_stays_out_after_its_release(rows: Waiting) -> None:
    first, other = rows.place("ce1"), rows.place("ce2")
    (attempt,) = rows.attempts(1, [first, other], rows.proxy_id)
    rows.take(first)
    no = {attempt: CERefused("no")}
    rows.db.run("test", lambda c: claims.refuse(c, no, who="submitter", holder="me"))
    rows.do(waiting.quarantine, [attempt])
    rows.do(waiting.release, [attempt])
    assert rows.is_open(attempt) == [False, True]


def test_what_is_released_counts_its_submissions_anew(rows: Waiting) -> None:
    (attempt,) = rows.attempts(1, [rows.place()], rows.proxy_id)
    rows.put([attempt], "tosubmit", submission=8, doubts=2)
    rows.do(waiting.quarantine, [attempt], who="guard")
    rows.do(waiting.release, [attempt])
    assert (rows.get(attempt).submission, rows.get(attempt).doubts) == (0, 0)


@pytest.mark.parametrize("released", [False, True])
def test_one_that_is_on_its_way_is_quarantined_if_it_comes_back(rows: Waiting, released: bool) -> None:
    place = rows.place()
    (attempt,) = rows.attempts(1, [place], rows.proxy_id)
    rows.take(place)
    assert rows.do(waiting.quarantine, [attempt]) == {}
    assert rows.get(attempt).state == "submitting"
    if released:
        assert rows.do(waiting.release, [attempt]) == {}
    rows.move(attempt, Event.PUTBACK, "submitter")
    assert rows.get(attempt).state == ("tosubmit" if released else "quarantined")
    assert rows.is_open(attempt) == [released]


def test_the_end_of_a_quarantined_attempt_comes_at_once(rows: Waiting) -> None:
    (attempt,) = rows.attempts(1, [rows.place()], rows.proxy_id)
    rows.do(waiting.quarantine, [attempt])
    rows.db.run("test", lambda c: cejobs.wish(c, [attempt], Event.CANCEL, who="application", why="killed"))
    assert rows.get(attempt).state == "cancelled"
    assert "ended" in rows.do(waiting.release, [attempt])[attempt]


@pytest.mark.parametrize("state", ["submitted", "running", "done"])
def test_only_what_waits_for_a_ce_is_quarantined(rows: Waiting, state: str) -> None:
    (attempt,) = rows.at_ce(1, state, place=rows.place(), proxy_id=rows.proxy_id)
    assert rows.do(waiting.quarantine, [attempt])[attempt]
    assert rows.get(attempt).state == state


# -- requeue -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "after"), [
    ("submitted", "tocancel"), ("holding", "tocancel"), ("tosubmit", "tosubmit"), ("created", "created"),
    ("running", "running"), ("finishing", "finishing"), ("donefailed", "donefailed"), ("cancelling", "cancelling"),
])  # fmt: skip
def test_only_what_has_not_run_is_taken_back_from_its_ce(rows: Waiting, state: str, after: str) -> None:
    (attempt,) = rows.at_ce(1, state, place=rows.place(), proxy_id=rows.proxy_id)
    refused = rows.do(waiting.requeue, [attempt])
    assert rows.get(attempt).state == after
    assert bool(refused) == (state in ("running", "finishing", "donefailed", "cancelling"))


def test_one_that_is_on_its_way_is_taken_back_when_it_is_there(rows: Waiting) -> None:
    place = rows.place()
    (attempt,) = rows.attempts(1, [place], rows.proxy_id)
    rows.take(place)
    assert rows.do(waiting.requeue, [attempt]) == {}
    rows.move(attempt, Event.ACCEPTED, "reconciler", ce_job_id="job1")
    rows.move(attempt, Event.ARMED, "reconciler")
    assert rows.get(attempt).state == "tocancel"


@pytest.mark.parametrize(("events", "facts", "quiet"), [
    (["killed"], {}, True),
    (["unarmed"], {}, True),
    (["killed"], {"wall_s": 0}, True),
    (["gone"], {}, False),
    (["killed"], {"node": "wn1"}, False),
    (["killed"], {"wall_s": 3}, False),
    (["killed"], {"exit_code": 0}, False),
])  # fmt: skip
def test_a_successor_needs_the_ce_s_word_and_no_sign_of_life(
    rows: Waiting, events: list[str], facts: dict[str, Any], quiet: bool
) -> None:
    (attempt,) = rows.at_ce(1, "submitted", place=rows.place(), proxy_id=rows.proxy_id)
    rows.do(waiting.requeue, [attempt])
    assert rows.do(waiting.requeue, [attempt]) == {}  # once more changes nothing
    rows.move(attempt, Event.KILLSENT, "canceller")
    for event in events:
        rows.move(attempt, event, "status", **facts)
    assert rows.get(attempt).state == "cancelled"
    assert rows.never_ran(attempt) == ({attempt} if quiet else set())


def test_behind_a_submit_point_a_run_may_go_unseen_so_there_is_no_successor(rows: Waiting) -> None:
    place = rows.place(submit_point="schedd@tower1")
    (waits,) = rows.at_ce(1, "submitted", place=place, proxy_id=rows.proxy_id)
    refused = rows.do(waiting.requeue, [waits])
    assert "behind a submit point" in refused[waits] and rows.get(waits).state == "submitted"
    for said in (rows.do(waiting.relocate, [waits], [place]), rows.do(waiting.quarantine, [waits])):
        assert "kill it instead" in said[waits]  # no advice that is refused, too
    (late,) = rows.attempts(1, [place], rows.proxy_id)
    rows.take(place)
    assert rows.do(waiting.requeue, [late]) == {}  # it may still come back from there
    rows.move(late, Event.ACCEPTED, "submitter", ce_job_id="job1")
    rows.move(late, Event.ARMED, "submitter")
    assert rows.get(late).state == "tocancel"
    rows.move(late, Event.KILLSENT, "canceller")
    rows.move(late, Event.KILLED, "status")
    assert rows.never_ran(late) == set()


def test_one_that_was_seen_to_run_before_has_no_successor(rows: Waiting) -> None:
    (attempt,) = rows.at_ce(1, "submitted", place=rows.place(), proxy_id=rows.proxy_id)
    rows.move(attempt, Event.RUNNING, "status")
    rows.move(attempt, Event.HELD, "status")
    rows.do(waiting.requeue, [attempt])
    rows.move(attempt, Event.KILLSENT, "canceller")
    rows.move(attempt, Event.KILLED, "status")
    assert rows.never_ran(attempt) == set()


def test_an_order_about_a_submission_that_came_to_nothing_is_forgotten(rows: Waiting) -> None:
    place = rows.place()
    (attempt,) = rows.attempts(1, [place], rows.proxy_id)
    rows.take(place)
    rows.do(waiting.requeue, [attempt])
    rows.move(attempt, Event.PUTBACK, "submitter")
    rows.take(place)
    rows.move(attempt, Event.ACCEPTED, "submitter", ce_job_id="job1")
    rows.move(attempt, Event.ARMED, "submitter")
    assert rows.get(attempt).state == "submitted"
    rows.move(attempt, Event.KILLED, "status")
    assert rows.never_ran(attempt) == set()


def test_one_that_was_killed_for_another_reason_has_no_successor(rows: Waiting) -> None:
    (attempt,) = rows.at_ce(1, "submitted", place=rows.place(), proxy_id=rows.proxy_id)
    rows.move(attempt, Event.KILLED, "status")
    assert rows.never_ran(attempt) == set()


# -- priority and places -----------------------------------------------------------------------------------------------


def test_the_higher_priority_goes_first(rows: Waiting) -> None:
    place = rows.place()
    first, last = rows.attempts(2, [place], rows.proxy_id)
    assert rows.do(waiting.prioritise, [last], 5000) == {}
    assert [r.id for r in rows.take(place, limit=1)] == [last]
    assert rows.get(last).priority == 5000
    assert rows.told(last, "priority") == [(ME, f"0 -> 5000: {WHY}")]
    (running,) = rows.at_ce(1, "running", place=place, proxy_id=rows.proxy_id)
    assert rows.do(waiting.prioritise, [first, running], 1).keys() == {running}


def test_what_is_moved_waits_for_the_new_ce_queues_only(rows: Waiting) -> None:
    old, new, foreign = rows.place("ce1"), rows.place("ce2"), rows.place("ce3", flavour="other")
    (attempt,) = rows.attempts(1, [old], rows.proxy_id)
    assert rows.do(waiting.relocate, [attempt], [new, foreign]) == {}
    assert list(rows.take(old)) == []
    assert [r.cequeue_id for r in rows.take(new)] == [new]
    ((who, why),) = rows.told(attempt, "move")
    assert who == ME and "ce2.example.org" in why and "ce3" not in why


def test_a_quarantined_one_may_be_moved_and_stays_where_it_is(rows: Waiting) -> None:
    old, new = rows.place("ce1"), rows.place("ce2")
    (attempt,) = rows.attempts(1, [old], rows.proxy_id)
    rows.do(waiting.quarantine, [attempt])
    rows.do(waiting.relocate, [attempt], [new])
    assert rows.is_open(attempt) == [False]
    rows.do(waiting.release, [attempt])
    assert [r.id for r in rows.take(new)] == [attempt]


def test_nothing_goes_to_a_ce_of_another_type_or_from_a_ce(rows: Waiting) -> None:
    place, foreign = rows.place("ce1"), rows.place("ce3", flavour="other")
    (attempt,) = rows.attempts(1, [place], rows.proxy_id)
    (there,) = rows.at_ce(1, "submitted", place=place, proxy_id=rows.proxy_id)
    assert "type fake, not for other" in rows.do(waiting.relocate, [attempt], [foreign])[attempt]
    assert "requeue it first" in rows.do(waiting.relocate, [there], [place])[there]
    assert rows.is_open(attempt) == [True]


# -- all ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "value"), [
    (Verb.QUARANTINE, None), (Verb.RELEASE, None), (Verb.REQUEUE, None), (Verb.PRIORITY, 7), (Verb.MOVE, "place"),
])  # fmt: skip
def test_an_order_given_twice_changes_nothing_more(rows: Waiting, verb: Verb, value: Any) -> None:
    place, other = rows.place("ce1"), rows.place("ce2")
    (attempt,) = rows.attempts(1, [place], rows.proxy_id)
    if verb is Verb.RELEASE:
        rows.do(waiting.quarantine, [attempt])
    wanted = [other] if value == "place" else value

    def give() -> tuple[Refused, list[str]]:
        refused = rows.db.run(
            "test", lambda c: waiting.order(c, verb, {10: attempt, 11: None}, who=ME, why=WHY, value=wanted)
        )
        return refused, rows.events(attempt)

    before = give()
    assert before[0] == {11: "it has no attempt yet"}
    assert give() == before


def test_an_attempt_that_is_not_there_is_told_of(rows: Waiting) -> None:
    assert rows.do(waiting.quarantine, [99]) == {99: "there is no such attempt any more"}
