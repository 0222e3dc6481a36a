"""What the acceptance tests share: the test grid, and trials that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.trial import Trial
from tests.grid.control import ARC_NAMES, Grid, GridError
from tests.needs import need, unavailable


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """A tower between simulators."""
    with Trial(tmp_path) as trial:
        yield trial


@pytest.fixture
def real_trial(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Makes a tower before real CEs, which are brought up if they are down: real_trial("ce1", "condorA")."""
    grid = Grid()
    need(grid.installed())
    with ExitStack() as stack:

        def make(*names: str) -> Trial:
            try:
                grid.up(*names)
                for name in set(names) & set(ARC_NAMES):
                    grid.start_frontend(name)  # it may have died alone
            except GridError as error:
                unavailable(str(error))
            return stack.enter_context(Trial(tmp_path, grid, stack.enter_context(grid.share("gridprod"))))

        yield make
