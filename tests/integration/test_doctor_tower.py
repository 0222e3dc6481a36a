"""`actctl doctor` on towers with something wrong: every fault is a verdict that says what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from click.testing import CliRunner, Result

from act.cli.actctl import main
from act.db import ces, meta, migrate, server
from act.db.engine import Database
from act.doctor.check import Verdict
from act.doctor.facts import read
from tests.integration.panda_tower import PandaTower

Edited = Callable[[str, str], None]
Told = dict[str, tuple[str, str, str]]
GOOD, WARNING, BAD, UNCHECKED = (str(v) for v in Verdict)


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", "--timeout", "10", *arguments], catch_exceptions=False)


def told() -> Told:
    """What -> verdict, what was found, what to do."""
    checks = json.loads(doctor("--format", "json").stdout)["checks"]
    return {c["what"]: (c["verdict"], c["found"], c["todo"]) for c in checks}


@pytest.fixture
def panda_tower(panda_tower: PandaTower) -> PandaTower:
    """With all its directories, as `actctl init` makes them."""
    for name in ("state", "store", "run", "work"):
        (panda_tower.directory / name).mkdir(exist_ok=True)
    return panda_tower


@pytest.fixture
def edited(panda_tower: PandaTower, monkeypatch: pytest.MonkeyPatch) -> Edited:
    """Has actctl read a changed copy of the core's configuration: edited(old, new)."""

    def edit(old: str, new: str) -> None:
        text = Path(panda_tower.environment["ACTCONFIGARC"]).read_text()
        assert old in text
        path = panda_tower.directory / "edited.xml"
        path.write_text(text.replace(old, new))
        monkeypatch.setenv("ACTCONFIGARC", str(path))

    return edit


@pytest.fixture
def closed_port() -> int:
    """Nobody listens there."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_panda_that_answers_is_good_and_its_clock_is_compared(panda_tower: PandaTower) -> None:
    panda_tower.panda.ahead_s = 0
    found = told()
    assert found["PanDA"][0] == GOOD
    assert found["clock of PanDA"][0] == GOOD
    panda_tower.panda.ahead_s = -600
    assert told()["clock of PanDA"][:2] == (BAD, "10 min behind this host's")


def test_a_tower_that_is_set_up_and_not_started_is_told_that_and_no_more(panda_tower: PandaTower) -> None:
    found = told()
    assert {what for what, (verdict, _, _) in found.items() if verdict == BAD} == {"master", "daemons"}
    assert all(todo for verdict, _, todo in found.values() if verdict in (BAD, WARNING))
    assert "/O=act/CN=tower, good for" in found["proxy production"][1]


def test_a_directory_that_is_missing_is_bad(panda_tower: PandaTower) -> None:
    (panda_tower.directory / "run").rmdir()
    verdict, _, todo = told()["run_dir"]
    assert verdict == BAD
    assert "actctl init" in todo


def test_panda_and_cric_that_are_down_are_told_apart_from_the_rest(panda_tower: PandaTower) -> None:
    panda_tower.panda.stop()
    found = told()
    assert found["PanDA"][0] == BAD
    assert found["CRIC"][0] == GOOD  # what it said last is not old yet
    assert found["proxy production"][0] == GOOD


def test_a_ce_that_is_down_is_bad_with_its_breaker(panda_tower: PandaTower, closed_port: int) -> None:
    url = f"https://127.0.0.1:{closed_port}/arex"
    ce_id = panda_tower.ce_of(panda_tower.db.run("test", lambda c: ces.ensure(c, "arc", url, "q")))
    fail = {"threshold": 1, "open_s": 60, "max_open_s": 60}
    panda_tower.db.run("test", lambda c: ces.failed(c, ce_id, socket.gethostname(), "refused", **fail))
    verdict, found, todo = told()[f"CE {url}"]
    assert verdict == BAD
    assert "refused" in found.lower()
    assert "left alone" in found
    assert url in todo


def test_stopped_submission_is_bad(panda_tower: PandaTower) -> None:
    panda_tower.db.run("test", lambda c: meta.stop(c, "this is a copy"))
    assert told()["submission"][:2] == (BAD, "nothing is submitted: this is a copy")


def test_a_schema_that_is_behind_is_bad_and_what_needs_it_is_not_checked(panda_tower: PandaTower) -> None:
    own = migrate.config()
    with panda_tower.db.engine.connect() as connection:
        own.attributes["connection"] = connection
        command.stamp(own, "base", purge=True)
        connection.commit()
    found = told()
    assert found["schema"][0] == BAD
    assert "actctl db upgrade" in found["schema"][2]
    assert found["proxies, tokens, CEs, daemons, applications"][0] == UNCHECKED
    assert found["key file"][0] == GOOD


def test_a_database_that_is_down_is_one_bad_verdict(edited: Edited, panda_tower: PandaTower, closed_port: int) -> None:
    edited(str(panda_tower.db.url), f"mysql+mysqldb://act@127.0.0.1:{closed_port}/act")
    found = told()
    assert found["database"][0] == BAD
    assert found["key file"][0] == GOOD
    assert [w for w, (v, _, _) in found.items() if v == BAD] == ["database"]


def test_a_password_that_cannot_be_read_is_a_verdict(edited: Edited) -> None:
    edited("</url>", "</url><password_file>none</password_file>")
    found = told()
    assert found["configuration"][0] == BAD
    assert "password_file" in found["configuration"][1]


def test_a_wrong_configuration_is_one_bad_verdict(edited: Edited) -> None:
    edited("<config>", "<config><nonsense/>")
    found = told()
    assert found["configuration"][0] == BAD
    assert "nonsense" in found["configuration"][1]
    assert found["all else"][0] == UNCHECKED


def test_it_ends_with_1_only_if_something_is_bad_and_prints_a_line_each(panda_tower: PandaTower) -> None:
    done = doctor()
    assert done.exit_code == 1
    assert "bad          master: none runs on host" in done.stdout
    assert "             -> 'systemctl start act'" in done.stdout


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def test_a_database_server_is_known_by_what_it_says(new_database: Callable[[str], str], kind: str) -> None:
    database = Database(new_database(kind))
    try:
        said = database.read("test", server.read)
        assert (said.max_connections, said.isolation) == (
            (None, "SERIALIZABLE") if kind == "sqlite" else (500, "READ COMMITTED")
        )
        assert ("MariaDB" in said.version) == (kind == "mariadb")
        assert abs(read(database).ahead_s) < 60
    finally:
        database.close()
