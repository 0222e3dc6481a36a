"""The guard: a black hole gets few jobs and comes back by itself; a job that comes to nothing harms no CE for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from act.daemons.guard import Guard
from act.daemons.runner import Runner
from act.db import cejobs, ends, figures, meta, orders, waiting
from act.db.engine import NOW
from act.db.moves import Move
from act.db.orders import Kind, What
from act.db.schema_operating import ends as table
from act.states import Event
from tests.fakes import Site
from tests.power import Power
from tests.tower import Tower

CONFIG = """
  <guard><window>10</window><least>5</least><probes>2</probes><submissions>3</submissions></guard>
  <limits><max_waiting>5</max_waiting></limits>
  <polling><status_s>0.001</status_s></polling>
"""
GOOD, HOLE = 0, 1


class Guarded(Tower):
    """A tower with two CEs; jobs at those in ``holes`` fail at once."""

    holes: tuple[int, ...] = ()

    def guard(self, name: str = "guard") -> int:
        """A pass of a guard that has just been started."""
        return Runner(Guard(self._context, name), threads=1, lane_deadline_s=60).once()

    def work(self, rounds: int, *, guarded: bool = True) -> None:
        """Submit, run, hear of it."""
        for _ in range(rounds):
            self.once("submitter", "status")
            for n, site in enumerate(self.sites):
                site.tick()
                for job in site.jobs.values() if n in self.holes else ():
                    if job.state == "running":
                        job.state, job.exit_code = "failed", 1
            if guarded:
                self.guard()

    def ended(self, at: int) -> Counter[str]:
        """How the jobs at a CE ended."""
        return Counter(job.state for job in self.sites[at].jobs.values())

    def probe(self) -> str:
        """Why the only black hole is one; "" if none is."""
        rows = self.db.read("test", orders.in_force)
        assert {(r.kind, r.name, r.queue, r.what, r.who) for r in rows} <= {
            (Kind.CEQUEUE, self.sites[HOLE].url, "default", What.PROBE, "guard")
        }
        return rows[0].why if rows else ""

    def end(self, job: int, event: Event, *, wall_s: float | None = 1, source: str = "running") -> None:
        """An attempt at a CE ends."""
        who = "canceller" if event in (Event.KILLSENT,) else "status"
        move = Move(job, source, event, "", {} if wall_s is None else {"wall_s": wall_s})
        assert self.db.run("test", lambda c: cejobs.move(c, [move], who=who))

    def kept(self) -> int:
        return int(self.db.read("test", lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


@pytest.fixture
def tower(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    monkeypatch.setattr(figures, "SETTLED_S", -1.0)  # no other writes events in these tests
    power = Power()
    sites = [Site(f"https://ce{n + 1}.example.org/arex", power) for n in range(2)]
    tower = Guarded(tmp_path, database_url, sites, CONFIG)
    tower.guard()
    yield tower
    tower.close()


# -- black holes -------------------------------------------------------------------------------------------------------


def test_few_jobs_die_in_a_black_hole_and_it_gets_its_load_back_when_it_is_mended(tower: Guarded) -> None:
    tower.holes = (HOLE,)
    jobs = tower.submit(100, tower.places)
    tower.work(60)
    assert "failed after less than 3 min of running" in tower.probe()
    assert set(tower.states(jobs)) == {"finished", "failed"}
    assert tower.ended(HOLE)["failed"] <= 30  # it had been sent some more before the first were heard of
    assert tower.ended(GOOD) == {"finished": 100 - tower.ended(HOLE)["failed"]}

    tower.holes = ()
    more = tower.submit(60, tower.places)
    tower.work(40)
    assert tower.probe() == ""
    assert set(tower.states(more)) == {"finished"}
    assert tower.ended(HOLE)["finished"] >= 15
    told = [(r.event, r.who) for r in reversed(tower.db.read("test", orders.history))]
    assert told == [("probe", "guard"), ("resume", "guard")]


def test_without_a_guard_far_more_jobs_die_there(tower: Guarded) -> None:
    """The test above would tell nothing otherwise."""
    tower.holes = (HOLE,)
    tower.submit(100, tower.places)
    tower.work(60, guarded=False)
    assert tower.ended(HOLE)["failed"] > 40


def in_the_hole(tower: Guarded, n: int = 5) -> list[int]:
    """Attempts that run there."""
    place = tower.places[HOLE]
    return tower.at_ce(n, "running", place=place, proxy_id=tower.proxy_id, placed=NOW - 60, node="wn7")


def test_what_an_operator_forgives_is_forgiven(tower: Guarded) -> None:
    for job in in_the_hole(tower):
        tower.end(job, Event.FAILED)
    tower.guard()
    assert tower.probe().endswith("5 of them on node wn7")
    url = tower.sites[HOLE].url
    tower.db.run("test", lambda c: orders.take_back(c, "cequeue", url, "default", "probe", "operator-anna", "mended"))
    *jobs, last = in_the_hole(tower)
    for job in jobs:
        tower.end(job, Event.FAILED)
    tower.guard()
    assert tower.probe() == ""
    tower.end(last, Event.FAILED)
    tower.guard()
    assert tower.probe() != ""


def test_what_was_there_before_is_no_probe(tower: Guarded) -> None:
    old = in_the_hole(tower, 3)
    for job in in_the_hole(tower):
        tower.end(job, Event.FAILED)
    tower.guard()
    for job in old:
        tower.end(job, Event.FINISHED)
    tower.guard()
    assert tower.probe() != ""


def test_an_order_of_an_operator_is_not_taken_back_by_the_guard(tower: Guarded) -> None:
    url = tower.sites[HOLE].url
    order = orders.Order(kind=Kind.CEQUEUE, name=url, queue="default", what=What.PROBE, why="I want to see")
    tower.db.run("test", lambda c: orders.give(c, order, "operator-anna"))
    for job in tower.at_ce(3, "running", place=tower.places[HOLE], proxy_id=tower.proxy_id, placed=NOW + 60):
        tower.end(job, Event.FINISHED)
    tower.guard()
    assert [r.who for r in tower.db.read("test", orders.in_force)] == ["operator-anna"]


def test_jobs_that_were_killed_by_order_say_nothing_of_their_ce(tower: Guarded) -> None:
    for job in in_the_hole(tower):
        tower.put([job], "cancelling")
        tower.end(job, Event.KILLED, source="cancelling")
    tower.guard()
    assert (tower.probe(), tower.kept()) == ("", 0)


def test_jobs_that_the_ce_kills_or_loses_count_as_failed(tower: Guarded) -> None:
    first, second, *others = in_the_hole(tower)
    tower.end(first, Event.KILLED)
    tower.end(second, Event.GONE, wall_s=None)
    for job in others:
        tower.end(job, Event.FAILED)
    tower.guard()
    assert tower.probe() != ""


def test_how_long_a_job_ran_is_known_without_the_ce_telling(tower: Guarded) -> None:
    (job,) = tower.at_ce(1, "submitted", place=tower.places[HOLE], proxy_id=tower.proxy_id)
    tower.end(job, Event.RUNNING, wall_s=None, source="submitted")
    tower.end(job, Event.FAILED, wall_s=None)
    (never,) = tower.at_ce(1, "submitted", place=tower.places[HOLE], proxy_id=tower.proxy_id)
    tower.end(never, Event.FAILED, wall_s=None, source="submitted")
    tower.guard()
    seen, unseen = tower.db.read("test", lambda c: ends.latest(c, tower.places[HOLE], since=0, limit=9))
    assert seen.ran_s is not None and 0 <= seen.ran_s < 60
    assert unseen.ran_s is None


# -- what is read, once -----------------------------------------------------------------------------------------------


def test_each_end_is_counted_once_however_many_guards_there_are(tower: Guarded) -> None:
    for job in in_the_hole(tower, 4):
        tower.end(job, Event.FAILED)
    seen = tower.db.read("test", lambda c: meta.value(c, "guard_seen"))
    tower.guard()
    tower.guard("guard.2")
    slow = Guard(tower._context, "guard.3")
    found = tower.db.read("test", lambda c: ends.gather(c, after=0, upto=10**6))
    assert len(found) == 4
    tower.db.run("test", lambda c: slow._act(c, str(seen), 10**6, found, []))
    assert (tower.kept(), tower.probe()) == (4, "")


def test_what_happened_before_the_first_guard_is_over(tower: Guarded) -> None:
    tower.db.run("test", lambda c: c.execute(meta.meta.delete().where(meta.meta.c.name == "guard_seen")))
    for job in in_the_hole(tower):
        tower.end(job, Event.FAILED)
    tower.guard()
    tower.guard()
    assert tower.kept() == 0


def test_only_the_last_ends_of_a_ce_queue_are_kept(tower: Guarded) -> None:
    end = ends.End(tower.places[GOOD], 1, tower.db.read("test", meta.clock), None, "", True, 10.0)
    old = ends.End(tower.places[HOLE], 1, end.at - 3 * 86400, None, "", True, 10.0)
    tower.db.run("test", lambda c: ends.keep(c, [old, *[end] * 7], most=5))
    assert tower.kept() == 5


def test_a_guard_that_is_disabled_does_nothing(tmp_path: Path, database_url: str) -> None:
    tower = Guarded(tmp_path, database_url, [], "<guard><disabled>true</disabled></guard>")
    assert Guard(tower._context, "guard").lanes() == []
    tower.close()


# -- jobs that come to nothing -----------------------------------------------------------------------------------------


def come_to_nothing(tower: Guarded, job: int) -> int:
    """It is created at a CE, and ends there without having been armed; what the guard does then."""
    tower.once("submitter")
    tower.put([job], "created")
    move = Move(job, "created", Event.UNARMED, "it ended without having been armed")
    assert tower.db.run("test", lambda c: cejobs.move(c, [move], who="reconciler", holder=tower.get(job).claimed_by))
    return tower.guard()


def test_a_job_that_comes_to_nothing_each_time_is_quarantined_until_it_is_released(tower: Guarded) -> None:
    (poison, good) = tower.submit(2)
    for _ in range(2):
        come_to_nothing(tower, poison)
        assert tower.states([poison]) == ["tosubmit"]
    assert come_to_nothing(tower, poison) == 1
    assert tower.states([poison, good]) == ["quarantined", "submitted"]
    told = tower.db.read("test", lambda c: cejobs.history(c, "cejob", [poison]))[-1]
    assert (told.event, told.who) == ("quarantine", "guard")
    assert told.why == "3 times it was at a CE and ended there without having been allowed to run"

    tower.db.run("test", lambda c: waiting.release(c, [poison], who="operator-anna", why="the input is back"))
    for _ in range(2):
        come_to_nothing(tower, poison)
        assert tower.states([poison]) == ["tosubmit"]
    come_to_nothing(tower, poison)
    assert tower.states([poison]) == ["quarantined"]


def test_a_job_that_was_only_put_back_is_no_poison(tower: Guarded) -> None:
    """The CE was full, or did not answer: that says nothing of the job."""
    (job,) = tower.submit()
    for _ in range(5):
        tower.once("submitter")
        tower.put([job], "submitting")
        back = Move(job, "submitting", Event.PUTBACK, "not sent: the CE had trouble with others")
        assert tower.db.run("test", lambda c: cejobs.move(c, [back], who="submitter"))  # noqa: B023
        tower.guard()
    assert tower.get(job).submission == 5
    assert tower.states([job]) == ["tosubmit"]
