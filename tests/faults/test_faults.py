"""A crash is boring: at every fault point of every daemon, whatever the CE does, on both kinds of database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from act.simulation import TestCA
from tests.faults import walk
from tests.faults.courses import COURSES
from tests.faults.walk import Convoy, Point


@pytest.fixture(scope="module")
def passed() -> dict[tuple[str, str], Point]:
    """Points passed in the courses run so far."""
    return {}


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_point_that_is_passed_is_on_the_list(
    course: str, database_url: str, tmp_path: Path, ca: TestCA, passed: dict[tuple[str, str], Point],
    pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    for point in walk.record(tmp_path, ca, database_url, course):
        passed.setdefault(point.key, point)
    if pytestconfig.getoption("--record-points", default=False):
        walk.add_points(passed.values())
    # which daemons pass the points of trouble depends on how busy the machine is, which points there are does not
    missing = {place for _, place in passed} - {p.place for p in walk.points()}
    assert not missing, f"run this with --record-points and commit points.txt: {missing}"


def test_a_fault_at_any_point_costs_no_job_and_runs_none_twice(
    convoy: Convoy, new_database: Callable[[str], str], tmp_path: Path, ca: TestCA
) -> None:
    walk.strike(convoy, tmp_path, ca, lambda: new_database(convoy.backend))
