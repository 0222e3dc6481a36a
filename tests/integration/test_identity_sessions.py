"""A session of this tower is known until it ends; what only looks like one is refused."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import jwt
import pytest
from sqlalchemy import update

from act.client.identity import Caller, Gate, Unauthorised
from act.client.tables_people import sessions
from act.config import CoreConfig
from act.db import credentials, meta
from act.db.engine import Database
from act.keys import load_secret
from tests.integration.handing_over import bearer, claims_of, hand_over
from tests.integration.token_issuer import trusting
from tests.people import ATLAS, People


@pytest.fixture
def gate_config(people: People, tmp_path: Path) -> CoreConfig:
    """It trusts an issuer too, whom nobody with a session has to do with."""
    return trusting(people, tmp_path, "https://issuer.example.org")


@pytest.fixture
def session(gate: Gate, people: People) -> tuple[str, Caller]:
    return hand_over(gate, people.proxy("alice", ATLAS))


def test_a_request_with_a_session_takes_one_question_to_the_database(
    gate: Gate, database: Database, session: tuple[str, Caller]
) -> None:
    token, caller = session
    before = database.statements
    assert gate.caller(bearer(token)) == caller
    assert database.statements - before <= 2  # SQLite counts BEGIN
    assert gate.caller(f"bearer   {token} ") == caller


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic YTpi", "token"])
def test_without_a_token_nobody_is_known(gate: Gate, header: str | None) -> None:
    with pytest.raises(Unauthorised, match="Auth token is missing: hand over a proxy again"):
        gate.caller(header)


@pytest.mark.parametrize("token", ["x", "a.b.c", "é.ü.x", "." * 100, "x" * 20_000, "eyJhbGciOiJIUzI1NiJ9.W10.AAAA"])
def test_what_is_no_token_is_refused(gate: Gate, token: str) -> None:
    with pytest.raises(Unauthorised, match="Invalid token"):
        gate.caller(bearer(token))


def forged(how: str, token: str, secret: bytes) -> str:
    """A token like one of ours that is not."""
    claims = claims_of(token)
    head, body, signature = token.split(".")
    match how:
        case "alg none":
            return jwt.encode(claims, None, algorithm="none")
        case "alg none, with our signature":
            none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
            return f"{none}.{body}.{signature}"
        case "another secret":
            return jwt.encode(claims, b"x" * 64, algorithm="HS256")
        case "another algorithm":
            return jwt.encode(claims, secret, algorithm="HS512")
        case "a changed claim":
            later = base64.urlsafe_b64encode(json.dumps(claims | {"exp": 9e9}).encode()).rstrip(b"=").decode()
            return f"{head}.{later}.{signature}"
        case "expired":
            return jwt.encode(claims | {"exp": int(time.time()) - 5}, secret, algorithm="HS256")
        case "for another audience":
            return jwt.encode(claims | {"aud": "act:other"}, secret, algorithm="HS256")
        case "without an end":
            return jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, algorithm="HS256")
        case "of an unknown kind":
            return jwt.encode(claims | {"typ": "admin"}, secret, algorithm="HS256")
        case "an id with SQL in it":
            return jwt.encode(claims | {"jti": "x' OR '1'='1"}, secret, algorithm="HS256")
        case "of a session that never was":
            return jwt.encode(claims | {"jti": "0" * 32}, secret, algorithm="HS256")
    raise AssertionError(how)


FORGED = {
    "alg none": "Invalid token", "alg none, with our signature": "Invalid token",
    "another secret": "Invalid token signature", "another algorithm": "Invalid token",
    "a changed claim": "Invalid token signature", "expired": "Auth token is expired", "for another audience": "Invalid",
    "without an end": "Invalid token", "of an unknown kind": "Invalid token",
    "an id with SQL in it": "does not exist in database", "of a session that never was": "does not exist in database",
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
def test_a_token_that_is_not_quite_ours_is_refused(
    gate: Gate, gate_config: CoreConfig, session: tuple[str, Caller], how: str
) -> None:
    token = forged(how, session[0], load_secret(gate_config.web.secret_file))
    with pytest.raises(Unauthorised, match=FORGED[how]):
        gate.caller(bearer(token))
    with pytest.raises(Unauthorised):
        gate.accept(token, "x", "x")
    assert gate.caller(bearer(session[0])) == session[1]


def test_a_token_of_another_tower_is_refused(
    gate_config: CoreConfig, database: Database, session: tuple[str, Caller]
) -> None:
    """Another database, or a copy of ours that has been given a name of its own."""
    database.run(
        "test", lambda c: c.execute(update(meta.meta).where(meta.meta.c.name == "db_id").values(value="other"))
    )
    changed = database.read("test", meta.identity)
    assert claims_of(session[0])["iss"] != f"act:{changed}"
    with pytest.raises(Unauthorised, match="is no issuer that is trusted here"):
        Gate(gate_config, database).caller(bearer(session[0]))


def test_a_new_secret_ends_all_sessions(
    gate_config: CoreConfig, database: Database, session: tuple[str, Caller]
) -> None:
    gate_config.web.secret_file.write_text("f" * 64)
    with pytest.raises(Unauthorised, match="Invalid token signature"):
        Gate(gate_config, database).caller(bearer(session[0]))


def test_all_processes_know_a_session(gate_config: CoreConfig, database: Database, session: tuple[str, Caller]) -> None:
    assert Gate(gate_config, database).caller(bearer(session[0])) == session[1]


def test_a_session_cannot_end_a_hand_over(gate: Gate, session: tuple[str, Caller]) -> None:
    with pytest.raises(Unauthorised, match="it is of a session, not of a hand-over"):
        gate.accept(session[0], "x", "x")


def test_logging_out_ends_one_session(gate: Gate, people: People, session: tuple[str, Caller]) -> None:
    other, _ = hand_over(gate, people.proxy("alice", ATLAS))
    gate.abandon(session[0])
    gate.abandon(session[0])
    with pytest.raises(
        Unauthorised, match="Proxy from token does not exist in database or is expired, or you logged out"
    ):
        gate.caller(bearer(session[0]))
    assert gate.caller(bearer(other))


def test_ending_all_sessions_ends_ones_own(gate: Gate, people: People, session: tuple[str, Caller]) -> None:
    mine = [session[0], hand_over(gate, people.proxy("alice"))[0]]
    bobs, _ = hand_over(gate, people.proxy("bob", ATLAS))
    assert gate.revoke_all(session[1]) == 2
    assert gate.revoke_all(session[1]) == 0
    for token in mine:
        with pytest.raises(Unauthorised):
            gate.caller(bearer(token))
    assert gate.caller(bearer(bobs))


def test_a_session_ends_with_its_credential(gate: Gate, database: Database, session: tuple[str, Caller]) -> None:
    role = database.read("test", lambda c: next(iter(credentials.by_role(c))))
    database.run("test", lambda c: credentials.store(c, role, "x", b"", time.time() - 1))
    with pytest.raises(Unauthorised, match="Proxy from token does not exist in database or is expired"):
        gate.caller(bearer(session[0]))


def test_a_row_that_has_run_out_counts_whatever_the_token_says(
    gate: Gate, database: Database, session: tuple[str, Caller]
) -> None:
    database.run("test", lambda c: c.execute(update(sessions).values(expires=time.time() - 1)))
    with pytest.raises(Unauthorised):
        gate.caller(bearer(session[0]))


def test_a_session_tells_nothing_but_its_number(session: tuple[str, Caller]) -> None:
    assert set(claims_of(session[0])) == {"iss", "aud", "typ", "jti", "exp"}
