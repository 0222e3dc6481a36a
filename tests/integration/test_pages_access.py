"""Who gets in to the pages, as whom, and for how long."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, Request
from werkzeug.test import EnvironBuilder

from act.client.identity import Forbidden
from act.db import logins
from act.db.logins import Login
from act.pages.render import ROOT
from act.web.access import Reader
from act.web.desk import POLICY
from tests.integration.front_door import CA, access, db_of, ended, link, ready, session
from tests.integration.visitor import serve


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a tower whose database is ready."""
    monkeypatch.setenv("ACTCONFIGATLAS", str(tmp_path / "aCTConfigATLAS.xml"))
    return ready(tmp_path / "aCTConfigARC.xml")


def app_of(file: Path, pages: str = "login") -> Flask:
    return serve(file, db_of(file), pages)


@pytest.mark.parametrize(
    "cookie",
    [lambda _: "", ended, lambda file: session(file, CA)],
    ids=["no session", "a session that was ended", "a session of an operator who is none any more"],
)
def test_strangers_get_nothing_but_the_way_in(file: Path, cookie: Callable[[Path], str]) -> None:
    app, public = app_of(file), {"root", "nowhere", "GET /login", "POST /login", "GET /static/<name>"}
    pages = [r for r in app.url_map.iter_rules() if r.endpoint.startswith("pages.")]
    guarded = [r for r in pages if r.endpoint.removeprefix("pages.") not in public]
    assert len(guarded) > 10 and len(pages) - len(guarded) == len(public)
    client = app.test_client()
    client.set_cookie("act", cookie(file))
    for rule in guarded:
        path = re.sub(r"<[^>]*>", "1", rule.rule)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answer = client.open(path, method=method)
            assert (answer.status_code, answer.location) == (303, f"{ROOT}/login"), (method, path)


def test_the_root_leads_to_the_pages(file: Path) -> None:
    answer = app_of(file).test_client().get("/")
    assert (answer.status_code, answer.location) == (303, ROOT)
    assert app_of(file, "off").test_client().get("/").status_code == 404


def test_a_link_lets_somebody_in_once(file: Path) -> None:
    client, code = app_of(file).test_client(), link(file)
    assert client.get(ROOT).location == f"{ROOT}/login"
    asked = client.get(f"{ROOT}/login?code={code}")
    assert (asked.status_code, code in asked.text) == (200, True)
    entered = client.post(f"{ROOT}/login", data={"code": code})
    assert (entered.status_code, entered.location) == (303, ROOT)
    page = client.get(ROOT)
    assert page.status_code == 200 and "ann (operator)" in page.text
    again = app_of(file).test_client().post(f"{ROOT}/login", data={"code": code})
    assert again.status_code == 403 and "has been used" in again.text and "Set-Cookie" not in again.headers


def test_looking_at_a_link_does_not_use_it_up(file: Path) -> None:
    code = link(file)
    for _ in range(2):
        assert app_of(file).test_client().get(f"{ROOT}/login?code={code}").status_code == 200
    assert app_of(file).test_client().post(f"{ROOT}/login", data={"code": code}).status_code == 303


@pytest.mark.parametrize("code", ["", "x" * 43, "%00"])
def test_a_code_that_nobody_made_lets_nobody_in(file: Path, code: str) -> None:
    answer = app_of(file).test_client().post(f"{ROOT}/login", data={"code": code})
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers


def test_another_site_logs_nobody_in(file: Path) -> None:
    code, evil = link(file), {"Origin": "https://evil.example.org"}
    answer = app_of(file).test_client().post(f"{ROOT}/login", data={"code": code}, headers=evil)
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers


def test_a_link_that_is_too_old_lets_nobody_in_and_is_forgotten(file: Path) -> None:
    old = link(file, for_s=-1.0)
    assert app_of(file).test_client().post(f"{ROOT}/login", data={"code": old}).status_code == 403
    unused = link(file, for_s=-1.0)
    link(file)
    assert db_of(file).run("t", lambda c: logins.use(c, unused)) is None


