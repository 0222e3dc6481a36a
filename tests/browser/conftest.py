"""One browser, one seeded tower and its web server for all tests of a process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from act.pages.render import ROOT
from tests.browser.browser import LIGHT, Browser
from tests.integration.web_server import WebServer
from tests.needs import need
from tests.seeded import SeededTower, Size

JOBS = 5000


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    need(Browser.missing())
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """With nothing left of the test before."""
    chromium.forget()
    chromium.look(LIGHT)
    return chromium


@pytest.fixture(scope="session")
def tower(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[SeededTower]:
    """Its pages are for who has logged in."""
    directory = tmp_path_factory.mktemp("seeded")
    shutil.copy(sqlite_template, directory / "act.db")
    made = SeededTower(directory, f"sqlite:///{directory}/act.db", Size(JOBS, minutes_h=25))
    yield made
    made.close()


@pytest.fixture(scope="session")
def server(tower: SeededTower) -> Iterator[WebServer]:
    """``actctl web`` over the tower."""
    with WebServer(tower.file, Path(), **tower.environment) as running:
        yield running
        running.stop(signal.SIGQUIT)  # at once, although the browser keeps a connection open


@dataclass(frozen=True)
class Visitor:
    """Somebody with a browser at the pages of a tower."""

    browser: Browser
    tower: SeededTower
    base: str

    def visit(self, path: str) -> None:
        """A page, of a tower that is alive."""
        self.tower.freshen()
        self.browser.go(f"{self.base}{path}")

    def log_in(self, *, operator: bool) -> None:
        """By a link for eva."""
        self.visit(self.tower.login_link(operator=operator, name="eva"))
        self.browser.press("Log in")


@pytest.fixture
def visitor(browser: Browser, tower: SeededTower, server: WebServer) -> Visitor:
    """A stranger."""
    return Visitor(browser, tower, f"{server.url}{ROOT}")


@pytest.fixture
def operator(visitor: Visitor) -> Visitor:
    visitor.log_in(operator=True)
    return visitor


def actctl(tower: SeededTower, *arguments: str) -> str:
    """What a command says that is given on the tower's host."""
    command, environment = [sys.executable, "-m", "act.cli", *arguments], {**os.environ, **tower.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
