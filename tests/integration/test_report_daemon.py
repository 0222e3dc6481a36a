"""The report daemon: one host writes a minute, what happened is counted once, every host tells how it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from act.daemons.context import Context
from act.daemons.report import Report
from act.db import causes, cejobs, figures, history, hosts, meta
from act.db.engine import Database
from act.db.history import DAY_S, Sample
from act.db.moves import Move
from act.db.schema import daemons, events
from act.db.schema import meta as meta_table
from act.db.schema_operating import cecalls, samples
from act.db.schema_operating import hosts as host_rows
from act.figures import CE, QUEUE, TOWER, USER
from act.states import Event
from tests.fakes import Site
from tests.integration.client_tower import MakeClientTower
from tests.integration.conftest import MakeTower
from tests.integration.panda_tower import QUEUE as THEIRS
from tests.integration.panda_tower import PandaTower
from tests.kit import together
from tests.power import Power
from tests.tower import Tower

URL = "https://ce1.example.org/arex"


class Reporters:
    """Report daemons of several hosts over one tower."""

    def __init__(self, directory: Path, url: str) -> None:
        self.tower = Tower(directory, url, [Site(URL, Power())])
        self.db: Database = self.tower.db
        self._contexts: list[Context] = []

    def on(self, host: str) -> Report:
        """The daemon of a host, just started."""
        context = Context(self.tower.config)
        context.host = host
        self._contexts.append(context)
        return Report(context, "report")

    def settle(self) -> None:
        """What happened until now was not just now."""
        self.db.run("t", lambda c: c.execute(update(events).values(at=events.c.at - figures.SETTLED_S)))

    def minute(self, daemon: Report) -> None:
        """A pass in a minute that nobody has taken on, when what happened until now has settled."""

        def write(connection: Any) -> None:
            connection.execute(update(meta_table).where(meta_table.c.name == "report_minute").values(value="0"))
            connection.execute(delete(samples))

        self.settle()
        self.db.run("t", write)
        daemon.work(None)

    def fail(self) -> None:
        """An attempt that fails at the CE."""
        (job,) = self.tower.at_ce(1, "running", place=self.tower.places[0], proxy_id=self.tower.proxy_id)
        failed = Move(job, "running", Event.FAILED, "out of memory")
        self.db.run("t", lambda c: cejobs.move(c, [failed], who="status-fake"))

    def read(self, scope: str = TOWER, name: str = "") -> list[Sample]:
        return self.db.read("t", lambda c: history.read(c, scope, name, since=0, step_s=history.MINUTE_S))

    def last(self, scope: str = TOWER, name: str = "") -> dict[str, float]:
        """The figures of the minute, without ages."""
        return {k: v for k, v in self.read(scope, name)[-1].figures.items() if not k.startswith("oldest")}

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self.tower.close()


@pytest.fixture
def reporters(tmp_path: Path, database_url: str) -> Iterator[Reporters]:
    made = Reporters(tmp_path, database_url)
    yield made
    made.close()


def test_attempts_are_counted_by_state_and_ce_and_by_what_happened(reporters: Reporters) -> None:
    tower, daemon = reporters.tower, reporters.on("host1")
    tower.submit(3)
    tower.once("submitter")
    tower.submit(2)
    reporters.minute(daemon)
    came = {"+new": 5, "+submitting": 3, "+created": 3, "+submitted": 3}
    assert reporters.last() == {"submitted": 3, "tosubmit": 2, **came}
    assert reporters.last(CE, URL) == {"submitted": 3, "+new": 3, "+submitting": 3, "+created": 3, "+submitted": 3}
    tower.sites[0].tick()
    tower.pass_time(700)
    tower.once("status")
    reporters.minute(daemon)
    assert reporters.last() == {"running": 3, "tosubmit": 2, "+running": 3}
    reporters.minute(daemon)
    assert reporters.last() == {"running": 3, "tosubmit": 2}


def test_the_oldest_in_each_state_has_its_age(reporters: Reporters) -> None:
    reporters.tower.submit(1)
    reporters.tower.pass_time(500)
    reporters.tower.submit(1)
    reporters.minute(reporters.on("host1"))
    (sample,) = reporters.read()
    assert sample.figures["oldest tosubmit s"] >= 500
    assert "oldest running s" not in sample.figures


def test_one_host_writes_a_minute_and_all_hosts_tell_of_themselves(reporters: Reporters) -> None:
    reporters.tower.submit(4)
    daemons = [reporters.on(f"host{n}") for n in range(4)]
    reporters.minute(daemons[0])
    together(*(lambda d=d: d.work(None) for d in daemons))
    assert len(reporters.read()) <= 2  # a new minute may have begun
    assert [h.host for h in reporters.db.read("t", hosts.all_of)] == ["host0", "host1", "host2", "host3"]


def test_a_host_tells_its_clock_its_disks_and_how_the_database_is(reporters: Reporters) -> None:
    daemon = reporters.on("host1")
    daemon.work(None)
    daemon.work(None)
    (seen,) = reporters.db.read("t", hosts.all_of)
    assert seen.age_s < 60
    assert abs(seen.facts.clock_skew_s) < 60
    assert seen.facts.database_s >= 0
    assert seen.facts.version
    assert len(seen.facts.disks) >= 1
    assert all(0 <= d.free_mb <= d.total_mb for d in seen.facts.disks)
    assert len({d.path for d in seen.facts.disks}) == len(seen.facts.disks)


def test_a_clock_that_goes_wrong_is_seen(reporters: Reporters, monkeypatch: pytest.MonkeyPatch) -> None:
    true = meta.clock
    monkeypatch.setattr(meta, "clock", lambda c: true(c) - 600)
    reporters.on("host1").work(None)
    (seen,) = reporters.db.read("t", hosts.all_of)
    assert 540 < seen.facts.clock_skew_s < 660


def test_hosts_and_daemons_that_are_silent_for_a_week_are_forgotten(reporters: Reporters) -> None:
    for host, days in (("gone", 8), ("away", 6), ("here", 0)):
        reporters.on(host).work(None)
        reporters.db.run("t", lambda c, h=host: meta.report(c, h, "getjob", 1))
        for said in (host_rows.c.at, daemons.c.beat):
            since = update(said.table).where(said.table.c.host == host).values({said: said - days * DAY_S})
            reporters.db.run("t", lambda c, q=since: c.execute(q))
    reporters.minute(reporters.on("here"))
    assert [h.host for h in reporters.db.read("t", hosts.all_of)] == ["away", "here"]
    assert [d.host for d in reporters.db.read("t", meta.daemon_rows)] == ["away", "here"]


def test_what_happens_at_the_moment_is_left_for_the_next_minute(reporters: Reporters) -> None:
    """Transactions that are under way may still add events with lower numbers."""
    daemon = reporters.on("host1")
    reporters.tower.submit(1)
    daemon.work(None)
    assert "+new" not in reporters.last()
    reporters.minute(daemon)
    assert reporters.last()["+new"] == 1


def test_what_happened_long_ago_is_in_no_minute_but_its_errors_are_counted(reporters: Reporters) -> None:
    daemon = reporters.on("host1")
    reporters.fail()
    reporters.db.run("t", lambda c: c.execute(update(events).values(at=events.c.at - 3600)))
    reporters.minute(daemon)
    assert reporters.last() == {"failed": 1}
    (cause,) = reporters.db.read("t", causes.listing)
    assert (cause.text, cause.count) == ("out of memory", 1)
    reporters.minute(daemon)
    (cause,) = reporters.db.read("t", causes.listing)
    assert cause.count == 1


def test_calls_to_ces_are_counted_once(reporters: Reporters) -> None:
    daemon = reporters.on("host1")
    ce = reporters.tower.ce_of(reporters.tower.places[0])
    reporters.minute(daemon)

    def called(connection: Any, name: str, calls: int, errors: int, seconds: float) -> None:
        where = (cecalls.c.ce_id == ce, cecalls.c.daemon == name)
        values = {"calls": calls, "errors": errors, "seconds": seconds}
        if connection.execute(update(cecalls).where(*where).values(values)).rowcount == 0:
            connection.execute(insert(cecalls).values(ce_id=ce, host="h", daemon=name, call="status", **values))

    def minute(*rows: tuple[str, int, int, float]) -> dict[str, float]:
        for row in rows:
            reporters.db.run("t", lambda c, r=row: called(c, *r))
        reporters.minute(daemon)
        return {k: v for k, v in reporters.last(CE, URL).items() if "status" in k} if reporters.read(CE, URL) else {}

    assert minute(("status-a", 5, 1, 2.5), ("status-b", 5, 0, 0.5)) == {
        "+status calls": 10, "+status errors": 1, "+status s": 3.0,
    }  # fmt: skip
    assert minute() == {}
    assert minute(("status-a", 7, 1, 3.5)) == {"+status calls": 2, "+status s": 1.0}
    assert minute(("status-a", 1, 0, 0.5)) == {}  # it was counted from anew
    assert minute(("status-a", 3, 0, 0.75)) == {"+status calls": 2, "+status s": 0.25}


class Killed(BaseException):
    """What kill -9 does to a process in a test."""


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("label", ["host", "minute", "figures", "history"])
def test_a_reporter_that_is_killed_costs_at_most_that_minute_and_its_successor_counts_nothing_twice(
    reporters: Reporters, monkeypatch: pytest.MonkeyPatch, label: str, phase: str
) -> None:
    run = Database.run

    def until_killed(database: Database, at: str, work: Callable[[Any], Any]) -> Any:
        if (at, phase) == (label, "before"):
            raise Killed
        result = run(database, at, work)
        if at == label:
            raise Killed
        return result

    reporters.fail()
    reporters.settle()
    monkeypatch.setattr(Database, "run", until_killed)
    with pytest.raises(Killed):
        reporters.on("host1").work(None)
    monkeypatch.undo()
    for _ in range(2):
        reporters.minute(reporters.on("host2"))
    assert [c.count for c in reporters.db.read("t", causes.listing)] == [1]
    assert reporters.last() == {"failed": 1}


def test_jobs_of_applications_are_counted_by_queue(panda_tower: PandaTower) -> None:
    panda_tower.submitted()
    panda_tower.once("report")
    (queue,) = panda_tower.db.read("t", lambda c: history.read(c, QUEUE, THEIRS, since=0, step_s=history.MINUTE_S))
    assert queue.figures == {"starting": 1}


def test_jobs_of_people_are_counted_by_user(new_client_tower: MakeClientTower) -> None:
    people = new_client_tower()
    anna = people.caller()
    people.sent(anna, 2)
    people.once("report")
    (name,) = people.db.read("t", lambda c: history.names(c, USER))
    (user,) = people.db.read("t", lambda c: history.read(c, USER, name, since=0, step_s=history.MINUTE_S))
    assert user.figures == {"tosubmit": 2}


def test_a_page_and_metrics_are_written_for_others_and_a_directory_that_takes_none_stops_nothing(
    new_tower: MakeTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    bad.touch()
    for directory in (good, bad):
        tower = new_tower(
            extra=f"<metrics><textfile>{directory / 'act.prom'}</textfile></metrics>"
            f"<report><html_file>{directory / 'act.html'}</html_file></report>"
        )
        for variable, value in tower.environment.items():
            monkeypatch.setenv(variable, value)
        context = Context(tower.config)
        Report(context, "report").work(None)
        assert [h.host for h in tower.db.read("t", hosts.all_of)] == [context.host]
        context.close()
    assert b"act_attempts" in (good / "act.prom").read_bytes()
    page = good / "act.html"
    assert "</html>" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o644
    assert str(bad) in caplog.text
