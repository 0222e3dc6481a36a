"""The overview, the errors page and the report that stands alone: what they say is what the tower has."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from act.cli.actctl import main
from act.config import CoreConfig
from act.db import causes, ces, history, orders
from act.db.engine import Database
from act.db.orders import Kind, Order, What
from act.explain.moment import Moment
from act.figures import TOWER, Figure
from act.interfaces import plugins
from act.pages import errors, overview, static
from act.pages.errors import Wanted
from act.pages.overview import SPANS, USUAL
from act.pages.render import ROOT
from tests.integration.beats import beat
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.integration.visitor import Visitor, serve
from tests.kit import Rows

T = TypeVar("T")
HOSTILE = "<script>alert(1)</script>'\"&"
EVER = {"after": 0, "upto": 10**12, "since": 0.0, "until": 1e12}
APPS = list(plugins("act.app").values())


def read(db: Database, work: Callable[[Connection, Moment], T]) -> T:
    return db.snapshot("t", lambda c: work(c, Moment.read(c, CoreConfig(), None, None)))


def look(db: Database, span: str = USUAL) -> overview.Overview:
    """At a tower without applications."""
    return read(db, lambda c, moment: overview.read(c, moment, (), SPANS[span]))


def count_errors(db: Database) -> None:
    """As the report daemon does."""
    groups = db.read("t", lambda c: causes.gather(c, **EVER))
    db.run("t", lambda c: causes.count(c, groups))


def visit(tower: PandaTower, name: str = "") -> Visitor:
    return Visitor(serve(tower.directory / "aCTConfigARC.xml", tower.db), tower.db, name, operator=bool(name))


@pytest.fixture
def town(running: PandaTower) -> Iterator[PandaTower]:
    """A tower whose CE and jobs are in trouble, told in words of people who mean harm."""
    pandaid = running.submitted()
    running.say(pandaid, "failed", error=HOSTILE, node=HOSTILE)
    running.db.run("t", lambda c: ces.failed(c, 1, HOSTILE, HOSTILE, threshold=1, open_s=99, max_open_s=99))
    drain = Order(kind=Kind.QUEUE, name=QUEUE, what=What.DRAIN, why=HOSTILE)
    running.db.run("t", lambda c: orders.give(c, drain, "operator-ann"))
    count_errors(running.db)
    serve(running.directory / "aCTConfigARC.xml", running.db)
    yield running


# -- overview --------------------------------------------------------------------------------------------------------


def test_a_tower_in_which_all_is_well_is_told_so(database: Database) -> None:
    beat(Rows(database), "submitter-fake", "status-fake")
    assert look(database).verdict == ("good", "All is well")


def test_what_needs_somebody_gives_the_verdict(database: Database) -> None:
    rows = Rows(database)
    assert look(database).verdict == ("critical", "1 thing needs somebody now")  # no daemon has ever reported
    beat(rows, "submitter-fake")
    rows.at_ce(1, "quarantined", place=rows.place("ce1"), proxy_id=rows.proxy())
    assert look(database).verdict == ("warning", "It works, but 1 thing needs a look")


def test_ces_in_trouble_are_shown_with_their_errors(database: Database) -> None:
    rows = Rows(database)
    here = [rows.ce_of(rows.place(name)) for name in ("ce1", "ce2")]
    database.run("t", lambda c: ces.failed(c, here[1], "h1", "refused", threshold=1, open_s=999, max_open_s=999))
    found = look(database)
    assert [(found.urls[b.ce_id], b.last_error) for b in found.breakers] == [
        ("https://ce2.example.org/arex", "refused")
    ]


def test_the_oldest_attempt_of_each_state_stands_against_its_deadline(database: Database) -> None:
    rows = Rows(database)
    now = look(database).now
    place, proxy = rows.place("ce1"), rows.proxy()
    rows.at_ce(2, "running", place=place, proxy_id=proxy, since=now - 86400)
    rows.at_ce(1, "tofetch", place=place, proxy_id=proxy, since=now - 9e6)
    found = {o.state: o for o in look(database).oldest}
    assert (found["running"].number, round(found["running"].age_s / 3600)) == (2, 24)
    assert 0 < found["running"].part < 1 and found["tofetch"].part == 1.0


def test_figures_are_drawn_of_as_much_of_the_past_as_is_asked_for(database: Database) -> None:
    now = look(database).now
    for age_s in (60, 2 * 3600, 5 * 3600):
        database.run("t", lambda c, at=now - age_s: history.write(c, at, [Figure(TOWER, "", "running", 7)]))
    assert [len(look(database, span).samples) for span in ("3h", "1d", "30d")] == [2, 3, 0]


def test_a_span_that_nobody_knows_is_the_usual_one(town: PandaTower) -> None:
    me = visit(town)
    assert me.ask("?span=%3Cb%3E").status_code == 200


# -- errors ----------------------------------------------------------------------------------------------------------


def test_errors_are_found_by_kind_and_by_when_they_were_seen(town: PandaTower) -> None:
    def found(kind: str = "", since: str = "") -> list[str]:
        page = read(town.db, lambda c, moment: errors.read(c, moment, Wanted.of(kind, since)))
        return sorted({cause.kind for cause, _ in page.lines})

    assert {"ce", "cejob"} <= set(found())
    assert (found("ce"), found("moon")) == (["ce"], [])
    town.pass_time(7200)
    assert found(since="1h") == []


def test_an_error_leads_to_where_it_was_seen(town: PandaTower) -> None:
    me = visit(town)
    page = me.ask("/errors").text
    assert f'href="{ROOT}/ces/1"' in page
    jobs = set(re.findall(rf'href="{ROOT}(/jobs/[^"?]+)"', page))
    assert jobs
    for job in jobs:
        there = me.client.get(me.ask(job).location)  # by an attempt to its job
        assert there.status_code == 200 and "failed" in there.text


def test_a_time_that_is_none_is_told_as_the_reader_s_mistake(town: PandaTower) -> None:
    answer = visit(town).ask("/errors?since=soon")
    assert (answer.status_code, "no length of time" in answer.text) == (400, True)


# -- what all of them share ------------------------------------------------------------------------------------------


def test_words_of_those_who_mean_harm_are_text(town: PandaTower) -> None:
    me = visit(town, HOSTILE)
    for path in ("", "/errors", "/errors?kind=ce", f"/login?code={HOSTILE}", f"/errors?since={HOSTILE}"):
        page = me.ask(path).text
        assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page, path


# -- the report ------------------------------------------------------------------------------------------------------


def test_the_report_stands_alone_and_may_do_nothing_but_be_seen(town: PandaTower) -> None:
    page = static.report(town.db, CoreConfig(), APPS)
    assert f"{QUEUE}</th>" in page and town.site.url in page and "<h2>Errors by cause</h2>" in page
    assert "<script" not in page and "&lt;script&gt;alert" in page
    assert re.findall(r"<(?:form|link|img|iframe|input)\b", page) == []
    assert set(re.findall(r'(?:href|src)="([^"]*)"', page)) == {"#main"}
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.replace("&#39;", "'").startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def actctl(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments), env={"SUDO_USER": "anna"})
    assert result.exit_code == code, result.output
    return result.output


def test_actctl_writes_the_report_for_everybody_to_read(town: PandaTower, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert "written" in actctl("report", "--html", str(target))
    assert target.read_text().startswith("<!doctype html>") and QUEUE in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o644
    assert actctl("report", "--html", "-").startswith("<!doctype html>")


# -- links -----------------------------------------------------------------------------------------------------------


def test_actctl_makes_links_that_let_a_browser_in_as_somebody(town: PandaTower) -> None:
    app = serve(town.directory / "aCTConfigARC.xml", town.db, "login")
    for options, who in ((["--operator"], "anna (operator)"), (["--name", "bob"], "bob")):
        link = actctl("web", "login", *options).split()[-1]
        assert link.startswith(f"http://127.0.0.1:8080{ROOT}/login?code=")
        client = app.test_client()
        assert client.post(f"{ROOT}/login", data={"code": link.partition("code=")[2]}).status_code == 303
        assert f"<span>{who}</span>" in client.get(ROOT).text


def test_there_are_no_links_to_pages_that_are_off(town: PandaTower) -> None:
    serve(town.directory / "aCTConfigARC.xml", town.db, "off")
    assert "web/pages is off" in actctl("web", "login", code=78)
