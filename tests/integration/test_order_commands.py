"""`actctl drain, pause, limit, resume, orders`: what operators order is done at once, told by `explain`, and undone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from act.cli.actctl import main
from act.client.identity import Forbidden
from act.control import orders as control
from act.db import orders
from act.errors import ActError
from act_atlas import db
from tests.integration.beats import pass_time
from tests.integration.client_tower import ClientTower, MakeClientTower
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.truth import explain, reasons, words

WHY = ("--why", "the cooling is mended")


def actctl(*arguments: str, code: int = 0, env: Any = None) -> str:
    result = CliRunner().invoke(main, list(arguments), env={"SUDO_USER": "anna", **(env or {})})
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def calls(tower: PandaTower) -> int:
    """How often the CE was spoken to."""
    return sum(tower.site.calls.values())


# -- a CE --------------------------------------------------------------------------------------------------------------


def test_a_drained_ce_finishes_what_it_has_and_gets_nothing_new(running: PandaTower) -> None:
    there = running.submitted()
    told = actctl("drain", "ce", "ce1.example", *WHY, "--for", "2h")
    assert told.startswith(f"CE {running.site.url}: takes no new jobs until 20")
    waits = running.taken()
    running.once("panda2arc", "submitter-arc")
    assert running.states([running.job(waits).cejob_id]) == ["tosubmit"]
    running.say(there, "finished")
    assert running.states([running.job(there).cejob_id]) == ["toclean"]
    pass_time(running, 0)
    (story,) = explain(running.environment, waits)
    assert reasons(story) == {"order"}
    text = words(running.environment, waits)
    assert re.search(r"takes no new jobs until 20\S+ \S+ UTC \(operator-anna: the cooling is mended\)", text)
    (ce,) = explain(running.environment, running.site.url)
    assert ce["state"] == "drained"
    pass_time(running, 7201)
    running.once("submitter-arc")
    assert running.states([running.job(waits).cejob_id]) == ["submitted"]


def test_a_paused_ce_is_left_alone_completely_and_its_jobs_go_on_afterwards(running: PandaTower) -> None:
    there = running.submitted()
    actctl("pause", "ce", running.site.url, *WHY)
    running.site.jobs[running.get(running.job(there).cejob_id).ce_job_id].state = "running"
    running.taken()
    before = calls(running)
    for _ in range(3):
        pass_time(running, 4000)
        running.once("panda2arc", "submitter-arc", "status-arc", "reconciler-arc", "fetcher-arc", "canceller-arc")
    assert calls(running) == before
    assert running.states([running.job(there).cejob_id]) == ["submitted"]
    (story,) = explain(running.environment, there)
    assert "order" in reasons(story)
    (ce,) = explain(running.environment, running.site.url)
    assert (ce["state"], "order" in reasons(ce)) == ("paused", True)
    assert "no longer: is left alone" in actctl("resume", "ce", running.site.url)
    running.once("status-arc")
    assert running.states([running.job(there).cejob_id]) == ["running"]


def test_limits_of_a_ce_are_ordered_and_taken_back(running: PandaTower) -> None:
    first = running.submitted()
    actctl("limit", "ce", running.site.url, "--max-jobs", "1", *WHY)
    waits = running.taken()
    running.once("panda2arc", "submitter-arc")
    attempts = [running.job(i).cejob_id for i in (first, waits)]
    assert running.states(attempts) == ["submitted", "tosubmit"]
    assert "operator-anna: the cooling is mended" in words(running.environment, waits)
    assert "nothing of that is ordered" in actctl("resume", "ce", running.site.url)
    assert "still: CE" in actctl("resume", "ce", running.site.url)
    actctl("resume", "ce", running.site.url, "--limits", "--why", "enough")
    running.once("submitter-arc")
    assert set(running.states(attempts)) == {"submitted"}


# -- a queue of the source ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["drain", "pause"])
def test_no_jobs_are_asked_for_of_a_queue_that_is_drained_or_paused(running: PandaTower, order: str) -> None:
    actctl(order, "queue", QUEUE, *WHY)
    running.order(3)
    running.once("getjob")
    assert running.db.read("t", db.waiting_and_running) == {}
    (told,) = explain(running.environment, "--queue", QUEUE)
    assert (told["state"], reasons(told)) == ("no jobs are asked for", {"order"})
    actctl("resume", "queue", QUEUE)
    running.once("getjob")
    assert running.db.read("t", db.waiting_and_running) == {QUEUE: (3, 0)}


def test_no_waiting_job_of_a_paused_queue_goes_to_a_ce(running: PandaTower) -> None:
    pandaid = running.taken()
    actctl("pause", "queue", QUEUE, *WHY)
    running.once("panda2arc", "submitter-arc")
    assert running.states([running.job(pandaid).cejob_id]) == ["tosubmit"]
    (story,) = explain(running.environment, pandaid)
    assert reasons(story) == {"order"}
    assert f"queue {QUEUE} gives no jobs to CEs (operator-anna" in words(running.environment, pandaid)


def test_a_queue_s_own_limits_are_replaced_by_those_that_are_ordered(running: PandaTower) -> None:
    actctl("limit", "queue", QUEUE, "--max-waiting", "2", *WHY)
    running.order(30)
    running.once("getjob")
    assert running.db.read("t", db.waiting_and_running) == {QUEUE: (2, 0)}
    assert "2 wait of at most 2 (max_waiting by order of operator-anna)" in words(running.environment, "--queue", QUEUE)


# -- people ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def people(new_client_tower: MakeClientTower) -> ClientTower:
    return new_client_tower()


def test_nothing_new_is_taken_from_a_user_who_is_drained_and_they_are_told_why(people: ClientTower) -> None:
    ann, bob = people.caller(), people.caller()
    (before,) = people.begun(ann, key="k")
    told = actctl("drain", "user", "/CN=user1", "--why", "too many files", env=people.environment)
    assert told.startswith(f"share user-{ann.user_id}: takes no new jobs")
    with pytest.raises(Forbidden, match="no new jobs from you for now: too many files"):
        people.begun(ann)
    assert people.begun(ann, key="k") == [before]
    assert len(people.begun(bob)) == 1
    actctl("resume", "share", f"user-{ann.user_id}", env=people.environment)
    assert len(people.begun(ann)) == 1


# -- asking and telling ------------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing(running: PandaTower) -> None:
    told = actctl("drain", "queue", QUEUE, *WHY, "--dry-run")
    assert told == f"would be: queue {QUEUE}: takes no new jobs"
    assert running.db.read("t", orders.in_force) == []
    actctl("drain", "queue", QUEUE, *WHY)
    assert "would be: queue" in actctl("resume", "queue", QUEUE, "--dry-run")
    assert len(running.db.read("t", orders.in_force)) == 1
    assert "it is so already" in actctl("drain", "queue", QUEUE, *WHY)


def test_who_ordered_what_and_why_is_listed(running: PandaTower) -> None:
    actctl("drain", "queue", QUEUE, *WHY)
    told = actctl("orders")
    assert all(word in told for word in (f"queue {QUEUE}", "takes no new jobs", "operator-anna", WHY[1], "taken back"))
    actctl("resume", "queue", QUEUE, "--why", "cool again")
    assert "Orders in force (UTC): none" in actctl("orders")
    assert "taken back: cool again" in actctl("orders", "--history")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("drain", "queue", "ARC-TSET"), "did you mean ARC-TEST"),
        (("drain", "ce", "https://nowhere.org"), "no CE 'https://nowhere.org' is known here"),
        (("drain", "share", "user-9"), "no share 'user-9'"),
        (("pause", "queue", QUEUE, "--for", "soon"), "'soon' is no time: say 30min, 2h, 1d"),
        (("pause", "queue", QUEUE, "--until", "2001-01-01T00:00"), "is over already"),
    ],
)
def test_what_is_not_known_or_makes_no_sense_is_refused_with_what_to_do(
    running: PandaTower, arguments: tuple[str, ...], said: str
) -> None:
    assert said in actctl(*arguments, *WHY, code=1)
    assert running.db.read("t", orders.in_force) == []


@pytest.mark.parametrize(
    "arguments",
    [("drain", "queue", QUEUE), ("drain", "queue", QUEUE, "x", *WHY), ("limit", "queue", QUEUE, *WHY),
     ("pause", "queue", QUEUE, *WHY, "--for", "1h", "--until", "2030-01-01"), ("drain", "house", "x", *WHY)],
)  # fmt: skip
def test_wrong_usage_is_told(running: PandaTower, arguments: tuple[str, ...]) -> None:
    actctl(*arguments, code=2)


def test_a_share_has_no_limits(running: PandaTower) -> None:
    assert "there is no order 'max_jobs' for a share" in actctl(
        "limit", "share", QUEUE, "--max-jobs", "1", *WHY, code=1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30min", 1800), ("2h", 7200), ("1.5 d", 129600), ("1970-01-02T00:00", None),
     ("1970-01-02T02:00+02:00", None), ("1970-01-02", None)],
)  # fmt: skip
def test_the_end_of_an_order_is_a_span_or_a_time(text: str, seconds: float | None) -> None:
    assert control.end(text, 1000.0) == (1000.0 + seconds if seconds is not None else 86400.0)


@pytest.mark.parametrize("text", ["", "2", "h", "yesterday", "-2h", "1970-01-01T00:00", json.dumps({})])
def test_what_is_no_end_is_refused(text: str) -> None:
    with pytest.raises(ActError):
        control.end(text, 1000.0)
