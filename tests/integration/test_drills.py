"""Fault drills on a running tower: operators hear of each fault from an alarm, from the page and from `actctl explain`.

One tower has them one after the other; what is mended is told no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from act_atlas.trial import World
from tests.integration.drill import Drill

HOST = os.uname().nodename
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    with World(tmp_path_factory.mktemp("drills")) as world, pytest.MonkeyPatch.context() as patch:
        drill = Drill(world)
        patch.setenv("ACTCONFIGARC", drill.environment["ACTCONFIGARC"])
        patch.setenv("ACTCONFIGATLAS", drill.environment["ACTCONFIGATLAS"])
        drill.start()
        yield drill
        drill.database.close()


def test_a_ce_that_is_down_is_told(drill: Drill) -> None:
    url = drill.steady.url
    with drill.down(url):
        drill.told("ce_down", url, f"{url} does not answer")
        drill.explains(f"{url} is left alone", drill.job)
        drill.explains(f"{url} is left alone", "--ce", url)
    drill.over("ce_down")


def test_a_proxy_that_cannot_be_renewed_is_told(drill: Drill) -> None:
    with drill.source_gone():
        drill.told("credential_not_renewed", "production", "cannot be renewed")
        drill.explains("the proxy of role 'production', good for", drill.job)
    drill.over("credential_not_renewed")


def test_panda_that_is_down_is_told(drill: Drill) -> None:
    server = drill.world.panda["url"]
    with drill.down(server):
        drill.told("panda_down", server, "PanDA was asked for jobs of 2 queues in vain")
        drill.explains("asking PanDA for jobs", "--queue", "STEADY")
    drill.over("panda_down")


def test_a_database_that_is_slow_is_told(drill: Drill) -> None:
    with drill.slow_database():
        drill.told("database_slow", HOST, "the database takes")
        drill.explains("the database takes", drill.job)
    drill.over("database_slow")


def test_a_daemon_that_hangs_is_told(drill: Drill) -> None:
    with drill.hanging("status-arc"):
        drill.told("daemon_silent", f"status-arc@{HOST}", f"status-arc on host {HOST} has reported nothing")
        drill.explains("status-arc does not run: no word from it", drill.job)
    drill.over("daemon_silent")


def test_a_disk_that_is_full_is_told(drill: Drill) -> None:
    state = str(drill.config.paths.state_dir)
    with drill.full_disk():
        drill.told("disk_full", f"{HOST}:{state}", f"the disk of {state} on host {HOST} is nearly full")
        drill.explains("is nearly full", drill.job)
    drill.over("disk_full")


def test_a_clock_that_is_ten_minutes_wrong_is_told(drill: Drill) -> None:
    with drill.wrong_clock():
        drill.told("clock_wrong", HOST, f"the clock of host {HOST} is 10 min")
        drill.explains(f"the clock of host {HOST} is 10 min", drill.job)
    drill.over("clock_wrong")


def test_a_black_hole_is_told(drill: Drill) -> None:
    drill.fill_hole(4)
    url = drill.hole.url
    drill.told("black_hole", f"{url} queue default", "failed after less than 3 min of running")
    drill.explains("gets one job at a time", "--ce", url)
