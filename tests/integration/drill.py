"""A running tower on which faults are made, and what its operators are told of them."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from click.testing import CliRunner

from act.alarms import ask
from act.alarms.alarm import Alarm
from act.cli.actctl import main
from act.config import CORE_FILE, CoreConfig, load_core
from act.db.engine import Database
from act.interfaces import Application, plugins
from act.pages import static
from act_atlas.trial import World

LOOK_S = 0.5
START_S = 240.0
TOLD_S = 120.0  # a minute, on a machine that has nothing else to do
FORWARD_S = 610.0
HELD_S, FREE_S = 2.5, 0.5
MUCH_MB = 10**9
# Everything as in production, but in a hurry.
CORE = """<daemons><idle_s>0.5</idle_s></daemons>
<polling><status_s>2</status_s></polling>
<breaker><failures>2</failures><open_s>2</open_s><max_open_s>4</max_open_s></breaker>
<timeouts><connect_s>3</connect_s><read_s>10</read_s><call_s>15</call_s></timeouts>
<report><every_s>2</every_s></report>
<alarms><silent_s>15</silent_s><ce_down_s>3</ce_down_s><disk_mb>1</disk_mb><disk_percent>0</disk_percent></alarms>
<guard><window>3</window><least>3</least></guard>"""
PANDA = "<getjob_min_s>1</getjob_min_s><getjob_max_s>2</getjob_max_s><minjobs>100</minjobs>"
# While there is a file, all processes of the tower see a clock that is wrong.
CLOCK = """import os, time
right = time.time
time.time = lambda: right() + (FORWARD_S if os.path.exists(FLAG) else 0.0)
"""


class Drill:
    """`job` runs for long at the CE ``steady``, jobs of the queue HOLE at the CE ``hole``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._wrong_clock = world.directory / "the-clock-is-wrong"
        self._file = world.directory / CORE_FILE
        world.start_panda()
        self.steady = world.start_ce("steady", "--run", "pretend", "--run-s", "36000")
        self.hole = world.start_ce("hole", "--run", "really")
        found = world.configure({"STEADY": [self.steady], "HOLE": [self.hole]}, core=CORE, panda=PANDA)
        self._edit("<proxies>", "<proxies><check_s>2</check_s>")
        self.environment = {**found, "PYTHONPATH": str(self._site())}
        self.tower = world.tower(self.environment)
        self.database = Database(self.config.database.connect_url())

    def start(self) -> None:
        """Until the job runs."""
        self.tower.start()
        (job,) = self.world.order("STEADY")
        self.job = str(job)
        self.until("the job runs", lambda: "running" in self.explained(self.job), START_S)

    def _site(self) -> Path:
        """Where Python finds what makes the clock wrong."""
        place = self.world.directory / "site"
        place.mkdir()
        text = CLOCK.replace("FORWARD_S", str(FORWARD_S)).replace("FLAG", repr(str(self._wrong_clock)))
        (place / "sitecustomize.py").write_text(text)
        return place

    # -- what operators are told -------------------------------------------------------------------------------------

    def told(self, name: str, about: str, text: str) -> None:
        """Soon there is an alarm about something with this text, also on the page."""
        self.until(f"alarm {name} about {about}: {text}", lambda: any(
            (a.name, a.about) == (name, about) and text in a.text for a in self.alarms()))  # fmt: skip
        self.until(f"'{text}' on the page", lambda: text in self.page())

    def explains(self, text: str, *subject: str) -> None:
        """Soon `actctl explain` says this of something."""
        self.until(f"'{text}' explained", lambda: text in self.explained(*subject))

    def over(self, name: str) -> None:
        """Soon there is no alarm of this name any more."""
        self.until(f"end of alarm {name}", lambda: name not in [a.name for a in self.alarms()])

    @property
    def config(self) -> CoreConfig:
        """As it is in its file now."""
        return load_core(self._file)

    @property
    def _applications(self) -> Sequence[Application]:
        return list(plugins("act.app").values())

    def alarms(self) -> list[Alarm]:
        """All of now."""
        config = self.config
        return self.database.snapshot("t", lambda c: ask.ask(c, config, applications=self._applications))

    def page(self) -> str:
        """The alarms of the overview, as people read them."""
        page = static.report(self.database, self.config, self._applications)
        (shown,) = re.findall('<ul class="alarms">(.*?)</ul>', page, re.DOTALL) or [""]
        return html.unescape(re.sub("<[^>]*>", "", shown))

    def explained(self, *subject: str) -> str:
        """What `actctl explain` says, on one line."""
        return " ".join(CliRunner().invoke(main, ["explain", *subject]).output.split())

    def until(self, what: str, done: Callable[[], bool], within_s: float = TOLD_S) -> None:
        """Look until it is so. AssertionError if it does not come."""
        end = time.monotonic() + within_s
        while not done():
            told = "\n".join(f"{a.name} {a.about}: {a.text}" for a in self.alarms())
            assert time.monotonic() < end, f"in {within_s:.0f} s not: {what}; alarms:\n{told}\n{self.tower.said()}"
            time.sleep(LOOK_S)

    # -- faults, while the context lasts -----------------------------------------------------------------------------

    @contextmanager
    def down(self, url: str) -> Iterator[None]:
        """Whoever calls this far side is refused."""
        base = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        self.world.call("POST", "/_sim/faults", {"path": "^/", "action": "refuse"}, base=base)
        try:
            yield
        finally:
            self.world.call("DELETE", "/_sim/faults", base=base)

    @contextmanager
    def source_gone(self) -> Iterator[None]:
        """The proxy is due to be renewed, and what it is made of cannot be read."""
        (source,) = self.config.proxies.proxy
        assert source.source_cert is not None
        before = source.source_cert.read_bytes()
        source.source_cert.write_bytes(b"")
        with sqlite3.connect(str(self.database.url.database), timeout=30) as connection:
            connection.execute("UPDATE proxies SET issued = issued - 40 * 3600")
        connection.close()
        try:
            yield
        finally:
            source.source_cert.write_bytes(before)

    @contextmanager
    def slow_database(self) -> Iterator[None]:
        """Somebody else holds the database for most of the time."""
        ended = Event()

        def hold() -> None:
            connection = sqlite3.connect(str(self.database.url.database), timeout=60, isolation_level=None)
            while not ended.is_set():
                connection.execute("BEGIN IMMEDIATE")
                ended.wait(HELD_S)
                connection.execute("ROLLBACK")
                ended.wait(FREE_S)
            connection.close()

        thread = Thread(target=hold)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def hanging(self, daemon: str) -> Iterator[None]:
        """The daemon's process stands still."""
        status: dict[str, Any] = json.loads((self.config.paths.run_dir / "status.json").read_text())
        (pid,) = (d["pid"] for d in status["daemons"] if d["name"] == daemon)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """The disk has less room than there must be, as that is more now."""
        self._edit("<disk_mb>1<", f"<disk_mb>{MUCH_MB}<")
        try:
            yield
        finally:
            self._edit(f"<disk_mb>{MUCH_MB}<", "<disk_mb>1<")

    @contextmanager
    def wrong_clock(self) -> Iterator[None]:
        """The clock of the host, as the tower's processes see it, is FORWARD_S ahead."""
        self._wrong_clock.touch()
        try:
            yield
        finally:
            self._wrong_clock.unlink()

    def fill_hole(self, jobs: int) -> None:
        """Jobs that die as soon as they run."""
        self.world.order("HOLE", count=jobs, kind="die", exit_code=1, seconds=0)

    def _edit(self, old: str, new: str) -> None:
        text = self._file.read_text()
        assert old in text
        self._file.write_text(text.replace(old, new))
