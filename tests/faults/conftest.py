"""Options and cases of the fault walk."""

from __future__ import annotations

import datetime

import pytest

from act.simulation import TestCA
from tests.faults import walk

SAMPLE = 25


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--all-faults", action="store_true", help="every point, fault, weather and database")
    group.addoption("--faults-seed", type=int, help="chooses the sample (default: today's date)")
    group.addoption("--faults-sample", type=int, default=SAMPLE, help="how many beside the kills on SQLite")
    group.addoption("--record-points", action="store_true", help="add new points to points.txt")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    if option("--all-faults", default=False):
        cases = list(walk.all_cases())
    else:
        seed = option("--faults-seed", default=None) or int(datetime.date.today().strftime("%Y%m%d"))
        cases = walk.some_cases(seed, option("--faults-sample", default=SAMPLE))
    parameters = [
        pytest.param(c, c.backend, id=str(c), marks=pytest.mark.mariadb if c.backend == "mariadb" else ())
        for c in cases
    ]
    metafunc.definition.add_marker(
        pytest.mark.parametrize(("case", "database_url"), parameters, indirect=["database_url"])
    )


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    """With all its certificates made."""
    ca = TestCA(tmp_path_factory.mktemp("ca"))
    ca.host()
    ca.user("tower")
    return ca
