"""`move`: the only writer of states loses nothing, overwrites nothing, and tells everything."""

from __future__ import annotations

import itertools

import pytest

from act.db import cejobs, meta
from act.db.engine import NOW, Database
from act.db.moves import Move
from act.errors import IllegalMove
from act.states import CEJOB, WISHES, Event
from tests.kit import Rows

FLAVOURED = "submitter-arc.1"


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def job(rows: Rows) -> int:
    """An attempt that runs at a CE."""
    return rows.at_ce(1, "running", place=rows.place(), proxy_id=rows.proxy())[0]


def move(rows: Rows, *wanted: Move, who: str = "status", **more: object) -> dict[int, str]:
    return rows.db.run("test", lambda c: cejobs.move(c, wanted, who=who, **more))  # type: ignore[arg-type]


def test_a_row_moves_from_the_state_it_was_seen_in_and_its_version_rises(rows: Rows, job: int) -> None:
    before = rows.get(job).version
    assert move(rows, Move(job, "running", Event.FINISHED)) == {job: "finished"}
    assert (rows.get(job).state, rows.get(job).version) == ("finished", before + 1)


def test_a_row_that_is_elsewhere_by_now_stays_there(rows: Rows, job: int) -> None:
    assert move(rows, Move(job, "submitted", Event.FINISHED)) == {}
    assert (rows.get(job).state, rows.events(job)) == ("running", [])


def test_a_row_that_moved_and_came_back_since_it_was_read_stays(rows: Rows, job: int) -> None:
    version = rows.get(job).version
    move(rows, Move(job, "running", Event.HELD), Move(job, "holding", Event.RUNNING))
    move(rows, Move(job, "running", Event.HELD))
    move(rows, Move(job, "holding", Event.RUNNING))
    assert move(rows, Move(job, "running", Event.FAILED, version=version)) == {}
    assert rows.get(job).state == "running"


def test_a_row_under_another_s_claim_stays(rows: Rows, job: int) -> None:
    rows.put([job], "running", claimed_by="other", claimed_until=NOW + 60)
    assert move(rows, Move(job, "running", Event.FINISHED)) == {}
    assert move(rows, Move(job, "running", Event.FINISHED), holder="me") == {}
    assert move(rows, Move(job, "running", Event.FINISHED), holder="other") == {job: "finished"}


def test_a_claim_that_has_run_out_is_in_nobody_s_way(rows: Rows, job: int) -> None:
    rows.put([job], "running", claimed_by="other", claimed_until=NOW - 1)
    assert move(rows, Move(job, "running", Event.FINISHED)) == {job: "finished"}


def test_a_holder_whose_rows_were_taken_over_moves_nothing(rows: Rows, job: int) -> None:
    rows.put([job], "running", claimed_by="me", claimed_until=NOW - 1)
    rows.db.run("test", lambda c: cejobs.hold(c, [job], holder="other", lease_s=60))
    assert move(rows, Move(job, "running", Event.FINISHED), holder="me") == {}
    assert rows.get(job).claimed_by == "other"


def test_a_move_ends_the_claim_unless_it_is_kept(rows: Rows, job: int) -> None:
    rows.put([job], "running", claimed_by="me", claimed_until=NOW + 60)
    move(rows, Move(job, "running", Event.HELD), holder="me", keep_claim=True)
    assert rows.get(job).claimed_by == "me"
    move(rows, Move(job, "holding", Event.RUNNING), holder="me")
    assert (rows.get(job).claimed_by, rows.get(job).claimed_until) == (None, None)


def test_each_row_of_a_bulk_gets_its_own_values(rows: Rows) -> None:
    ids = rows.at_ce(1201, "running", place=rows.place(), proxy_id=rows.proxy())
    wanted = [
        Move(i, "running", Event.FAILED, f"why {i}", {"exit_code": n % 256, "node": f"n{n}", "error": None})
        if n % 3
        else Move(i, "running", Event.FINISHED, "", {"exit_code": 0})
        for n, i in enumerate(ids)
    ]
    done = move(rows, *wanted)
    assert done == {m.id: "failed" if m.event == Event.FAILED else "finished" for m in wanted}
    found = rows.db.read("test", lambda c: cejobs.get(c, ids))
    assert [(found[m.id].state, found[m.id].exit_code, found[m.id].node) for m in wanted] == [
        (done[m.id], m.values["exit_code"], m.values.get("node")) for m in wanted
    ]


def test_what_happened_is_told_with_who_and_why(rows: Rows, job: int) -> None:
    move(rows, Move(job, "running", Event.FAILED, "exit code 65"))
    (event,) = [e for e in rows.db.read("t", lambda c: cejobs.history(c, "cejob", [job])) if e.event != "insert"]
    assert (event.source, event.event, event.target) == ("running", "failed", "failed")
    assert (event.who, event.why) == ("status", "exit code 65")
    assert abs(event.at - rows.db.read("t", meta.clock)) < 60


def test_a_move_and_its_event_are_written_together_or_not_at_all(rows: Rows, job: int) -> None:
    class Trouble(RuntimeError):
        pass

    def work(connection: object) -> None:
        cejobs.move(connection, [Move(job, "running", Event.FINISHED)], who="status")  # type: ignore[arg-type]
        raise Trouble

    with pytest.raises(Trouble):
        rows.db.run("test", work)
    assert (rows.get(job).state, rows.events(job)) == ("running", [])