def test_the_cookie_is_for_this_site_and_no_script(file: Path) -> None:
    plain = app_of(file).test_client().post(f"{ROOT}/login", data={"code": link(file)})
    assert plain.headers["Set-Cookie"].startswith("act=")
    over_tls = (
        app_of(file)
        .test_client()
        .post(f"{ROOT}/login", data={"code": link(file)}, base_url="https://tower.example.org")
    )
    cookie = over_tls.headers["Set-Cookie"]
    assert cookie.startswith("__Host-act=") and "Secure" in cookie
    for told in (plain.headers["Set-Cookie"], cookie):
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(told.split("; "))


def test_logging_out_takes_the_cookie_away_and_ends_the_session(file: Path) -> None:
    client = app_of(file).test_client()
    client.post(f"{ROOT}/login", data={"code": link(file)})
    csrf = client.get(ROOT).text.partition('name="csrf" value="')[2].partition('"')[0]
    assert client.post(f"{ROOT}/logout", data={"csrf": "x"}).status_code == 403
    cookie = client.get_cookie("act")
    assert client.post(f"{ROOT}/logout", data={"csrf": csrf}).location == f"{ROOT}/login"
    assert client.get(ROOT).location == f"{ROOT}/login"
    assert cookie is not None and client.get_cookie("act") is None
    client.set_cookie("act", cookie.value)
    assert client.get(ROOT).location == f"{ROOT}/login"


@pytest.mark.parametrize("session", [True, False], ids=["run out", "of nobody"])
def test_a_cookie_that_is_none_of_ours_is_a_stranger_s(file: Path, session: bool) -> None:
    old = db_of(file).run("t", lambda c: logins.begin(c, Login("ann", operator=True), for_s=-1.0))
    client = app_of(file).test_client()
    client.set_cookie("act", old if session else f"x{old}")
    assert client.get(ROOT).location == f"{ROOT}/login"


def test_a_link_is_no_session_and_a_session_is_no_link(file: Path) -> None:
    client, code = app_of(file).test_client(), link(file)
    client.set_cookie("act", code)
    assert client.get(ROOT).location == f"{ROOT}/login"
    client.post(f"{ROOT}/login", data={"code": code})
    cookie = client.get_cookie("act")
    assert cookie is not None
    assert app_of(file).test_client().post(f"{ROOT}/login", data={"code": cookie.value}).status_code == 403


def test_the_cookie_is_no_credential_of_the_api(file: Path) -> None:
    client = app_of(file).test_client()
    client.post(f"{ROOT}/login", data={"code": link(file)})
    assert client.get(ROOT).status_code == 200
    assert client.get("/api/v1/jobs").status_code == 401


def test_pages_are_open_or_not_there_at_all_as_the_configuration_says(file: Path) -> None:
    assert app_of(file, "open").test_client().get(ROOT).status_code == 200
    off = app_of(file, "off").test_client().get(ROOT)
    assert (off.status_code, off.mimetype) == (404, "application/json")


def test_every_page_allows_no_more_than_it_needs(file: Path) -> None:
    client = app_of(file, "open").test_client()
    for path in ("", "/login", "/errors", "/no-such-page"):
        headers = client.get(f"{ROOT}{path}").headers
        assert headers["Content-Security-Policy"] == POLICY
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert "unsafe" not in POLICY and POLICY.startswith("default-src 'none'")
    style = client.get(f"{ROOT}/static/act.css")
    assert (style.status_code, style.mimetype) == (200, "text/css")
    for name in ("..%2frender.py", "render.py", "base.html"):
        assert client.get(f"{ROOT}/static/{name}").status_code == 404


def test_pages_let_browsers_say_where_their_forms_are_from(file: Path) -> None:
    headers = app_of(file, "open").test_client().get(ROOT).headers
    assert headers["Referrer-Policy"] == "same-origin"  # with no-referrer they send "Origin: null", which is refused


def test_a_form_from_another_site_is_refused(file: Path) -> None:
    door = access(file, CA, ())
    builder = EnvironBuilder(method="POST", base_url="http://tower", headers={"Origin": "https://tower.evil.org"})
    with pytest.raises(Forbidden, match="another site"):
        door.check_form(Request(builder.get_environ()), Reader("ann", operator=True, csrf="x"))
