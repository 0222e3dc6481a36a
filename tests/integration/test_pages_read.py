"""What the pages read of CEs, queues, users and jobs is what the tower has; on both kinds of database."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner
from sqlalchemy import Connection

from act import exposition
from act.cli.actctl import main
from act.config import CoreConfig, load_core
from act.db import ces as ce_rows
from act.db import history, lanes, orders
from act.db.engine import Database
from act.db.orders import Kind, Order, What
from act.explain.moment import Moment
from act.figures import CE, Figure
from act.interfaces import plugins
from act.pages import ces, job, jobs, queues, static, users
from act.pages.jobs import Search
from tests.integration.client_tower import MakeClientTower
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.integration.visitor import words
from tests.kit import URL, Rows

T = TypeVar("T")
APPS = list(plugins("act.app").values())


def read(db: Database, work: Callable[[Connection, Moment], T], config: CoreConfig | None = None) -> T:
    """Of one snapshot."""

    def told(connection: Connection) -> T:
        return work(connection, Moment.read(connection, config or CoreConfig(), (), None))

    return db.snapshot("test", told)


def order(db: Database, kind: Kind, name: str, what: What, **more: Any) -> None:
    db.run("t", lambda c: orders.give(c, Order(kind=kind, name=name, what=what, why="repair", **more), "operator-ann"))


# -- CEs -------------------------------------------------------------------------------------------------------------


def test_the_list_of_ces_counts_attempts_by_state_where_they_are(database: Database) -> None:
    rows = Rows(database)
    one, two, proxy = rows.place("ce1"), rows.place("ce2"), rows.proxy()
    rows.at_ce(3, "running", place=one, proxy_id=proxy)
    rows.at_ce(2, "submitted", place=one, proxy_id=proxy)
    rows.at_ce(1, "archived", place=two, proxy_id=proxy)
    rows.attempts(4, [one], proxy)
    listed = read(database, ces.listing)
    assert listed.states == ("submitted", "running")
    assert [(line.row.url, line.total, line.waiting) for line in listed.lines] == [
        (URL.replace("ce.", "ce1."), 5, 4), (URL.replace("ce.", "ce2."), 0, 0)
    ]  # fmt: skip
    assert listed.lines[0].states == {"running": 3, "submitted": 2}
    assert (listed.unplaced, listed.sum_of("running")) == ({"tosubmit": 4}, 3)


def test_a_ce_is_shown_with_its_orders_limits_breaker_and_calls(database: Database) -> None:
    rows = Rows(database)
    place, proxy = rows.place("ce1", "short"), rows.proxy()
    ce_id, url = rows.ce_of(place), "https://ce1.example.org/arex"
    rows.at_ce(2, "running", place=place, proxy_id=proxy, ce_state="INLRMS")
    order(database, Kind.CEQUEUE, url, What.MAX_JOBS, queue="short", value=7)
    order(database, Kind.CE, url, What.DRAIN)
    database.run("t", lambda c: ce_rows.failed(c, ce_id, "h1", "no answer", threshold=3, open_s=1, max_open_s=1))
    database.run("t", lambda c: lanes.ensure(c, ce_id, proxy))
    page = read(database, lambda c, m: ces.page(c, m, ce_id))
    assert page is not None
    assert (page.line.condition.word, len(page.line.orders)) == ("draining", 2)
    (queue,) = page.queues
    assert (queue.place.load.limits.max_jobs, queue.states, [o.value for o in queue.orders]) == (7, {"running": 2}, [7])
    assert (page.words, [b.last_error for b in page.breakers]) == ((("INLRMS", 2),), ["no answer"])
    assert [lane.role for lane in page.lanes] == ["production"]
    assert page.story.title == f"CE {url}"
    assert read(database, lambda c, m: ces.page(c, m, 999)) is None


def test_what_calls_to_a_ce_came_to_is_read_from_its_figures(database: Database) -> None:
    rows = Rows(database)
    ce_id, url = rows.ce_of(rows.place("ce1")), "https://ce1.example.org/arex"
    counted = {"+create calls": 4, "+create s": 8, "+arm calls": 4, "+arm s": 0, "+status calls": 10, "+status s": 5,
               "+status errors": 1}  # fmt: skip

    def write(connection: Connection) -> None:
        at = Moment.read(connection, CoreConfig(), (), None).now
        history.write(connection, at - 120, [Figure(CE, url, key, value) for key, value in counted.items()])

    database.run("t", write)
    page = read(database, lambda c, m: ces.page(c, m, ce_id))
    assert page is not None and page.line.submitting is not None and page.line.polling is not None
    assert (page.line.submitting.number, page.line.submitting.each_s) == (8, 1.0)
    assert (page.line.polling.each_s, page.line.polling.failing) == (0.5, 0.1)
    assert len(page.minutes) == 1


# -- queues ----------------------------------------------------------------------------------------------------------


def test_queues_are_listed_by_state_in_the_order_that_operators_know(running: PandaTower) -> None:
    running.submitted()
    running.order(2)
    running.once("getjob")
    listed = read(running.db, lambda c, m: queues.listing(c, APPS))
    assert listed.states == ("sent", "starting")
    (line,) = listed.lines
    assert (line.name, line.total, listed.sum_of("starting")) == (QUEUE, 3, 1)


def test_slots_are_the_cores_of_the_jobs_that_run(running: PandaTower) -> None:
    for cores in (8, 1, 4):
        pandaid = running.submitted(fields={"coreCount": cores})
        if cores != 4:
            running.say(pandaid, "running")
    (line,) = read(running.db, lambda c, m: queues.listing(c, APPS)).lines
    assert (line.slots, line.states) == (9, {"starting": 1, "running": 2})
    config = load_core(running.directory / "aCTConfigARC.xml")
    page = read(running.db, lambda c, m: queues.page(c, m, APPS, QUEUE), config)
    assert page is not None and (page.slots, dict(page.states)) == (9, line.states)
    assert " Slots " in (report := words(static.report(running.db, config, APPS))) and f" {QUEUE} 3 9 1 2 " in report
    told = exposition.render(running.db, config).decode()
    assert f'act_queue_slots{{app="atlas",queue="{QUEUE}"}} 9.0' in told and 'state="slots"' not in told
    listed = CliRunner().invoke(main, ["jobs", "--summary"], env=running.environment)
    assert listed.exit_code == 0 and re.search(rf"{QUEUE}\W+1\W+2\W+9\W", listed.output), listed.output


def test_a_queue_page_says_why_it_gets_no_jobs_and_what_was_ordered(running: PandaTower) -> None:
    running.taken()
    order(running.db, Kind.QUEUE, QUEUE, What.DRAIN)
    config = load_core(running.directory / "aCTConfigARC.xml")
    page = read(running.db, lambda c, m: queues.page(c, m, APPS, QUEUE), config)
    assert page is not None and page.story is not None
    assert (page.states, [o.why for o in page.orders]) == ((("sent", 1),), ["repair"])
    assert page.story.title == f"PanDA queue {QUEUE}"
    assert read(running.db, lambda c, m: queues.page(c, m, APPS, "NO-SUCH"), config) is None


# -- users -----------------------------------------------------------------------------------------------------------


def test_users_are_shown_with_their_jobs_as_they_see_them_and_with_orders(new_client_tower: MakeClientTower) -> None:
    tower = new_client_tower()
    alice, bob = tower.caller(), tower.caller()
    tower.sent(alice, 2)
    order(tower.db, Kind.SHARE, f"user-{bob.user_id}", What.DRAIN)
    order(tower.db, Kind.SHARE, "elsewhere", What.PAUSE)
    listed = tower.db.snapshot("t", users.listing)
    assert [(line.row.subject, line.row.jobs, sum(line.states.values())) for line in listed.lines] == [
        (alice.subject, 2, 2), (bob.subject, 0, 0)
    ]  # fmt: skip
    assert [len(line.orders) for line in listed.lines] == [0, 1]
    assert ([o.name for o in listed.shares], listed.next) == (["elsewhere"], 0)
    (found,) = tower.db.snapshot("t", lambda c: users.listing(c, "user2")).lines
    assert found.row.subject == bob.subject


# -- jobs ------------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_page_by_page_over_all_applications(running: PandaTower, monkeypatch: Any) -> None:
    pandaids = running.order(5)
    running.once("getjob")
    monkeypatch.setattr(jobs, "PAGE", 2)
    seen, cursor = [], ""
    for _ in range(3):
        page = read(running.db, lambda c, m, at=cursor: jobs.listing(c, APPS, Search.of({"state": "sent"}), at))
        seen += [int(line.name) for line in page.lines]
        cursor = page.next
    assert (sorted(seen), cursor) == (sorted(pandaids), "")


def test_a_job_page_tells_its_story_with_bars_and_the_request(running: PandaTower) -> None:
    pandaid = running.submitted()
    running.say(pandaid, "running")
    config = load_core(running.directory / "aCTConfigARC.xml")
    page = read(running.db, lambda c, m: job.page(c, m, APPS, str(pandaid)), config)
    assert page is not None and page.line is not None and page.timeline is not None
    assert (page.line.state, page.story.state) == ("running", "running")
    drawn = [[b.state for b in row.bars] for row in page.timeline.rows]
    assert drawn[0] == ["sent", "starting", "running"]
    assert drawn[1][:2] == ["tosubmit", "submitting"] and drawn[1][-1] == "running"
    (attempt,) = page.attempts
    assert (attempt.ce, attempt.role) == (running.site.url, "production")
    assert str(pandaid) in attempt.request and attempt.request.startswith("&")
    assert page.logs is not None and f"{pandaid}.jdl" in page.logs.names


def test_a_job_in_the_archive_has_a_page_too(running: PandaTower) -> None:
    pandaid = running.submitted()
    running.say(pandaid, "finished")
    running.pass_time(301)
    running.once("heartbeat")
    running.pass_time(3600)
    running.once("cleaner-arc", "archiver")
    config = load_core(running.directory / "aCTConfigARC.xml")
    page = read(running.db, lambda c, m: job.page(c, m, APPS, str(pandaid)), config)
    assert page is not None and page.line is None and page.timeline is not None
    assert page.timeline.rows[0].bars[-1].state == "done"
    assert page.logs is not None and page.logs.names[f"{pandaid}.out"].endswith(f"/{QUEUE}/{pandaid}.out")
    assert (Path(page.logs.root) / page.logs.names[f"{pandaid}.jdl"]).exists()


def test_a_name_that_is_none_has_no_page(running: PandaTower) -> None:
    for name in ("", "0", "99", "client:1", "../../etc", "1;2", "9" * 30, "panda:x", "a:1"):
        assert read(running.db, lambda c, m, n=name: job.page(c, m, APPS, n)) is None
