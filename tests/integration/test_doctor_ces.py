"""What `actctl doctor` says of CEs that refuse, and of the web server, asked as people ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from act.config import CoreConfig, load_core
from act.db import lanes
from act.doctor import ces, facts, sidebyside, web
from act.doctor.check import Check, Verdict
from act.errors import CEUnreachable, CredentialError
from act.simulation import TestCA
from tests.integration.conftest import MakeTower
from tests.integration.web_scene import scene_in
from tests.integration.web_server import ANY_PORT, WebServer
from tests.tower import FakeContext, Tower


@pytest.fixture
def tower(new_tower: MakeTower) -> Tower:
    """With jobs of a role at its CE."""
    made = new_tower()
    made.db.run("test", lambda c: lanes.ensure(c, made.ce_of(made.places[0]), made.proxy_id))
    return made


def look(tower: Tower) -> Check:
    context = FakeContext(tower.config, tower.sites)
    try:
        looks = list(ces.examinations(context, facts.read(tower.db), missing=()))
        (check,) = sidebyside.run(looks, threads=2, deadline_s=30)
        return check
    finally:
        context.close()


def test_a_ce_that_answers_is_good(tower: Tower) -> None:
    check = look(tower)
    assert check.verdict is Verdict.GOOD
    assert "answers role 'production'" in check.found


def test_a_ce_that_refuses_our_credential_is_bad_and_says_which(tower: Tower) -> None:
    tower.sites[0].fails("probe", CredentialError("not mapped"), times=9)
    check = look(tower)
    assert (check.verdict, check.found) == (Verdict.BAD, "refuses role 'production': not mapped")


def test_a_ce_that_refuses_one_of_our_credentials_is_a_warning(tower: Tower) -> None:
    other = tower.proxy("other", sealed=b"")
    tower.db.run("test", lambda c: lanes.ensure(c, tower.ce_of(tower.places[0]), other))
    tower.sites[0].fails("probe", CredentialError("not mapped"))
    check = look(tower)
    assert check.verdict is Verdict.WARNING
    assert "answers role" in check.found
    assert "but refuses role" in check.found


def test_a_ce_that_is_silent_is_bad(tower: Tower) -> None:
    tower.sites[0].fails("probe", CEUnreachable("no route"))
    assert look(tower).verdict is Verdict.BAD


def test_a_ce_that_no_good_proxy_is_there_for_is_not_checked(tower: Tower) -> None:
    tower.proxy(expires=1.0)
    assert look(tower).verdict is Verdict.UNCHECKED


def test_a_ce_that_is_offline_is_left_alone(new_tower: MakeTower) -> None:
    tower = new_tower(extra='<ces><ce url="https://ce1.example.org/arex"><status>offline</status></ce></ces>')
    assert look(tower).verdict is Verdict.UNCHECKED
    assert tower.sites[0].calls["probe"] == 0


@pytest.fixture
def served(tmp_path: Path, sqlite_template: Path, ca: TestCA) -> Iterator[tuple[WebServer, CoreConfig]]:
    """A web server on all interfaces, as the doctor's configuration has it."""
    cert, key = ca.host()
    settings = f"{ANY_PORT}<certificate>{cert}</certificate><key>{key}</key><processes>1</processes>"
    with scene_in(tmp_path, sqlite_template, ca, web=settings) as scene, WebServer(scene.file, ca.ca_cert) as server:
        config = load_core(scene.file)
        everywhere = config.web.model_copy(update={"bind": f"0.0.0.0:{server.port}"})
        yield server, config.model_copy(update={"web": everywhere, "ca_dir": ca.ca_dir})


def test_the_web_server_is_asked_by_the_name_in_its_certificate(served: tuple[WebServer, CoreConfig]) -> None:
    server, config = served
    (check,) = web.look(config, 10)
    assert check.verdict is Verdict.GOOD
    assert f"https://localhost:{server.port} answers" in check.found
    assert server.stop() == 0
    (check,) = web.look(config, 10)
    assert check.verdict is Verdict.BAD


def test_a_web_server_whose_certificate_nobody_trusts_is_bad(
    served: tuple[WebServer, CoreConfig], tmp_path: Path
) -> None:
    config = served[1].model_copy(update={"ca_dir": TestCA(tmp_path / "other").ca_dir})
    (check,) = web.look(config, 10)
    assert check.verdict is Verdict.BAD
    assert "certificate" in check.found.lower()
