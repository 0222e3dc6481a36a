"""The document of /api/v1 says what the server does, and the server does what it says, whatever is sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from act.simulation import TestCA
from act.web.openapi import PARAMETER
from act.web.routes import Route
from act.web.v1 import Views
from tests.integration.web_scene import V1, Scene, scene_in

DOCUMENT = f"{V1}/openapi.json"
EXAMPLES = 40  # of requests to each route
ROUTES: list[Route] = [view.route for view in vars(Views).values() if hasattr(view, "route")]
OPERATIONS = [(PARAMETER.sub(r"{\2}", route.rule), route.method) for route in ROUTES]


class World:
    """Alice has jobs with the ids that the generated requests will mostly name."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.alice = scene.person("alice")
        self.ended = scene.submit(self.alice, ["ended"])[0]["id"]
        scene.end(self.ended, {"out.txt": b"0123456789", "sub/deep.txt": b"deep"})
        self.begun = scene.begin(self.alice)

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = self.scene.client().get(DOCUMENT).json
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[World]:
    with scene_in(tmp_path_factory.mktemp("openapi"), sqlite_template, ca) as scene:
        yield World(scene)


def test_every_route_is_in_the_document(world: World) -> None:
    served = {
        (PARAMETER.sub(r"{\2}", rule.rule.removeprefix(V1)), method.lower())
        for rule in world.scene.app.url_map.iter_rules()
        if rule.rule.startswith(V1)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }  # fmt: skip
    told = {(path, method) for path, operations in world.document["paths"].items() for method in operations}
    assert told == served


def test_the_document_is_served_to_everybody_and_is_valid(world: World) -> None:
    assert world.document["openapi"].startswith("3.1")
    for path, operations in world.document["paths"].items():
        for method, operation in operations.items():
            assert {"400", "500", "503"} <= set(operation["responses"]), (method, path)
            assert operation["summary"].endswith("."), (method, path)


@pytest.fixture(scope="module")
def operations(world: World) -> Any:
    """As the document tells them, on the app."""
    return schemathesis.openapi.from_wsgi(DOCUMENT, world.scene.app)


@pytest.mark.parametrize("what", OPERATIONS, ids=str)
def test_no_request_has_an_undocumented_answer(world: World, operations: Any, what: tuple[str, str]) -> None:
    path, method = what
    ends_a_session = method == "DELETE"
    headers = {} if ends_a_session else world.alice.headers

    @hypothesis.given(case=operations[path][method].as_strategy(), own=hypothesis.strategies.booleans())
    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
                         suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    def anything(case: schemathesis.Case, own: bool) -> None:
        if own and "job_id" in case.path_parameters:
            found = {"job_id": world.ended, "name": "out.txt"} if method == "GET" else {"job_id": world.begun}
            case.path_parameters |= {name: found.get(name, value) for name, value in case.path_parameters.items()}
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    anything()
