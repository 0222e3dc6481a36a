"""report: figures over time, errors by their causes, how each host is, and a page that tells all that."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from act import __version__, exposition, files
from act.daemons import registry
from act.daemons.base import Daemon, Key
from act.daemons.context import Context
from act.db import causes, figures, history, hosts, meta
from act.db.history import DAY_S, HOUR_S, MINUTE_S, Keep
from act.figures import Figure
from act.interfaces import plugins
from act.master import DaemonSpec, read_status
from act.pages import static

log = logging.getLogger(__name__)

FORGOTTEN_S = 60.0  # a daemon that the configuration does not want, after its last word
HOST_S = 10.0  # between two words of a host on itself
MOST_EVENTS = 500_000  # that one pass looks at: those before are in no figure
# What happened longer ago is not counted in a minute: it may be much, and nobody counted for a while.
WITHIN_S = 2.0 * MINUTE_S
GONE_S = 7.0 * DAY_S  # a host, or a daemon, that is silent for so long
MB = 1_000_000
SEVERAL = 3  # restarts, and the last SETTLED_S ago at most: a daemon that does not come to life
SETTLED_S = 300.0

# In meta: the last minute that a host took on, and what had been looked at by then.
_MINUTE, _SEEN = "report_minute", "report_seen"


class Report(Daemon):
    """Every host tells how it is. One of all hosts writes down the figures of a minute and counts what went wrong; when
    it dies meanwhile, that minute has no figures, and the next one counts the errors.
    """

    kind = "report"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        report = context.config.report
        self._keep = Keep(report.minutes_h * HOUR_S, report.hours_d * DAY_S, report.days_d * DAY_S)
        self._causes_s = report.causes_d * DAY_S
        self._started = time.time()
        self._publish_at = 0.0
        self._wrote_s = 0.0
        enabled = registry.enabled(context.config).items()
        self._expected = [name for kind, (_, n) in enabled for name in DaemonSpec(kind, "", n).instances()]

    @property
    def idle_s(self) -> float:
        return min(HOST_S, self.context.config.report.every_s)

    def work(self, lane: Key) -> int:
        try:
            at = self._tell_of_host()
            if self._take_on(str(int(at // MINUTE_S))):
                self._keep_minute(at)
                self.db.run("history", lambda c: history.compact(c, at, self._keep))
        finally:  # that the database does not answer is told, too
            if time.monotonic() >= self._publish_at:
                self._publish_at = time.monotonic() + self.context.config.report.every_s
                self._publish()
        return 0

    def _tell_of_host(self) -> float:
        """Write down how this host is; returns the database's time."""
        at, skew_s, took_s = self.db.read("clock", _clocks)
        facts = hosts.Host(
            version=__version__,
            started=self._started,
            clock_skew_s=skew_s,
            database_s=max(took_s, self._wrote_s),
            disks=tuple(_disks(self._directories())),
            load=os.getloadavg()[0] / (os.cpu_count() or 1),
            failing=tuple(failing(read_status(self.context.config.paths.run_dir))),
        )

        def write(connection: Connection) -> None:
            hosts.write(connection, self.context.host, facts)
            meta.forget_daemons(connection, self.context.host, self._expected, FORGOTTEN_S)

        began = time.monotonic()
        self.db.run("host", write)
        self._wrote_s = time.monotonic() - began
        return at

    def _take_on(self, minute: str) -> bool:
        """Whether this host is the one that keeps the figures of this minute."""
        last = self.db.read("minute", lambda c: meta.value(c, _MINUTE))
        return last != minute and self.db.run("minute", lambda c: meta.swap(c, _MINUTE, last, minute))

    def _keep_minute(self, at: float) -> None:
        """Read without holding up anybody, then write in one short transaction."""
        seen = self.db.read("seen", lambda c: meta.value(c, _SEEN))
        before: dict[str, Any] = json.loads(seen) if seen else {"event": 0, "at": at - WITHIN_S}
        upto = self.db.read("events", lambda c: figures.settled(c, before["event"]))
        after = max(before["event"], upto - MOST_EVENTS)
        now_seen = json.dumps({"event": upto, "at": at})

        levels = self.db.snapshot("figures", _levels)
        moves = self.db.read("moves", lambda c: list(figures.moves(c, after, upto, WITHIN_S)))
        groups = self.db.read(
            "causes", lambda c: causes.gather(c, after=after, upto=upto, since=before["at"], until=at)
        )

        def write(connection: Connection) -> None:
            if meta.swap(connection, _SEEN, seen, now_seen):  # else another host was faster
                history.write(connection, at, [*levels, *moves, *figures.calls(connection)])
                causes.count(connection, groups)
                causes.prune(connection, at - self._causes_s)
                hosts.forget(connection, GONE_S)

        self.db.run("figures", write)

    def _publish(self) -> None:
        """Write what others show; a directory that takes nothing holds nothing else up."""
        for write in (self._write_metrics, self._write_page):
            try:
                write()
            except OSError as error:
                log.error("what the tower tells others cannot be written: %s", error)

    def _write_metrics(self) -> None:
        exposition.write_textfile(self.db, self.context.config)

    def _write_page(self) -> None:
        config = self.context.config
        if config.report.html_file is not None:
            page = static.report(self.db, config, list(plugins("act.app").values()))
            files.write_file(config.report.html_file, page.encode(), 0o644, durable=False)

    def _directories(self) -> Iterator[Path]:
        """Those that the tower writes to."""
        paths, to_file = self.context.config.paths, self.context.config.logging.file
        yield from (paths.state_dir, paths.store_dir, paths.run_dir, paths.work_dir)
        if self.db.embedded:
            yield Path(str(self.db.url.database)).parent
        if to_file is not None:
            yield to_file.directory


def _levels(connection: Connection) -> list[Figure]:
    """The figures of the core and of all applications, of one moment."""
    found = list(figures.levels(connection))
    for application in plugins("act.app").values():
        found += application.operations.figures(connection)
    return found


def _clocks(connection: Connection) -> tuple[float, float, float]:
    """(the database's time, by how much ours is ahead of it, how long the answer took)."""
    before, began = time.time(), time.monotonic()
    at = meta.clock(connection)
    took_s = time.monotonic() - began
    return at, before + took_s / 2 - at, took_s


def failing(master: Mapping[str, Any] | None) -> Iterator[hosts.Failing]:
    """Daemons that end again and again, or refuse to start. master: what it says of itself, None if there is none."""
    for told in master["daemons"] if master is not None else ():
        short = told["uptime_s"] is None or told["uptime_s"] < SETTLED_S
        if told["state"] == "refused":
            yield hosts.Failing(told["name"], 0, told["last_end"])
        elif short and told["restarts"] >= SEVERAL:
            yield hosts.Failing(told["name"], told["restarts"], told["last_end"])


def _disks(directories: Iterable[Path]) -> Iterator[hosts.Disk]:
    """The file systems that these are on, each once; what is kept for root is not free."""
    known = set()
    for path in directories:
        try:
            there = _nearest(path)
            device, room = there.stat().st_dev, os.statvfs(there)
        except OSError as error:
            log.error("nobody can tell how much room there is in %s: %s", path, error)
            continue
        if device not in known:
            known.add(device)
            yield hosts.Disk(str(path), room.f_bavail * room.f_frsize // MB, room.f_blocks * room.f_frsize // MB)


def _nearest(path: Path) -> Path:
    """The directory, or what is there of the way to it."""
    return next(p for p in (path, *path.parents) if p.exists())
