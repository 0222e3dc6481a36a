"""The unmodified act-client 1.0.0 takes its user through a tower to a real CE and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from act.simulation import TestCA
from tests.acceptance.act_client import ActClient, installed
from tests.acceptance.client_recipe import Recipe
from tests.grid.control import Grid, GridError
from tests.integration.web_pump import HURRY, Pump
from tests.integration.web_scene import Scene, scene_in
from tests.integration.web_server import ANY_PORT, WebServer
from tests.needs import need, unavailable
from tests.services.xrootd import XRootD

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="arc")]

CE, QUEUE = "ce1", "fork"
WITHIN_S = 300


@pytest.fixture
def grid() -> Grid:
    """The test grid with its CE up."""
    grid = Grid()
    need(grid.installed())
    need(XRootD.installed())
    installed()
    try:
        grid.up(CE)
        grid.start_frontend(CE)
    except GridError as error:
        unavailable(str(error))
    return grid


@pytest.fixture
def remote(grid: Grid) -> Iterator[str]:
    """URL of a file on a storage element that the CE trusts."""
    certificates = grid.root / "certs"
    with XRootD(grid.ca_dir, certificates / "host-cert.pem", certificates / "host-key.pem") as server:
        server.fill([("atlas/remote.txt", b"remote\n")])
        yield f"{server.url('davs', 'atlas')}/remote.txt"


@pytest.fixture
def scene(tmp_path: Path, sqlite_template: Path, grid: Grid) -> Iterator[Scene]:
    """A tower that lets people of the grid submit to the CE; its own server has a certificate of another CA."""
    ca = TestCA(tmp_path / "ca")
    cert, key = ca.host()
    web = f"{ANY_PORT}<certificate>{cert}</certificate><key>{key}</key><processes>2</processes><threads>8</threads>"
    places = [("arex", grid.ce(CE).url, QUEUE)]
    directory = tmp_path / "tower"
    directory.mkdir()
    with scene_in(
        directory, sqlite_template, ca, web=web, extra=HURRY, places=places, ca_dir=grid.ca_dir,
        subject="/O=Grid/O=aCT/CN={name}",
    ) as scene:  # fmt: skip
        yield scene


def test_everything_that_the_client_can_do(tmp_path: Path, scene: Scene, grid: Grid, remote: str) -> None:
    (place,) = scene.config.users.ce
    with ExitStack() as stack:
        server = stack.enter_context(WebServer(scene.file, scene.ca.ca_cert))
        proxy = grid.proxy("alice.prod").read_bytes()
        clusters = {"default": [place.location]}
        act = stack.enter_context(ActClient(tmp_path / "home", server.url, scene.ca.ca_cert, clusters, proxy))
        pump = stack.enter_context(Pump(scene.config))
        Recipe(act, scene, server, lambda holds: pump.until(holds, WITHIN_S), remote).all()
