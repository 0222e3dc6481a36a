"""Whoever comes with the token of a trusted issuer is known by it, and nobody is taken for more than it says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from act.client.identity import Forbidden, Gate, Unauthorised
from act.client.tables_people import users
from act.config import CoreConfig, Group, Issuer
from act.db import credentials
from act.db.engine import Database
from tests.integration.handing_over import bearer, hand_over
from tests.integration.token_issuer import AUDIENCE, CountingIssuer, trusting, visit
from tests.people import ATLAS, People


@pytest.fixture
def gate_config(people: People, tmp_path: Path, issuer: CountingIssuer) -> CoreConfig:
    return trusting(people, tmp_path, issuer.url)


def test_the_bearer_of_a_good_token_is_known(gate: Gate, issuer: CountingIssuer, database: Database) -> None:
    caller = gate.caller(visit(issuer))
    assert (caller.issuer, caller.subject, caller.groups) == (issuer.url, "0000-1111", {"named"})
    assert (caller.proxy_id, caller.session) == (None, "")
    assert caller.expires == pytest.approx(time.time() + 600, abs=30)
    assert gate.caller(visit(issuer)).user_id == caller.user_id
    assert gate.caller(visit(issuer, "0000-1111", **{"wlcg.groups": ["/atlas/experts/x"]})).groups == {
        "named",
        "experts",
    }
    assert issuer.asked == 1
    (row,) = database.read("test", lambda c: c.execute(select(users)).all())
    assert row.seen == pytest.approx(time.time(), abs=30)


def test_jobs_act_with_the_proxy_of_the_groups_role(gate: Gate, issuer: CountingIssuer, database: Database) -> None:
    token = visit(issuer, "x", **{"wlcg.groups": ["/atlas/experts"]})
    assert gate.caller(token).proxy_id is None
    robot = database.run("test", lambda c: credentials.store(c, "robot", "robot", b"", time.time() + 60))
    assert gate.caller(token).proxy_id == robot
    database.run("test", lambda c: credentials.store(c, "robot", "robot", b"", time.time() - 60))
    assert gate.caller(token).proxy_id is None


def test_jobs_act_with_ones_own_proxy_first(
    gate: Gate, issuer: CountingIssuer, database: Database, people: People
) -> None:
    database.run("test", lambda c: credentials.store(c, "robot", "robot", b"", time.time() + 60))
    token = visit(issuer, "x", **{"wlcg.groups": ["/atlas/experts"]})
    session, caller = hand_over(gate, people.proxy("alice", ATLAS), token)
    assert (caller.subject, caller.groups) == ("x", {"experts", "atlas"})
    assert caller.expires == pytest.approx(time.time() + 600, abs=30)  # of the token
    assert gate.caller(bearer(session)) == caller
    assert gate.caller(token).proxy_id == caller.proxy_id
    assert gate.caller(token).user_id == caller.user_id


def test_one_persons_certificate_and_token_are_two_users(gate: Gate, issuer: CountingIssuer, people: People) -> None:
    _, caller = hand_over(gate, people.proxy("alice"))
    assert gate.caller(visit(issuer)).user_id != caller.user_id


def test_a_token_cannot_pass_for_a_certificate(gate: Gate, issuer: CountingIssuer) -> None:
    with pytest.raises(Forbidden, match="You are /O=Grid/O=aCT/CN=alice with no attributes"):
        gate.caller(visit(issuer, "/O=Grid/O=aCT/CN=alice"))


def test_a_group_of_a_token_is_no_attribute_of_a_proxy(gate: Gate, issuer: CountingIssuer) -> None:
    with pytest.raises(Forbidden, match=r"with /atlas, and in no group .*get a token with your groups"):
        gate.caller(visit(issuer, "x", **{"wlcg.groups": ["/atlas"]}))


def test_an_issuer_is_believed_about_its_own_groups_only(
    issuer: CountingIssuer, gate_config: CoreConfig, database: Database
) -> None:
    narrow = Issuer(url=issuer.url, audience=AUDIENCE, token_group=("/cms",))
    gate = Gate(
        gate_config.model_copy(update={"users": gate_config.users.model_copy(update={"issuer": (narrow,)})}), database
    )
    with pytest.raises(Forbidden, match="no attributes of a VO"):
        gate.caller(visit(issuer, "x", **{"wlcg.groups": ["/atlas/experts", "/cmsx"]}))


def test_all_of_an_issuer_may_be_let_in(issuer: CountingIssuer, gate_config: CoreConfig, database: Database) -> None:
    groups = (Group(name="all", issuer=(issuer.url,)), Group(name="others", issuer=("https://x.example.org",)))
    open_ = gate_config.users.model_copy(update={"group": groups})
    caller = Gate(gate_config.model_copy(update={"users": open_}), database).caller(visit(issuer, "anybody"))
    assert caller.groups == {"all"}


@pytest.mark.parametrize(("subject", "claims", "told"), [
    ("0000-1111", {"aud": "https://ce.example.org"}, f"ask its issuer for one with the audience {AUDIENCE}"),
    ("0000-1111", {"aud": None}, "Invalid token"),
    ("0000-1111", {"exp": time.time() - 3600}, "Auth token is expired: get a new one from its issuer"),
    ("0000-1111", {"nbf": time.time() + 3600}, "Invalid token"),
    ("0000-1111", {"exp": "soon"}, "Invalid token"),
    ("0000-1111", {"exp": None}, "Invalid token"),
    ("0000-1111", {"iss": "https://other.example.org"}, "is no issuer that is trusted here"),
    ("", {}, "its subject is no text"),
    ("x" * 300, {}, "its subject is no text"),
    ("a\nb", {}, "its subject is no text"),
    ("0000-1111", {"wlcg.groups": "/atlas"}, "wlcg.groups are no list"),
    ("0000-1111", {"wlcg.groups": [7]}, "wlcg.groups are no list"),
    ("0000-1111", {"wlcg.groups": ["/atlas/../cms"]}, "wlcg.groups are no list"),
    ("0000-1111", {"wlcg.groups": ["/x"] * 1500}, "wlcg.groups are no list"),
])  # fmt: skip
def test_a_token_that_is_not_for_us_is_refused(
    gate: Gate, issuer: CountingIssuer, subject: str, claims: dict[str, Any], told: str
) -> None:
    with pytest.raises(Unauthorised, match=told):
        gate.caller(visit(issuer, subject, **claims))


def test_clocks_may_differ_a_little(gate: Gate, issuer: CountingIssuer) -> None:
    assert gate.caller(visit(issuer, lifetime_s=-20))
    assert gate.caller(visit(issuer, nbf=time.time() + 20))


def test_an_issuers_token_is_not_ours_to_end(gate: Gate, issuer: CountingIssuer) -> None:
    with pytest.raises(Forbidden, match=f"This token is of {issuer.url}, which alone can end it"):
        gate.abandon(visit(issuer).removeprefix("Bearer "))
