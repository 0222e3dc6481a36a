"""The state machines keep what they promise about every job: nobody is forgotten, nobody is stuck."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from act.client.states import CLIENTJOB, MAKERS, OVER
from act.config import load_core
from act.daemons.registry import all_daemons
from act.errors import ConfigError
from act.states import CEJOB, ENDED, NEEDS_DELEGATION, PLACELESS, STANDS_STILL, WISHES, Machine, diagram
from act_atlas.states import ALIVE, PANDAJOB, TO_REPORT, WAITING

ROOT = Path(__file__).resolve().parents[2]
MACHINES = [CEJOB, PANDAJOB, CLIENTJOB]
NOT_DAEMONS = {"application", "operator", "user"}
# Daemons of releases to come that FLOW names already.
TO_COME = {"panda2condor", "validator"}

each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)


def exits(machine: Machine, state: str) -> list[str]:
    return [s.target for s in machine.steps if s.source == state]


def reached_from(machine: Machine, state: str) -> set[str]:
    found, ahead = {state}, [state]
    while ahead:
        new = set(exits(machine, ahead.pop())) - found
        found |= new
        ahead += new
    return found


@each_machine
def test_every_state_that_is_not_final_has_an_exit(machine: Machine) -> None:
    assert [s for s in machine.states if s not in machine.final and not set(exits(machine, s)) - {s}] == []


@each_machine
def test_a_final_state_is_left_by_nothing(machine: Machine) -> None:
    assert [s for s in machine.steps if s.source in machine.final] == []


@each_machine
def test_a_final_state_can_be_reached_from_every_state(machine: Machine) -> None:
    assert [s for s in machine.states if not reached_from(machine, s) & machine.final] == []


@each_machine
def test_every_state_can_be_reached_from_the_initial_one(machine: Machine) -> None:
    assert set(machine.states) - reached_from(machine, machine.initial) == set()


@each_machine
def test_a_state_and_an_event_mean_one_step(machine: Machine) -> None:
    pairs = [(s.source, s.event) for s in machine.steps]
    assert sorted(pairs) == sorted(set(pairs))


@each_machine
def test_every_step_has_owners_that_exist(machine: Machine) -> None:
    known = {name.partition("-")[0] for name in all_daemons()} | NOT_DAEMONS | TO_COME
    assert {s for s in machine.steps if not s.owners or not s.owners <= known} == set()


@each_machine
def test_every_state_that_is_not_final_has_a_deadline_that_leads_out_of_it(machine: Machine) -> None:
    for state in set(machine.states) - machine.final:
        deadline = machine.deadlines[state]
        step = machine.step(state, deadline.event)
        assert step is not None and step.target != state, deadline
        assert deadline.seconds > 0 and deadline.why


@each_machine
def test_deadlines_alone_bring_every_job_to_a_final_state(machine: Machine) -> None:
    for start in machine.states:
        state, seen = start, []
        while state not in machine.final:
            assert state not in seen, f"deadlines go round in circles: {seen}"
            seen.append(state)
            step = machine.step(state, machine.deadlines[state].event)
            assert step is not None
            state = step.target


def test_whoever_watches_over_the_deadlines_may_make_their_steps() -> None:
    for machine, watcher in ((CEJOB, "reconciler"), (PANDAJOB, "archiver"), (CLIENTJOB, "clientstatus")):
        for state, deadline in machine.deadlines.items():
            step = machine.step(state, deadline.event)
            assert step is not None and watcher in step.owners, (state, deadline.event)


@pytest.mark.parametrize("wish", WISHES)
def test_every_wish_has_steps_that_the_application_or_an_operator_may_make(wish: str) -> None:
    steps = [s for s in CEJOB.steps if s.event == wish]
    assert steps
    assert all({"application", "operator"} & s.owners for s in steps)


def test_a_wish_of_the_application_ends_in_a_state_that_is_carried_out_or_over() -> None:
    targets = {s.target for s in CEJOB.steps if s.event in WISHES}
    assert {t for t in targets if not t.startswith("to")} == {"cancelled", "quarantined"}  # only what was never armed


def test_names_that_begin_with_to_are_carried_out_by_a_daemon() -> None:
    for machine in MACHINES:
        for state in (s for s in machine.states if s.startswith("to")):
            owners = set().union(*(s.owners for s in machine.steps if s.source == state))
            assert owners - NOT_DAEMONS, state


def test_the_groups_of_states_are_states() -> None:
    assert {*NEEDS_DELEGATION, *ENDED, *PLACELESS, *STANDS_STILL} <= set(CEJOB.states)
    assert {*WAITING, *ALIVE, *TO_REPORT} <= set(PANDAJOB.states)
    assert set(OVER) <= set(CLIENTJOB.states)


def test_every_ended_attempt_can_be_cleaned_and_has_nothing_left_to_delegate() -> None:
    assert all(CEJOB.step(s, "clean") for s in ENDED)
    assert not set(ENDED) & set(NEEDS_DELEGATION)


def test_an_attempt_that_has_been_armed_never_runs_again() -> None:
    """What was created is put back only on the evidence that it was never armed."""
    back = {(s.source, s.event) for s in CEJOB.steps if s.target == "tosubmit"}
    put_back = {("submitting", "putback"), ("created", "putback"), ("quarantined", "release")}
    assert {pair for pair in back if pair[1] != "unarmed"} == put_back
    assert {s.source for s in CEJOB.steps if s.target == "quarantined"} == {"tosubmit"}


def test_a_deadline_in_the_configuration_must_name_a_state(tmp_path: Path) -> None:
    path = tmp_path / "aCTConfigARC.xml"
    path.write_text('<config><deadlines>\n<deadline state="runing" seconds="5"/>\n</deadlines></config>')
    with pytest.raises(ConfigError, match=r"aCTConfigARC.xml:2: .*runing.*|no state with a limit \(known:.*running"):
        load_core(path)


@each_machine
def test_the_diagram_in_the_documentation_is_today_s(machine: Machine) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    found = re.search(rf"<!-- begin {machine.name} -->.*?<!-- end {machine.name} -->\n", text, re.DOTALL)
    assert found, f"ARCHITECTURE.md has no diagram between the marks of {machine.name}"
    package = {"cejob": "act", "pandajob": "act_atlas", "clientjob": "act.client"}[machine.name]
    assert found.group() == diagram(machine), f"paste the output of: python -m {package}.states"


def test_attempts_of_people_s_jobs_are_made_for_every_ce_type() -> None:
    assert set(MAKERS.values()) == {e.name for e in entry_points(group="act.ce")}
    assert set(MAKERS) <= set(all_daemons())


def test_a_job_of_somebody_has_one_attempt_at_a_time() -> None:
    """An attempt is made from ``sent`` only, and that comes back only after an end."""
    assert {s.source for s in CLIENTJOB.steps if s.event == "attempt"} == {"sent"}
    back = {(s.source, s.event) for s in CLIENTJOB.steps if s.target == "sent"}
    again = {("failed", "resubmit"), ("cancelled", "resubmit"), ("active", "requeue")}
    assert back == {("begun", "confirm"), *again}
