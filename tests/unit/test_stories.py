"""From facts to sentences: what is said of a job for each thing that can be the matter. No database."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from act.cli.explain import show
from act.config import CoreConfig
from act.db.claims import Limits, Load
from act.db.orders import Standing
from act.explain import attempt, places
from act.explain.attempt import Facts
from act.explain.moment import Moment
from act.explain.places import Health, Place
from act.explain.story import Happened, Hold, Story, Turn, Why, merged
from act.explain.words import ago, ahead, some, span
from act.states import CEJOB, DAY, DEADLINES, NEXT, Machine, NextStep
from act.states import Event as CEEvent
from act_atlas import supply
from act_atlas.config import Panda
from act_atlas.explain import job
from act_atlas.queueinfo import Endpoint, QueueInfo
from act_atlas.states import NEXT as JOB_NEXT
from act_atlas.states import PANDAJOB, Event
from act_atlas.supply import MAKERS

NOW = 1_800_000_000.0
URL = "https://ce.example.org/arex"
CONFIG = CoreConfig()


def row(**changes: Any) -> Any:
    """An attempt, as a row of ``cejobs``."""
    fields: dict[str, Any] = {
        "id": 7, "app": "app", "share": "A", "appjob_id": 1, "flavour": "fake", "state": "submitted", "since": NOW - 60,
        "version": 2, "seen_version": 2, "proxy_id": 1, "ce_id": 1, "cequeue_id": 1, "ce_job_id": "j7",
        "ce_state": "QUEUING", "claimed_by": None, "claimed_until": None, "wish": None, "submission": 1, "doubts": 0,
        "missing_at": None, "error": None, "node": None, "exit_code": None, "wall_s": None,
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


def breaker(host: str = "h1", open_until: float | None = NOW + 30, **changes: Any) -> Any:
    fields: dict[str, Any] = {"host": host, "open_until": open_until, "failures": 3, "last_error": "no answer",
                              "last_error_at": NOW - 5, "last_good": None}  # fmt: skip
    return SimpleNamespace(**fields | changes)


def lane(polled: float | None = NOW - 10, heard: float | None = NOW - DAY, **changes: Any) -> Any:
    fields: dict[str, Any] = {"proxy_id": 1, "polled": polled, "heard": heard, "paused_until": None, "error": None,
                              "claimed_by": None, "claimed_until": None}  # fmt: skip
    return SimpleNamespace(**fields | changes)


def moment(*running: str, hosts: tuple[str, ...] = ("h1",), **changes: Any) -> Moment:
    """A tower in which these daemons run, with one good proxy."""
    beats = [SimpleNamespace(name=n, host=h, age_s=2.0, error=None, error_at=None) for n in running for h in hosts]
    proxy = SimpleNamespace(id=1, role="production", expires=NOW + DAY, error=None, generation=1)
    return Moment(now=NOW, config=CONFIG, beats=beats, proxies={1: proxy}, **changes)


def place(*breakers: Any, waiting: int = 0, **changes: Any) -> Place:
    fields: dict[str, Any] = {"id": 1, "url": URL, "queue": "default", "status": "online", "ce_status": "online",
                              "full_until": None, "refused": False}  # fmt: skip
    return Place(SimpleNamespace(**fields | changes), Load(waiting, waiting, Limits(5, 100)), Health(URL, breakers))


def waiting(at: Moment, *there: Place) -> Story:
    """What is told of an attempt that waits for these CE queues."""
    return attempt.tell(at, Facts(row(state="tosubmit", ce_id=None, ce_job_id=None), there))


def whys(story: Story) -> list[Why]:
    return [h.why for h in story.holds]


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "table"), [(CEJOB, NEXT), (PANDAJOB, JOB_NEXT)], ids=lambda m: getattr(m, "name", "")
)
def test_every_state_that_is_not_final_says_whose_turn_it_is_and_that_one_has_a_step(
    machine: Machine, table: dict[str, NextStep]
) -> None:
    assert set(table) == set(machine.states) - machine.final
    for state, following in table.items():
        owners = {o for s in machine.steps if s.source == state for o in s.owners}
        assert (owners & set(MAKERS)) if following.owner == "maker" else following.owner in owners


def test_every_event_has_words() -> None:
    assert set(CEEvent) <= set(attempt.WORDS)
    assert set(Event) <= set(job.WORDS)


# -- attempts ----------------------------------------------------------------------------------------------------------


def test_an_attempt_with_a_free_ce_queue_is_the_submitter_s() -> None:
    story = waiting(moment("submitter-fake"), place())
    assert story.turn is not None and story.turn.daemon == "submitter-fake" and story.turn.runs
    assert whys(story) == []
    assert "submitter-fake" in story.due[0].text


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (place(breaker()), Why.BREAKER),
        (place(waiting=5), Why.LIMIT),
        (place(full_until=NOW + 20), Why.FULL),
        (place(status="offline"), Why.OFFLINE),
        (place(refused=True), Why.REFUSED),
    ],
    ids=lambda x: str(x) if isinstance(x, Why) else "",
)
def test_what_is_wrong_with_the_only_ce_queue_is_in_the_way(there: Place, why: Why) -> None:
    assert whys(waiting(moment("submitter-fake"), there)) == [why]
    assert whys(waiting(moment("submitter-fake"), there, place())) == []


def test_an_attempt_that_may_go_nowhere_says_so() -> None:
    assert whys(waiting(moment("submitter-fake"))) == [Why.REFUSED]


@pytest.mark.parametrize(
    ("breakers", "shut"),
    [
        ((breaker("h1"),), False),
        ((breaker("h1"), breaker("h2", open_until=None)), False),
        ((breaker("h1"), breaker("h2")), True),
        ((breaker("h3"),), False),
    ],
)
def test_a_ce_is_left_alone_only_if_all_hosts_that_could_speak_to_it_do(breakers: tuple[Any, ...], shut: bool) -> None:
    at = moment("submitter-fake", hosts=("h1", "h2"))
    assert bool(places.unwell(at, Health(URL, breakers), "submitter-fake")) is shut


@pytest.mark.parametrize(("shut_at", "shut"), [("h1", True), ("h2", False)])
def test_only_the_host_of_its_submit_point_counts_for_what_is_behind_it(shut_at: str, shut: bool) -> None:
    ces = {"submit_point": [{"name": "schedd", "flavour": "fake", "host": "h1"}]}
    config = CoreConfig.model_validate({"ces": ces})
    at = replace(moment("submitter-fake", hosts=("h1", "h2")), config=config)
    holds = places.unwell(at, Health(URL, (breaker(shut_at),), submit_point="schedd"), "submitter-fake")
    assert [hold.why for hold in holds] == [Why.BREAKER] * shut


def test_the_soonest_of_several_hosts_tries_a_ce_again() -> None:
    at = moment("submitter-fake", hosts=("h1", "h2"))
    health = Health(URL, (breaker("h1", NOW + 90), breaker("h2", NOW + 20)))
    (hold,) = places.unwell(at, health, "submitter-fake")
    assert hold.until == NOW + 20


@pytest.mark.parametrize(
    ("since", "polled", "heard", "seconds_left"),
    [
        (NOW - DAY, NOW - 10, NOW - 9 * DAY, 6 * DAY),  # the CE speaks: the plain limit
        (NOW - DAY, NOW - 10, NOW - 3600, 7 * DAY - 3600),  # it was silent until an hour ago: the clock began anew
        (NOW - DAY, NOW - 7200, NOW - 9 * DAY, 13 * DAY),  # it is silent: only the utmost is certain
        (NOW - 13 * DAY, NOW - 10, NOW - 3600, DAY),  # nothing is put off for longer than that
        (NOW - DAY, None, None, 13 * DAY),
    ],
)
def test_the_last_moment_of_a_state_counts_silences(
    since: float, polled: float | None, heard: float | None, seconds_left: float
) -> None:
    facts = Facts(row(since=since), health=Health(URL, (), (lane(polled, heard),)))
    story = attempt.tell(moment("status-fake"), facts)
    (last,) = [d for d in story.due if d.last]
    assert last.at - NOW == pytest.approx(seconds_left)


def test_a_limit_of_the_configuration_wins_over_the_built_in_one() -> None:
    config = CoreConfig.model_validate({"deadlines": {"deadline": [{"state": "tosubmit", "seconds": 100}]}})
    at = Moment(now=NOW, config=config)
    story = attempt.tell(at, Facts(row(state="tosubmit", ce_id=None)))
    assert [d.at for d in story.due if d.last] == [NOW - 60 + 100]


@pytest.mark.parametrize("state", sorted(DEADLINES))
@pytest.mark.parametrize("healthy", [True, False])
def test_in_every_state_there_is_a_last_moment_and_somebody_whose_turn_it_is(state: str, healthy: bool) -> None:
    health = Health(URL, () if healthy else (breaker(),), (lane(),))
    story = attempt.tell(moment(), Facts(row(state=state), (place(),), health, "default"))
    assert story.turn is not None
    assert [d.last for d in story.due].count(True) == 1
    if story.turn.daemon == attempt.OPERATOR:
        assert whys(story) == [Why.QUARANTINE]
    elif story.turn.daemon != attempt.APPLICATION:
        assert whys(story)[0] is Why.DAEMON


def test_a_lease_names_its_holder_and_a_rest_nobody() -> None:
    at = moment("canceller-fake")
    held = row(state="tocancel", claimed_by="canceller-fake.2@h9:123:beef", claimed_until=NOW + 50)
    (hold,) = attempt.tell(at, Facts(held)).holds
    assert (hold.why, hold.until) == (Why.LEASE, NOW + 50)
    assert "canceller-fake.2 on h9 (process 123)" in hold.text
    (hold,) = attempt.tell(at, Facts(row(state="tocancel", claimed_until=NOW + 5))).holds
    assert hold.why is Why.REST
    assert attempt.tell(at, Facts(row(state="tocancel", claimed_by="x@y:1:z", claimed_until=NOW - 1))).holds == ()


def test_staging_that_failed_is_given_time_before_it_is_repeated() -> None:
    at = moment("canceller-fake")
    (hold,) = attempt.tell(at, Facts(row(state="torerun", since=NOW - 1))).holds
    assert (hold.why, hold.until) == (Why.REST, NOW - 1 + CONFIG.polling.rerun_s)
    assert attempt.tell(at, Facts(row(state="torerun", since=NOW - CONFIG.polling.rerun_s))).holds == ()


def test_a_daemon_with_a_number_is_one_of_its_kind() -> None:
    story = waiting(moment("submitter-fake.2"), place())
    assert story.turn is not None and story.turn.runs


def test_what_the_master_says_of_a_daemon_that_is_down_is_told() -> None:
    told = {"submitter-fake": {"state": "refused", "last_end": "ConfigError: no such thing"}}
    story = waiting(moment(master=told, enabled={"submitter-fake"}), place())
    assert "the master here says: refused, ended last: ConfigError: no such thing" in story.holds[0].text


# -- supply ------------------------------------------------------------------------------------------------------------

QUEUE = QueueInfo("Q", "Q", endpoints=(Endpoint("arc", URL),))


@pytest.mark.parametrize(
    ("changes", "load", "room", "why"),
    [
        ({}, (0, 0), 20, "panda/minjobs"),
        ({}, (20, 0), 0, "20 wait of at most 20"),
        ({}, (25, 0), 0, "25 wait of at most 20"),
        ({}, (0, 1000), 150, "waiting_fraction"),
        ({"max_waiting": 3}, (1, 1000), 2, "max_waiting of the queue"),
        ({"maxjobs": 100}, (0, 95), 5, "maxjobs of the queue, 100"),
        ({"maxjobs": 100}, (0, 120), 0, "maxjobs of the queue, 100"),
        ({"status": "offline"}, (0, 0), 0, "offline"),
        ({"status": "test"}, (0, 0), 20, ""),
        ({"push": False}, (0, 0), 0, "not a push queue"),
        ({"endpoints": ()}, (0, 0), 0, "none is active"),
        ({"endpoints": (Endpoint("other", "x"),)}, (0, 0), 0, "only other"),
        ({"endpoints": (Endpoint("condor", "x"),)}, (0, 0), 20, ""),
        ({"endpoints": (Endpoint("condor", "x"),), "truepilot": False}, (0, 0), 0, "runs true pilots only"),
    ],
)
def test_a_queue_gets_as_many_jobs_as_its_limits_allow_and_the_reason_is_told(
    changes: dict[str, Any], load: tuple[int, int], room: int, why: str
) -> None:
    fields = {f: getattr(QUEUE, f) for f in QUEUE.__dataclass_fields__} | changes
    found = supply.room(QueueInfo(**fields), *load, Panda(), Standing())
    assert found.jobs == room
    assert why in found.why


def test_a_queue_whose_ces_cannot_be_spoken_to_from_here_gets_no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supply, "missing", lambda flavour: "no bindings" if flavour == "condor" else "")
    there = Endpoint("condor", "x")
    queue, both = QueueInfo("Q", "Q", endpoints=(there,)), QueueInfo("Q", "Q", endpoints=(there, *QUEUE.endpoints))
    assert supply.closed(queue) == "its CEs are of type condor: no bindings"
    assert [supply.room(q, 0, 0, Panda(), Standing()).jobs for q in (queue, both)] == [0, 20]


# -- words and the terminal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (0.4, "0 s"), (59.7, "1 min"), (61, "1 min 1 s"), (660, "11 min"), (7800, "2 h 10 min"), (7200, "2 h"),
     (6 * DAY + 23 * 3600, "6 d 23 h"), (30 * DAY, "30 d"), (-5, "5 s")],
)  # fmt: skip
def test_spans_are_told_in_two_units_at_most(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_times_are_told_from_now_on() -> None:
    assert (ago(NOW - 5, NOW), ago(None, NOW), ahead(NOW + 5, NOW), ahead(NOW - 5, NOW)) == (
        "5 s ago", "never", "in 5 s", "now",
    )  # fmt: skip
    assert (some(1, "job"), some(2, "job"), some(2, "child", "children")) == ("1 job", "2 jobs", "2 children")


def test_histories_are_merged_by_time() -> None:
    one = [Happened(1, "a", "x", "w"), Happened(3, "a", "y", "w")]
    two = [Happened(2, "b", "z", "w"), Happened(3, "b", "u", "w")]
    assert [h.text for h in merged([one, two])] == ["x", "z", "y", "u"]


def stories() -> Iterator[Story]:
    long = "a word " * 60 + "https://ce.example.org/" + "x" * 200
    yield Story(
        title="attempt 1",
        state="tosubmit",
        since=NOW - 60,
        facts=(("CE", long), ("CE", "short"), ("credential", "role")),
        turn=Turn("submitter-fake", long, "", True, "it runs"),
        holds=(Hold(Why.BREAKER, long, NOW + 5),),
        history=tuple(Happened(NOW + i * 40000, "attempt 1", long, "submitter-fake") for i in range(60)),
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_story_fits_the_terminal(width: int) -> None:
    for story in stories():
        out = io.StringIO()
        show(Console(file=out, width=width, highlight=False, markup=False), story, NOW)
        lines = out.getvalue().splitlines()
        assert max(len(line) for line in lines) <= width
        assert all(line == line.rstrip() for line in lines)


def test_what_far_sides_say_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    hold = Hold(Why.BREAKER, "\x1b[2J[red]all is well[/red]\r\nreally")
    show(Console(file=out, width=80, highlight=False, markup=False), Story("t", "s", holds=(hold,)), NOW)
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()
    assert "[red]all is well[/red]" in out.getvalue()
