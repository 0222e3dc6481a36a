"""A real ARC CE whose REST front end freezes and thaws: requests time out and are carried out later all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from tests.acceptance.trial import Trial, sole_use
from tests.grid.control import Grid

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="contract")]

QUEUE = "FROZEN"
LONG = Kind("runs meanwhile", QUEUE, "finished", DONE, {"seconds": 20})
SHORT = Kind("submitted meanwhile", QUEUE, "finished", DONE, {"seconds": 1})
FROZEN_S = 12  # several timeouts of the client
GIVEN_UP = {"cancelled", "lost", "tocancel", "cancelling", "failed", "donefailed"}


def test_jobs_run_exactly_once_and_none_is_given_up_because_of_silence(real_trial: Callable[..., Trial]) -> None:
    with sole_use("ce3"):
        trial = real_trial("ce3")
        assert trial.grid is not None
        (ce,) = trial.real_ces("ce3")
        hurry = {"lease_s": 8, "read_s": 2, "call_s": 3, "transfer_s": 3}
        tower = trial.set_up({QUEUE: [ce]}, **hurry, idle_delegation_s=60, failures=100)
        trial.order(LONG, 2)
        tower.start()
        trial.wait("running", lambda p: p.panda_counts()["running"] == 2, 120)
        with frozen(trial.grid, "ce3"):
            trial.order(SHORT, 6)
            trial.wait("being submitted", lambda p: "submitting" in states(p), 60)
            end = time.monotonic() + FROZEN_S
            while time.monotonic() < end:
                assert not states(trial.look()) & GIVEN_UP
                time.sleep(1)
            told = tower.actctl("status").stdout
            assert ce.url in told
            assert "timed out" in told
        picture = trial.settle(240)
    assert list(complaints(picture, trial.kinds)) == []


def states(picture: Picture) -> set[str]:
    """The states in which attempts are."""
    return {a.state for job in picture.jobs.values() for a in job.attempts}


@contextmanager
def frozen(grid: Grid, name: str) -> Iterator[None]:
    """The REST front end of a CE does not move."""
    grid.freeze(name)
    try:
        yield
    finally:
        grid.thaw(name)
