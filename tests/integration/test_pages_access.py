"""Who gets in to the pages, as whom, and for how long."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, cast

import jwt
import pytest
from flask import Flask, Request
from werkzeug.test import EnvironBuilder

from act import keys
from act.client.identity import Caller, Forbidden, Gate, Unauthorised
from act.config import CoreConfig, load_core
from act.config.web import Operator, Web
from act.db import logins, migrate
from act.db.engine import Database
from act.pages.render import ROOT
from act.web.access import Access, Reader
from act.web.desk import POLICY
from tests.integration.visitor import serve

SECRET = "state/web.key"
FILE = f"""<config><database><url>sqlite:///act.db</url></database>
<paths><state_dir>state</state_dir><store_dir>store</store_dir><run_dir>run</run_dir></paths>
<web><pages>login</pages><secret_file>{SECRET}</secret_file></web></config>"""
CA = "/O=Grid/CN=CA"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a tower whose database is ready."""
    file = tmp_path / "aCTConfigARC.xml"
    file.write_text(FILE)
    (tmp_path / "aCTConfigATLAS.xml").write_text("<config/>")
    monkeypatch.setenv("ACTCONFIGATLAS", str(tmp_path / "aCTConfigATLAS.xml"))
    database = db_of(file)
    migrate.upgrade(database)
    database.close()
    return file


def db_of(file: Path) -> Database:
    return Database(load_core(file).database.connect_url())


def app_of(file: Path, pages: str = "login") -> Flask:
    return serve(file, db_of(file), pages)


def link(file: Path, *, operator: bool = True, for_s: float = 60.0) -> str:
    return db_of(file).run("t", lambda c: logins.make(c, "ann", operator=operator, for_s=for_s))


def test_strangers_get_nothing_but_the_way_in(file: Path) -> None:
    app, public = app_of(file), {"root", "nowhere", "GET /login", "POST /login", "GET /static/<name>"}
    pages = [r for r in app.url_map.iter_rules() if r.endpoint.startswith("pages.")]
    guarded = [r for r in pages if r.endpoint.removeprefix("pages.") not in public]
    assert len(guarded) > 10 and len(pages) - len(guarded) == len(public)
    for rule in guarded:
        path = re.sub(r"<[^>]*>", "1", rule.rule)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answer = app.test_client().open(path, method=method)
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


def test_logging_out_takes_the_cookie_away(file: Path) -> None:
    client = app_of(file).test_client()
    client.post(f"{ROOT}/login", data={"code": link(file)})
    csrf = client.get(ROOT).text.partition('name="csrf" value="')[2].partition('"')[0]
    assert client.post(f"{ROOT}/logout", data={"csrf": "x"}).status_code == 403
    assert client.post(f"{ROOT}/logout", data={"csrf": csrf}).location == f"{ROOT}/login"
    assert client.get(ROOT).location == f"{ROOT}/login"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"typ": "session"},
        {"typ": None},
        {"key": "somebody else's, and long enough to be one"},
    ],
    ids=["run out", "of the API", "of no kind", "signed by somebody else"],
)
def test_a_cookie_that_is_none_of_ours_is_a_stranger_s(file: Path, claims: dict[str, Any]) -> None:
    app = app_of(file)
    secret = claims.pop("key", None) or keys.load_secret(file.parent / SECRET)
    wanted = {"typ": "page", "sub": "ann", "operator": True, "jti": "1", "exp": int(time.time()) + 60, **claims}
    cookie = jwt.encode({k: v for k, v in wanted.items() if v is not None}, secret, algorithm="HS256")
    client = app.test_client()
    client.set_cookie("act", cookie)
    assert client.get(ROOT).location == f"{ROOT}/login"


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


class Doorkeeper:
    """Lets one caller in, and knows no tokens but "good"."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def caller(self, authorization: str | None) -> Caller:
        if authorization != "Bearer good":
            raise Unauthorised("Invalid token")
        return self._caller


def access(file: Path, issuer: str, operators: tuple[Operator, ...], expires: float) -> Access:
    config: CoreConfig = load_core(file).model_copy(update={"web": Web(operator=operators)})
    caller = Caller(1, issuer, "/O=Grid/CN=ann", frozenset(["people"]), None, expires, "")
    return Access(config, db_of(file), cast(Gate, Doorkeeper(caller)))


ANN = "/O=Grid/CN=ann"


@pytest.mark.parametrize(
    ("issuer", "operator", "may"),
    [
        (CA, Operator(subject=ANN), True),
        (CA, Operator(subject=ANN, issuer=CA), True),
        (CA, Operator(subject=f"{ANN}a"), False),
        (CA, Operator(subject=ANN, issuer="https://iam.example.org/"), False),
        ("https://iam.example.org/", Operator(subject=ANN), False),
        ("https://iam.example.org/", Operator(subject=ANN, issuer="https://iam.example.org/"), True),
    ],
)
def test_who_comes_with_a_token_is_an_operator_by_subject_and_issuer(
    file: Path, issuer: str, operator: Operator, may: bool
) -> None:
    ends = time.time() + 60.0
    door = access(file, issuer, (operator,), ends)
    if may:
        assert door.by_token(" good\n") == (ANN, True, ends)
    else:
        with pytest.raises(Forbidden, match="no operator"):
            door.by_token("good")


def test_a_token_that_is_not_good_lets_nobody_in(file: Path) -> None:
    with pytest.raises(Unauthorised):
        access(file, CA, (Operator(subject=ANN),), time.time() + 60.0).by_token("bad")


def test_pages_let_browsers_say_where_their_forms_are_from(file: Path) -> None:
    headers = app_of(file, "open").test_client().get(ROOT).headers
    assert headers["Referrer-Policy"] == "same-origin"  # with no-referrer they send "Origin: null", which is refused


def test_a_form_from_another_site_is_refused(file: Path) -> None:
    door = access(file, CA, (), 0.0)
    builder = EnvironBuilder(method="POST", base_url="http://tower", headers={"Origin": "https://tower.evil.org"})
    with pytest.raises(Forbidden, match="another site"):
        door.check_form(Request(builder.get_environ()), Reader("ann", operator=True, csrf="x"))
