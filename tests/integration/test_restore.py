"""A database restored from a backup, made as docs/operations.md says, between CEs where jobs have gone on since."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from act.db import meta, migrate
from act.db.engine import Database
from tests.conftest import BACKENDS
from tests.fakes import Site, unreachable
from tests.needs import need
from tests.power import Power
from tests.services.mariadb import MariaDB
from tests.tower import Tower

HOUR = 3600


class Sqlite:
    """Commands for a file."""

    def __init__(self, directory: Path) -> None:
        self.file, self.copy = directory / "act.db", directory / "copy.db"
        self.url = f"sqlite:///{self.file}"

    def back_up(self) -> None:
        self._sqlite(self.file, f".backup {self.copy}")

    def restore(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self.file.with_name(self.file.name + ending).unlink(missing_ok=True)
        self._sqlite(self.copy, f".backup {self.file}")

    def _sqlite(self, file: Path, command: str) -> None:
        subprocess.run(["sqlite3", file, command], check=True, capture_output=True, timeout=60)


class Server:
    """Commands for MariaDB."""

    def __init__(self, directory: Path, server: MariaDB) -> None:
        self.copy, self.server = directory / "act.sql", server
        self._make()
        self.url = server.url("restored")

    def _make(self) -> None:
        self.server.drop_database("restored")
        self.server.execute("CREATE DATABASE restored CHARACTER SET utf8mb4")

    def back_up(self) -> None:
        with self.copy.open("wb") as out:
            self._run("mariadb-dump", "--single-transaction", "restored", stdout=out)

    def restore(self) -> None:
        self._make()
        with self.copy.open("rb") as dump:
            self._run("mariadb", "restored", stdin=dump)

    def _run(self, program: str, *arguments: str, **files: BinaryIO) -> None:
        account = ("--no-defaults", f"--socket={self.server.socket}", "--user=root")
        subprocess.run([program, *account, *arguments], check=True, timeout=60, **files)


@dataclass
class Scene:
    """A tower, and what its database is kept by. waiting, doubtful, there: attempts as they were at the backup; new:
    one that came after it."""

    tower: Tower
    keeper: Sqlite | Server
    waiting: int = 0
    doubtful: int = 0
    there: int = 0
    new: int = 0


@pytest.fixture(params=BACKENDS)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Sqlite | Server:
    missing = [name for name in ("sqlite3", "mariadb-dump") if shutil.which(name) is None]
    need(f"not installed: {', '.join(missing)}; run tests/setup.sh" if missing else None)
    return Sqlite(tmp_path) if request.param == "sqlite" else Server(tmp_path, request.getfixturevalue("mariadb"))


@pytest.fixture
def scene(keeper: Sqlite | Server, tmp_path: Path) -> Iterator[Scene]:
    """Everything goes on after the backup, and then the database is lost and restored."""
    database = Database(keeper.url)
    migrate.upgrade(database)
    database.close()
    site = Site("https://ce1.example.org/arex", Power())
    tower = Tower(tmp_path, keeper.url, [site])
    made = Scene(tower, keeper)
    (made.there,) = tower.submit()
    tower.once("submitter")
    (made.doubtful,) = tower.submit()
    site.fails("create", unreachable(), "after")
    tower.once("submitter")
    (made.waiting,) = tower.submit()
    keeper.back_up()
    assert tower.states([made.there, made.doubtful, made.waiting]) == ["submitted", "submitting", "tosubmit"]

    (made.new,) = tower.submit()
    tower.settle(1, ("submitter",))
    tower.settle(2, ("reconciler",))
    tower.once("submitter")
    assert len(site.jobs) == 4
    tower.close()
    keeper.restore()
    made.tower = Tower(tmp_path, keeper.url, [site])
    yield made
    made.tower.close()


def killed(scene: Scene) -> list[str]:
    return [i for i, job in scene.tower.sites[0].jobs.items() if job.state in ("killing", "killed")]


def test_the_backup_has_every_row_as_it_was(scene: Scene) -> None:
    migrate.check(scene.tower.db)
    states = scene.tower.states([scene.there, scene.doubtful, scene.waiting])
    assert states == ["submitted", "submitting", "tosubmit"]


def test_a_restored_tower_notices_it_even_after_it_gave_the_lost_numbers_again(scene: Scene) -> None:
    """Nothing at the CE is killed, and nothing is submitted once it has looked."""
    tower = scene.tower
    (again,) = tower.submit()
    assert again == scene.new
    before = set(tower.sites[0].jobs)
    tower.pass_time(HOUR + 1)
    tower.once("reconciler")
    assert "restored" in str(tower.db.read("t", meta.stopped))
    tower.once("submitter")
    tower.pass_time(HOUR + 1)
    tower.once("reconciler")
    assert set(tower.sites[0].jobs) == before
    assert killed(scene) == []
    assert tower.states([scene.waiting, again]) == ["tosubmit", "tosubmit"]


def test_with_an_identity_of_its_own_it_follows_what_it_knows_and_leaves_the_rest(scene: Scene) -> None:
    """It knows what was at the CE and what was being submitted."""
    tower, site = scene.tower, scene.tower.sites[0]
    unknown = {i for i, j in site.jobs.items() if f".{scene.new}." in j.name or f".{scene.waiting}." in j.name}
    assert len(unknown) == 2
    tower.put([scene.waiting], "quarantined")
    tower.db.run("t", meta.clone_identity)
    tower.settle()
    assert tower.states([scene.there, scene.doubtful, scene.waiting]) == ["done", "done", "quarantined"]
    assert unknown <= set(site.jobs)
    assert killed(scene) == []
    assert tower.runs() == [1, 1, 1, 1]


def test_on_hold_nothing_that_may_have_run_is_submitted_again(scene: Scene) -> None:
    """What was being submitted at the backup has run since, and the CE has forgotten it."""
    tower, site = scene.tower, scene.tower.sites[0]
    token = tower.get(scene.doubtful).token
    (ended,) = (i for i, job in site.jobs.items() if token in job.name)
    del site.jobs[ended]
    before = set(site.jobs)
    tower.db.run("t", lambda c: meta.clone_identity(c, hold="restored"))
    tower.settle()
    assert tower.states([scene.there, scene.doubtful, scene.waiting]) == ["done", "tosubmit", "tosubmit"]
    assert set(site.jobs) == before and killed(scene) == []
    tower.db.run("t", meta.clone_identity)
    tower.settle()
    assert tower.states([scene.waiting]) == ["done"]
