"""The unmodified act-client 1.0.0 takes its user through a tower to a real CE and back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.act_client import ActClient, installed
from tests.acceptance.client_recipe import Recipe
from tests.grid.control import Grid
from tests.integration.web_pump import Pump
from tests.integration.web_scene import Scene
from tests.integration.web_server import WebServer

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="arc")]

CE, QUEUE = "ce1", "fork"
WITHIN_S = 300


def test_everything_that_the_client_can_do(
    tmp_path: Path, real_ces: Callable[..., Grid], real_scene: Callable[..., Scene], remote: str
) -> None:
    installed()
    grid = real_ces(CE)
    scene = real_scene(grid, [("arex", grid.ce(CE).url, QUEUE)])
    (place,) = scene.config.users.ce
    with ExitStack() as stack:
        server = stack.enter_context(WebServer(scene.file, scene.ca.ca_cert))
        proxy = grid.proxy("alice.prod").read_bytes()
        clusters = {"default": [place.location]}
        act = stack.enter_context(ActClient(tmp_path / "home", server.url, scene.ca.ca_cert, clusters, proxy))
        pump = stack.enter_context(Pump(scene.config))
        Recipe(act, scene, server, lambda holds: pump.until(holds, WITHIN_S), remote).all()