@pytest.mark.parametrize(("state", "event", "who"), [
    ("running", Event.CLEANED, "cleaner"),  # no such step
    ("running", Event.FINISHED, "submitter"),  # not its step
    ("archived", Event.CLEAN, "application"),
])  # fmt: skip
def test_a_step_that_the_machine_does_not_have_is_a_bug(rows: Rows, job: int, state: str, event: str, who: str) -> None:
    with pytest.raises(IllegalMove, match=f"{job}.*{event}.*{state}"):
        move(rows, Move(job, state, event), who=who)


def test_a_daemon_owns_steps_by_its_kind_whatever_its_flavour_and_number(rows: Rows, job: int) -> None:
    rows.put([job], "created")
    assert move(rows, Move(job, "created", Event.ARMED), who=FLAVOURED) == {job: "submitted"}


# -- wishes ------------------------------------------------------------------------------------------------------------

WISH_CASES = list(itertools.product(sorted(CEJOB.states), WISHES, (False, True)))


def wish(rows: Rows, job: int, event: str) -> dict[int, str]:
    who = "operator-joe" if event in (Event.REQUEUE, Event.QUARANTINE) else "application"
    return rows.db.run("test", lambda c: cejobs.wish(c, [job], event, who=who, why="asked"))


def test_a_wish_on_any_state_moves_along_the_machine_or_is_noted_or_means_nothing(rows: Rows) -> None:
    """All states x wishes, free and claimed: a wish never makes up a fact, and never changes one."""
    place, proxy = rows.place(), rows.proxy()
    ids = rows.at_ce(len(WISH_CASES), "running", place=place, proxy_id=proxy)
    for job, (state, event, held) in zip(ids, WISH_CASES, strict=True):
        claim = {"claimed_by": "other", "claimed_until": NOW + 60} if held else {}
        rows.put([job], state, **claim)
        answer = wish(rows, job, event)
        row, step = rows.get(job), CEJOB.step(state, event)
        case = (state, event, held)
        if row.state != state:
            assert not held and step is not None and row.state == step.target, case
            assert answer == {job: step.target}, case
        elif row.wish is not None:
            assert row.wish == event and answer == {job: "noted"}, case
            assert held or state in ("submitting", "created"), case
        else:
            assert step is None and answer == {}, case


@pytest.mark.parametrize("event", [Event.ARMED, Event.PUTBACK])
@pytest.mark.parametrize("wished", WISHES)
def test_a_noted_wish_never_changes_the_fact_that_the_next_move_brings(rows: Rows, event: str, wished: str) -> None:
    (job,) = rows.at_ce(1, "created", place=rows.place(), proxy_id=rows.proxy())
    assert wish(rows, job, wished) == {job: "noted"}
    move(rows, Move(job, "created", event), who="submitter")
    fact = CEJOB.step("created", event)
    assert fact is not None
    onward = CEJOB.step(fact.target, wished)
    assert rows.get(job).state == (onward or fact).target
    assert rows.events(job)[-2 if onward else -1 :] == ([event, wished] if onward else [event])


def test_a_wish_to_cancel_is_carried_on_until_the_job_can_be_killed(rows: Rows) -> None:
    """submitting -> created -> submitted: the answer of the CE is written down first."""
    (job,) = rows.at_ce(1, "submitting", place=rows.place(), proxy_id=rows.proxy())
    assert wish(rows, job, Event.CANCEL) == {job: "noted"}
    assert move(rows, Move(job, "submitting", Event.ACCEPTED), who="submitter") == {job: "tocancel"}
    assert rows.events(job) == ["cancel", "accepted", "cancel"]
    assert rows.get(job).wish is None


def test_a_job_that_was_never_created_is_cancelled_at_once(rows: Rows) -> None:
    (job,) = rows.at_ce(1, "submitting", place=rows.place(), proxy_id=rows.proxy())
    wish(rows, job, Event.CANCEL)
    assert move(rows, Move(job, "submitting", Event.PUTBACK), who="reconciler") == {job: "cancelled"}
    assert not any(rows.is_open(job))


def test_a_wish_on_a_claimed_row_waits_for_the_holder_s_move(rows: Rows, job: int) -> None:
    rows.put([job], "finished", claimed_by="fetcher", claimed_until=NOW + 60)
    assert wish(rows, job, Event.CLEAN) == {job: "noted"}
    assert move(rows, Move(job, "finished", Event.FETCHED), who="fetcher", holder="fetcher") == {job: "toclean"}


def test_the_last_wish_counts(rows: Rows) -> None:
    (job,) = rows.at_ce(1, "created", place=rows.place(), proxy_id=rows.proxy())
    wish(rows, job, Event.CLEAN)
    wish(rows, job, Event.CANCEL)
    assert rows.get(job).wish == "cancel"


def test_a_row_that_rests_is_nobody_s_and_hears_a_wish_at_once(rows: Rows) -> None:
    (job,) = rows.at_ce(1, "torerun", place=rows.place(), proxy_id=rows.proxy())
    rows.db.run("test", lambda c: cejobs.hold(c, [job], holder="me", lease_s=60))
    rows.db.run("test", lambda c: cejobs.release(c, [job], holder="me", after_s=60))
    assert wish(rows, job, Event.CANCEL) == {job: "tocancel"}


def test_a_reason_as_long_as_a_book_is_cut_and_stops_no_move(rows: Rows, job: int) -> None:
    assert move(rows, Move(job, "running", Event.FAILED, "ä" * 100_000)) == {job: "failed"}
    (told,) = rows.db.read("test", lambda c: cejobs.history(c, "cejob", [job]))[-1:]
    assert told.why == "ä" * 4000
