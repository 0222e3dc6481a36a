"""Options and cases of the fault walk."""

from __future__ import annotations

import pytest

from act.simulation import TestCA
from tests.faults import walk

RECORDING = "test_every_point_that_is_passed_is_on_the_list"
SAMPLE = 6
SEED = 1  # the same sample every time: what a change breaks is the change's fault


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--all-faults", action="store_true", help="every point, fault, weather and database")
    group.addoption("--faults-seed", type=int, default=SEED, help="chooses the sample, and the order of all")
    group.addoption("--faults-sample", type=int, default=SAMPLE, help="how many beside the kills on SQLite")
    group.addoption("--record-points", action="store_true", help="add new points to points.txt")


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, so that a sample can be run again."""
    return f"faults: seed {config.getoption('--faults-seed')}, sample {config.getoption('--faults-sample')}"


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "convoy" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    seed, sample = option("--faults-seed", default=SEED), option("--faults-sample", default=SAMPLE)
    every = option("--all-faults", default=False)
    parameters = [
        pytest.param(c, id=str(c), marks=pytest.mark.mariadb if c.backend == "mariadb" else ())
        for c in (walk.all_convoys(seed) if every else walk.some_convoys(seed, sample))
    ]
    metafunc.parametrize("convoy", parameters)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Courses without faults are for recording and for the whole walk; the sample looks at what it passes anyhow."""
    if config.getoption("--all-faults", default=False) or config.getoption("--record-points", default=False):
        return
    without = [item for item in items if getattr(item, "originalname", "") == RECORDING]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    """With all its certificates made."""
    ca = TestCA(tmp_path_factory.mktemp("ca"))
    ca.host()
    ca.user("tower")
    ca.user("alice")
    return ca
