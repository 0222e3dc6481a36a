"""/metrics: for those who may ask, whatever state the tower is in, and for nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from act import exposition
from act.config import load_core
from act.db.engine import Database
from act.db.schema import metadata
from act.errors import ConfigError
from act.simulation import TestCA
from tests.integration.web_scene import Scene, scene_in
from tests.tower import TEMPLATE

NEAR, FAR, MAPPED = "192.0.2.7", "198.51.100.7", "::ffff:192.0.2.7"
PROXY, SECOND = "192.0.2.100", "203.0.113.5"
NewScene = Callable[..., Scene]  # of further configuration
NEAR_MAY = "<metrics><allow>192.0.2.0/24</allow></metrics>"


@pytest.fixture
def new_scene(tmp_path: Path, sqlite_template: Path, ca: TestCA, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewScene]:
    """Web servers with further configuration."""
    monkeypatch.setenv("ACTCONFIGATLAS", str(TEMPLATE))
    with ExitStack() as stack:
        yield lambda extra, web="": stack.enter_context(scene_in(tmp_path, sqlite_template, ca, extra=extra, web=web))


def status(scene: Scene, address: str, *forwarded: str) -> int:
    """What comes of asking. forwarded: headers that tell who asked."""
    headers = [("X-Forwarded-For", text) for text in forwarded]
    return scene.client().get("/metrics", environ_base={"REMOTE_ADDR": address}, headers=headers).status_code


def test_the_networks_that_may_ask_are_answered_and_for_others_it_is_not_there(
    new_scene: NewScene,
) -> None:
    scene = new_scene(NEAR_MAY)
    assert [status(scene, a) for a in (NEAR, MAPPED, FAR, "127.0.0.1", "::1")] == [200, 200, 404, 404, 404]
    ask = {"environ_base": {"REMOTE_ADDR": FAR}}
    assert scene.client().get("/metrics", **ask).json == scene.client().get("/no-such-thing", **ask).json


def test_without_a_word_on_it_only_this_host_may_ask(new_scene: NewScene) -> None:
    scene = new_scene("")
    assert [status(scene, a) for a in ("127.0.0.1", "127.8.9.1", "::1", NEAR)] == [200, 200, 200, 404]


def test_without_a_word_on_web_servers_before_this_one_nobody_speaks_for_others(new_scene: NewScene) -> None:
    scene = new_scene(NEAR_MAY)
    assert status(scene, FAR, NEAR) == status(scene, "127.0.0.1", NEAR) == 404
    assert status(scene, NEAR, FAR) == 200


FORWARDERS = f"<forwarder>{PROXY}</forwarder><forwarder>203.0.113.0/28</forwarder>"


@pytest.mark.parametrize(
    ("address", "forwarded", "answer"),
    [
        (PROXY, [NEAR], 200),
        (PROXY, [FAR], 404),
        (PROXY, [f"{NEAR}, {FAR}"], 404),
        (PROXY, [NEAR, FAR], 404),
        (PROXY, [f"{FAR},{NEAR}"], 200),
        (PROXY, [f"{NEAR}, {SECOND}"], 200),
        (PROXY, [f"{NEAR}, {FAR}, {SECOND}"], 404),
        (f"::ffff:{PROXY}", [FAR], 404),
        (PROXY, ["unknown"], 404),
        (PROXY, [f"{NEAR},"], 404),
        (PROXY, [""], 200),
        (PROXY, [], 200),
        (FAR, [NEAR], 404),
        (NEAR, [FAR], 200),
    ],
    ids=["one who may", "one who may not", "says it of himself", "in a header of his own", "says less of himself",
         "through two", "through two, says it of himself", "over a socket for both kinds of address", "no address",
         "an empty one", "it says nothing", "it asks for itself", "no forwarder", "no forwarder, may himself"],
)  # fmt: skip
def test_who_asks_is_the_last_that_the_web_servers_before_this_one_speak_of(
    new_scene: NewScene, address: str, forwarded: list[str], answer: int
) -> None:
    assert status(new_scene(NEAR_MAY, FORWARDERS), address, *forwarded) == answer


def test_metrics_that_are_disabled_are_not_there(new_scene: NewScene) -> None:
    assert status(new_scene("<metrics><disabled>true</disabled></metrics>"), "127.0.0.1") == 404


def test_what_is_no_network_is_refused_in_the_configuration(new_scene: NewScene) -> None:
    with pytest.raises(ConfigError, match="not an address or a network"):
        new_scene("<metrics><allow>monitoring.example.org</allow></metrics>")


def test_a_database_that_does_not_answer_is_told_by_a_metric(tmp_path: Path) -> None:
    config = load_core(_file(tmp_path))
    database = Database(config.database.connect_url())
    text = exposition.render(database, config).decode()
    database.close()
    assert "\nact_database_up 0.0\n" in text
    assert "\nact_master_up 0.0\n" in text


def _file(directory: Path) -> Path:
    """A configuration whose database cannot be opened."""
    path = directory / "aCTConfigARC.xml"
    path.write_text("<config><database><url>sqlite:///nowhere/act.db</url></database></config>")
    return path


def test_names_cannot_break_the_answer(new_scene: NewScene) -> None:
    scene = new_scene("")
    hostile = 'ce"} 1\nact_forged{x="\\'
    scene.db.run("test", lambda c: c.execute(
        metadata.tables["daemons"].insert().values(
            host=hostile, name="getjob", pid=1, started=0, beat=0, passes=0, moved=0, statements=0
        )
    ))  # fmt: skip
    answer = scene.client().get("/metrics")
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert any("act_forged" in line for line in lines)
    assert not any(line.startswith("act_forged") for line in lines)


def test_the_textfile_is_written_where_the_configuration_says(new_scene: NewScene, tmp_path: Path) -> None:
    scene = new_scene("<metrics><textfile>collected/act.prom</textfile></metrics>")
    exposition.write_textfile(scene.db, scene.config)
    assert "act_database_up 1.0" in (tmp_path / "collected/act.prom").read_text()


def test_people_s_own_credentials_are_in_no_metric(new_scene: NewScene) -> None:
    scene = new_scene("")
    scene.person("alice")
    text = scene.client().get("/metrics").text
    assert "act_database_up 1.0" in text
    assert "act_proxy_expires_timestamp_seconds{" not in text
