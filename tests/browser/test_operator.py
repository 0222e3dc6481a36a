"""What visitors may do on the pages of a tower that wants them to log in, in a real browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from act.db import orders
from act.db.engine import AnyRow
from act.db.orders import Kind, Order, What
from act_atlas.db.tables import pandajobs
from tests.browser.conftest import Visitor, actctl

CE = 10
FETCH = """
const [path, body, done] = arguments;
fetch(path, {method: 'POST', body: new URLSearchParams(body)})
  .then(answer => answer.text().then(text => done([answer.status, text])), error => done([0, String(error)]));
"""
DRAIN = {"kind": "ce", "what": "drain", "why": "no reason", "sure": "1"}


def ordered(visitor: Visitor, url: str) -> list[AnyRow]:
    """The orders in force for a CE."""
    found = visitor.tower.db.read("test", orders.in_force)
    return [o for o in found if o.name == url]


def url_of(visitor: Visitor, ce_id: int) -> str:
    return next(p.url for p in visitor.tower.world.places if p.ce_id == ce_id)


def post(visitor: Visitor, path: str, **fields: str) -> tuple[int, str]:
    """What a script of the page that is shown can send."""
    path = f"{visitor.base}{path}"
    status, text = visitor.browser.driver.execute_async_script(FETCH, path, fields)
    return int(status), str(text)


def test_strangers_see_nothing_and_a_link_lets_in_once(visitor: Visitor) -> None:
    browser = visitor.browser
    for path in ("", "/ces", "/jobs", "/nowhere"):
        visitor.visit(path)
        assert "example.org" not in browser.text("main"), path
    link = actctl(visitor.tower, "web", "login", "--operator", "--name", "eva").strip().splitlines()[-1]
    browser.go(link)
    browser.press("Log in")
    assert "eva (operator)" in browser.text("header")
    assert browser.driver.execute_script("return document.cookie") == ""
    (cookie,) = browser.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    browser.press("Log out")
    visitor.visit("/ces")
    assert "example.org" not in browser.text("main")
    browser.go(link)
    browser.press("Log in")
    assert "has been used" in browser.text("main")


def test_who_may_read_sees_no_forms_and_changes_nothing(visitor: Visitor) -> None:
    browser, url = visitor.browser, url_of(visitor, CE)
    visitor.log_in(operator=False)
    for path in (f"/ces/{CE}", "/jobs?state=running", "/users", "/queues/LUND"):
        visitor.visit(path)
        assert browser.count('main form[method="post"] button') == 0, path
    csrf = browser.driver.execute_script("return document.querySelector('header [name=csrf]').value")
    status, text = post(visitor, "/orders", csrf=csrf, name=url, **DRAIN)
    assert status == 403 and "for operators" in text
    assert ordered(visitor, url) == []


def test_forms_that_are_not_of_our_pages_change_nothing(operator: Visitor) -> None:
    browser, url = operator.browser, url_of(operator, CE)
    operator.visit("")
    for csrf in ({}, {"csrf": "0" * 64}):
        status, text = post(operator, "/orders", name=url, **DRAIN, **csrf)
        assert status == 403 and "not from your session" in text
    right = browser.driver.execute_script("return document.querySelector('header [name=csrf]').value")
    with another_site(f"{operator.base}/orders", {"csrf": right, "name": url, **DRAIN}) as elsewhere:
        browser.go(elsewhere)
        browser.press("Win a prize")
    assert "another site" in browser.text("main")
    assert ordered(operator, url) == []


def test_without_scripts_an_operator_drains_a_ce_and_takes_that_back(operator: Visitor) -> None:
    browser, url = operator.browser, url_of(operator, CE)
    with browser.without_scripts():
        operator.visit(f"/ces/{CE}")
        browser.fill("what", "drain", within="#ce-what")
        browser.fill("until", "2h", within="#ce-until")
        browser.fill("why", "<b>repair</b>", within="#ce-why")
        browser.press("Order", last=True)
        assert "Nothing has been changed yet" in browser.text("main")
        assert ordered(operator, url) == []
        browser.press("Give the order")
        assert browser.text("h1") == "Done"
        (given,) = ordered(operator, url)
        assert (given.what, given.who, given.why) == ("drain", "operator-eva", "<b>repair</b>")
        operator.visit(f"/ces/{CE}")
        assert "draining" in browser.text("main") and "<b>repair</b>" in browser.text("main")
        browser.press("Take back")
        browser.fill("why", "repaired")
        browser.press("Take it back")
        assert ordered(operator, url) == []


def test_a_job_that_an_operator_kills_tells_who_did_it_and_why(operator: Visitor) -> None:
    browser, job = operator.browser, running_job(operator)
    operator.visit(f"/jobs/{job}")
    browser.fill("verb", "kill")
    browser.fill("why", "asked for by the site")
    browser.press("Try it")
    assert "nothing has been done yet" in browser.text("main")
    assert browser.barriers() == []
    browser.press("Do it")
    operator.visit(f"/jobs/{job}")
    assert "tobekilled" in browser.text("h1")
    told = browser.text("main")
    assert "asked for by the site" in told and "operator-eva" in told


def test_the_overview_brings_itself_up_to_date(operator: Visitor) -> None:
    browser, url = operator.browser, url_of(operator, CE)
    operator.visit("")
    assert "an ice storm" not in browser.text("main")
    order = Order(kind=Kind.CE, name=url, what=What.DRAIN, why="an ice storm")
    operator.tower.db.run("test", lambda c: orders.give(c, order, "operator-ben"))
    browser.wait_for("an ice storm")
    operator.tower.db.run("test", lambda c: orders.take_back(c, Kind.CE, url, "", What.DRAIN, "operator-ben", "over"))


def test_who_has_no_mouse_gets_past_the_navigation(operator: Visitor) -> None:
    browser = operator.browser
    operator.visit("/jobs")
    browser.keys("\ue004")  # Tab
    assert browser.driver.execute_script(
        "const e = document.activeElement; return e.className === 'skip' && e.getBoundingClientRect().x >= 0"
    )
    browser.keys("\ue007")  # Enter
    assert browser.driver.execute_script("return document.activeElement.id") == "main"


def running_job(visitor: Visitor) -> int:
    """The PanDA id of the last job that runs."""
    query = pandajobs.select().where(pandajobs.c.state == "running").order_by(pandajobs.c.id.desc()).limit(1)
    return int(visitor.tower.db.read("test", lambda c: c.execute(query).one()).pandaid)


@contextmanager
def another_site(target: str, fields: dict[str, str]) -> Iterator[str]:
    """A page of another web server on this machine, with a form that goes to a page of ours."""
    inputs = "".join(f"<input type=hidden name={n} value={json.dumps(v)}>" for n, v in fields.items())
    page = f"<main><form method=post action={target}>{inputs}<button>Win a prize</button></form></main>".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
