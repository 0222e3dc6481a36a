"""Sessions on the pages: what they are good for while the configuration changes, and who ends them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from act.cli.web import web
from act.client.identity import Forbidden, Unauthorised
from act.config.web import Operator
from act.db import logins
from act.db.logins import Login
from act.db.schema import events
from act.pages.render import ROOT
from act.web.access import STRANGER
from tests.integration.front_door import ANN, CA, IAM, access, db_of, link, ready, sent_with
from tests.integration.visitor import Visitor, serve


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a tower whose database is ready."""
    monkeypatch.setenv("ACTCONFIGATLAS", str(tmp_path / "aCTConfigATLAS.xml"))
    return ready(tmp_path / "aCTConfigARC.xml")


@pytest.mark.parametrize(
    ("issuer", "operator", "may"),
    [
        (CA, Operator(subject=ANN), True),
        (CA, Operator(subject=ANN, issuer=CA), True),
        (CA, Operator(subject=f"{ANN}a"), False),
        (CA, Operator(subject=ANN, issuer=IAM), False),
        (IAM, Operator(subject=ANN), False),
        (IAM, Operator(subject=ANN, issuer=IAM), True),
    ],
)
def test_who_comes_with_a_token_is_an_operator_by_subject_and_issuer_at_each_request(
    file: Path, issuer: str, operator: Operator, may: bool
) -> None:
    anyhow = access(file, issuer, (Operator(subject=ANN, issuer=issuer),)).by_token(" good\n")
    door = access(file, issuer, (operator,))
    if may:
        assert door.reader(sent_with(door.by_token("good").code)).operator
        assert door.reader(sent_with(anyhow.code)).name == ANN
    else:
        with pytest.raises(Forbidden, match="no operator"):
            door.by_token("good")
        assert door.reader(sent_with(anyhow.code)) == STRANGER


def test_an_operator_who_is_taken_out_of_the_configuration_is_out_until_put_back(file: Path) -> None:
    code = access(file, CA, (Operator(subject=ANN), Operator(subject="/CN=bob"))).by_token("good").code
    assert access(file, CA, (Operator(subject="/CN=bob"),)).reader(sent_with(code)) == STRANGER
    assert access(file, CA, ()).reader(sent_with(code)) == STRANGER
    assert access(file, CA, (Operator(subject=ANN),)).reader(sent_with(code)).operator


def test_who_followed_a_link_need_not_be_in_the_configuration(file: Path) -> None:
    door = access(file, CA, ())
    for operator in (True, False):
        found = door.reader(sent_with(door.by_link(link(file, operator=operator)).code))
        assert (found.name, found.operator) == ("ann", operator)


def test_a_session_is_over_when_the_token_is(file: Path) -> None:
    over = access(file, CA, (Operator(subject=ANN),), time.time() - 1.0)
    assert over.reader(sent_with(over.by_token("good").code)) == STRANGER
    soon = access(file, CA, (Operator(subject=ANN),), time.time() + 60.0)
    assert soon.by_token("good").lasts_s <= 60.0


def test_a_token_that_is_not_good_lets_nobody_in(file: Path) -> None:
    with pytest.raises(Unauthorised):
        access(file, CA, (Operator(subject=ANN),)).by_token("bad")


# -- ending sessions ---------------------------------------------------------------------------------------------------


def logout(file: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("ACTCONFIGARC", str(file))
    monkeypatch.setenv("SUDO_USER", "bob")
    return CliRunner().invoke(web, ["logout", *arguments])


@pytest.mark.parametrize(
    ("arguments", "told", "left"),
    [
        (["--all"], "3 sessions have ended", set()),
        (["ann"], "2 sessions have ended", {"cid"}),
        (["cid"], "1 session has ended", {"ann"}),
        (["an"], "0 sessions have ended", {"ann", "cid"}),
        (["%"], "0 sessions have ended", {"ann", "cid"}),
    ],
)
def test_sessions_are_ended_at_once_all_or_those_of_one(
    file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str, left: set[str]
) -> None:
    database = db_of(file)
    app = serve(file, database)
    visitors = [Visitor(app, database, name, operator=True) for name in ("ann", "ann", "cid")]
    forms = [visitor.csrf for visitor in visitors]
    unused = link(file)
    over = database.run("t", lambda c: logins.begin(c, Login("cid", operator=True), for_s=-1.0))
    done = logout(file, monkeypatch, *arguments)
    assert (done.exit_code, done.output) == (0, f"{told}\n")
    for visitor, form, name in zip(visitors, forms, ("ann", "ann", "cid"), strict=True):
        assert (f"{name} (operator)" in visitor.ask("").text) == (name in left)
        answer = visitor.send("/orders", form, kind="ce", name="x", what="drain", why="y", sure="1")
        assert (answer.location == f"{ROOT}/login") == (name not in left)
    assert (database.run("t", lambda c: logins.use(c, unused)) is None) == ("ann" not in left)
    assert database.read("t", lambda c: logins.session(c, over)) is None


def test_who_ended_sessions_is_written_down(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logout(file, monkeypatch, "ann")
    logout(file, monkeypatch, "--all")
    query = select(events.c.event, events.c.who, events.c.why).where(events.c.kind == logins.EVENTS)
    assert [tuple(row) for row in db_of(file).read("t", lambda c: c.execute(query.order_by(events.c.id)).all())] == [
        ("logout", "operator-bob", "all sessions of ann on the pages: 0"),
        ("logout", "operator-bob", "all sessions on the pages: 0"),
    ]


def test_it_must_be_said_whose_sessions_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ((), ("ann", "--all")):
        done = logout(file, monkeypatch, *arguments)
        assert done.exit_code == 2 and "say whose sessions" in done.output
