"""The unmodified act-client 1.0.0 against the server over TLS, with a simulated CE behind the tower."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from act.simulation import Request, Response, SimServer, TestCA
from act_arc.simulator import ArcSimulator
from tests.acceptance.act_client import ActClient, installed
from tests.acceptance.client_recipe import Recipe
from tests.integration.web_pump import HURRY, Pump
from tests.integration.web_scene import REMOTE, Scene, scene_in
from tests.integration.web_server import ANY_PORT, WebServer

pytestmark = pytest.mark.slow


class Files(SimServer):
    """A web server somewhere, with one file."""

    def handle(self, request: Request) -> Response:
        return Response(200, b"remote\n")


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory, ca: TestCA) -> Iterator[ArcSimulator]:
    installed()  # or skip before anything is set up
    with ArcSimulator(tmp_path_factory.mktemp("ce"), ca) as sim:
        yield sim


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA, sim: ArcSimulator
) -> Iterator[Scene]:
    cert, key = ca.host()
    web = f"{ANY_PORT}<certificate>{cert}</certificate><key>{key}</key><processes>2</processes><threads>8</threads>"
    places = [("sim", sim.url, "default")]
    with scene_in(tmp_path_factory.mktemp("act"), sqlite_template, ca, web=web, extra=HURRY, places=places) as scene:
        yield scene


@pytest.fixture(scope="module")
def server(scene: Scene, ca: TestCA) -> Iterator[WebServer]:
    with WebServer(scene.file, ca.ca_cert) as server:
        yield server


@pytest.fixture
def act(tmp_path: Path, scene: Scene, server: WebServer, ca: TestCA) -> Iterator[ActClient]:
    """Alice at her terminal."""
    (place,) = scene.config.users.ce
    clusters = {"default": [place.location]}
    with ActClient(tmp_path / "home", server.url, ca.ca_cert, clusters, scene.proxy_of("alice")) as act:
        yield act


def test_everything_that_the_client_can_do(act: ActClient, scene: Scene, server: WebServer, ca: TestCA) -> None:
    with Files(ca) as files, Pump(scene.config) as pump:
        Recipe(act, scene, server, pump.until, f"{files.url}/remote.txt").all()


def test_250_jobs_in_batches_are_submitted_killed_and_cleaned(act: ActClient) -> None:
    act("proxy")
    names = [act.write(f"job{n}.xrsl", REMOTE.format(name=f"batch{n}")) for n in range(250)]
    said = act("sub", *names)
    assert said.count("Inserted job batch") == 250, said
    assert act("kill", "--name", "batch") == "Will kill 250 jobs\n"
    assert act("clean") == "Cleaned 250 jobs\n"
    assert act("stat") == ""


def test_a_proxy_that_another_one_signs_for_is_refused_with_a_helpful_message(act: ActClient, scene: Scene) -> None:
    other = act.home / "other.pem"
    other.write_bytes(scene.proxy_of("bob"))
    config = act.home / "config.yaml"
    config.write_text(config.read_text().replace(str(act.proxy_file), str(other)))
    said = act("proxy", fails=True)
    assert "sign" in said, said
    assert not act.token_file.exists()
