"""Wherever the daemons of people's jobs are struck: every job runs once, ends, and leaves nothing once cleaned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import pytest

from act import faults
from act.client.identity import Caller
from act.client.model import Filter
from act.errors import DatabaseBusy, StorageUnavailable
from tests.integration.client_tower import ClientTower, MakeClientTower
from tests.power import Crash

MANY = 40  # more effects than one pass has
JOBS = 2


@pytest.fixture
def tower(new_client_tower: MakeClientTower, monkeypatch: pytest.MonkeyPatch) -> ClientTower:
    """The transactions and the store of its daemons hang on one power supply."""
    monkeypatch.setenv("ACT_FAULT", "")  # ports have fault points
    tower = new_client_tower()
    monkeypatch.setattr(faults, "hit", tower.power.hit)
    return tower


def passes(tower: ClientTower, daemon: str, how: str, number: int) -> bool:
    """One pass that is struck at this effect; whether it came that far."""
    {"die": tower.power.cut_at, "fail": tower.power.fail_at}[how](number)
    with contextlib.suppress(Crash, DatabaseBusy, StorageUnavailable):
        tower.once(daemon)
    came_there = len(tower.power.passed) > number
    tower.restart()
    return came_there


def is_over(tower: ClientTower, ann: Caller) -> bool:
    shown = {r.shown for r in tower.all(ann)}
    return shown == {"done"} or (not shown and tower.jobs.usage(ann).jobs == 0)


def strike(tower: ClientTower, before: Sequence[Callable[[ClientTower], None]], daemon: str, how: str) -> int:
    """At every effect of a daemon's pass in turn, as the passes before have left its work; returns how many."""
    ann = tower.caller()
    for number in range(MANY):
        tower.sites[0].jobs.clear()
        jobs = tower.sent(ann, JOBS)
        for step in before:
            step(tower)
        struck = passes(tower, daemon, how, number)
        tower.settle(8, seconds=700, until=lambda: is_over(tower, ann))
        assert list(tower.ran.values()) == [1] * JOBS, (number, tower.power.passed)
        if tower.all(ann):
            assert tower.shown(ann, *jobs) == ["done"] * JOBS
            assert [len(tower.jobs.results(ann, job)) for job in jobs] == [1] * JOBS
            tower.jobs.clean(ann, Filter())
            tower.settle(4, seconds=700, until=lambda: tower.jobs.usage(ann).jobs == 0)
        assert tower.all(ann) == [] and tower.store.list() == [] and tower.jobs.usage(ann).jobs == 0
        tower.ran.clear()
        if not struck:
            return number
    raise AssertionError("more effects than a pass can have")


# Each way at each effect takes long: one on either kind of database.
STRUCK = pytest.mark.parametrize(
    ("how", "database_url"),
    [pytest.param("die", "mariadb", marks=pytest.mark.mariadb), ("fail", "sqlite")],
    indirect=["database_url"],
)


def at_the_ce(tower: ClientTower) -> None:
    tower.once("client2arc", "submitter-arc")


def over(tower: ClientTower) -> None:
    at_the_ce(tower)
    for _ in range(2):
        tower.tick_sites()
        tower.pass_time(61)
        tower.once("status-arc", "fetcher-arc")


def not_wanted(tower: ClientTower) -> None:
    over(tower)
    tower.settle(2)
    for caller in tower.callers:
        tower.jobs.clean(caller, Filter())


@STRUCK
def test_attempts_are_made_once(tower: ClientTower, how: str) -> None:
    assert strike(tower, (), "client2arc", how) >= 2


@STRUCK
def test_ends_are_seen_once(tower: ClientTower, how: str) -> None:
    assert strike(tower, (over,), "clientstatus", how) >= 6


@STRUCK
def test_removal_goes_on_where_it_was_struck(tower: ClientTower, how: str) -> None:
    assert strike(tower, (not_wanted,), "clientstatus", how) >= 10
