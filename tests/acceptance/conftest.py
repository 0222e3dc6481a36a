"""What the acceptance tests share: the test grid, trials that end with the test, and towers that people submit to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from act.simulation import TestCA
from tests.acceptance.trial import Trial
from tests.grid.control import ARC_NAMES, Grid, GridError
from tests.integration.web_pump import HURRY
from tests.integration.web_scene import Scene, scene_in
from tests.integration.web_server import ANY_PORT
from tests.needs import need, unavailable
from tests.services.xrootd import XRootD


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """A tower between simulators."""
    with Trial(tmp_path) as trial:
        yield trial


@pytest.fixture
def grid() -> Grid:
    """The test grid; none of it need be up."""
    grid = Grid()
    need(grid.installed())
    return grid


@pytest.fixture
def real_ces(grid: Grid) -> Callable[..., Grid]:
    """The test grid with CEs that are brought up if they are down: real_ces("ce1", "condorA")."""

    def up(*names: str) -> Grid:
        try:
            grid.up(*names)
            for name in set(names) & set(ARC_NAMES):
                grid.start_frontend(name)  # it may have died alone
        except GridError as error:
            unavailable(str(error))
        return grid

    return up


@pytest.fixture
def real_trial(tmp_path: Path, real_ces: Callable[..., Grid]) -> Iterator[Callable[..., Trial]]:
    """Makes a tower before real CEs: real_trial("ce1", "condorA")."""
    with ExitStack() as stack:

        def make(*names: str) -> Trial:
            grid = real_ces(*names)
            return stack.enter_context(Trial(tmp_path, grid, stack.enter_context(grid.share("gridprod"))))

        yield make


@pytest.fixture
def real_scene(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a tower that lets people of a grid submit to CEs: real_scene(grid, places). Its web server has a
    certificate of another CA."""
    with ExitStack() as stack:

        def make(grid: Grid, places: list[tuple[str, str, str]], *, extra: str = "", **more: Any) -> Scene:
            ca = TestCA(tmp_path / "ca")
            cert, key = ca.host()
            web = f"<certificate>{cert}</certificate><key>{key}</key><processes>2</processes><threads>8</threads>"
            directory = tmp_path / "tower"
            directory.mkdir()
            scene = scene_in(
                directory, sqlite_template, ca, web=ANY_PORT + web, extra=HURRY + extra, places=places,
                ca_dir=grid.ca_dir, subject="/O=Grid/O=aCT/CN={name}", **more,
            )  # fmt: skip
            return stack.enter_context(scene)

        yield make


@pytest.fixture
def remote(grid: Grid) -> Iterator[str]:
    """URL of a file on a storage element that CEs trust."""
    need(XRootD.installed())
    certificates = grid.root / "certs"
    with XRootD(grid.ca_dir, certificates / "host-cert.pem", certificates / "host-key.pem") as server:
        server.fill([("atlas/remote.txt", b"remote\n")])
        yield f"{server.url('davs', 'atlas')}/remote.txt"
