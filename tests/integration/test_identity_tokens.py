"""Who speaks in a request: sessions of this tower and tokens of trusted issuers are known, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update

from act.client.identity import Caller, Forbidden, Gate, Unauthorised, issuers
from act.client.tables_people import sessions, users
from act.config import CoreConfig, Group, Issuer
from act.db import credentials, meta
from act.db.engine import Database
from act.errors import SourceUnreachable
from act.keys import load_secret
from act.simulation import Request, Response, TestCA
from act.simulation.issuer import OidcSimulator, TokenKeys
from tests.kit import together
from tests.people import ATLAS, People, Proxy, users_config

AUDIENCE = "https://act.example.org"
GROUPS = (
    Group(name="atlas", fqan=("/atlas",)),
    Group(name="experts", token_group=("/atlas/experts",), role="robot"),
    Group(name="named", subject=("0000-1111", "/O=Grid/O=aCT/CN=alice")),
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, people: People) -> TestCA:
    ca = TestCA(tmp_path_factory.mktemp("ca"))
    for path in ca.ca_dir.iterdir():
        (people.ca_dir / path.name).write_bytes(path.read_bytes())
    return ca


class Counting(OidcSimulator):
    """Counts how often its keys are asked for. published: the keys it tells, if not its own."""

    asked = 0
    published: object = None

    def handle(self, request: Request) -> Response:
        if request.path == "/jwks":
            self.asked += 1
            if self.published is not None:
                return Response.json(self.published)
        return super().handle(request)


@pytest.fixture
def issuer(ca: TestCA) -> Iterator[Counting]:
    with Counting(ca, {}) as issuer:
        issuer.keys.issuer = issuer.url
        yield issuer


@pytest.fixture
def config(people: People, tmp_path: Path, issuer: Counting) -> CoreConfig:
    return users_config(people, tmp_path, group=GROUPS, issuer=(Issuer(url=issuer.url, audience=AUDIENCE),))


@pytest.fixture
def gate(config: CoreConfig, database: Database) -> Gate:
    return Gate(config, database)


@pytest.fixture
def session(gate: Gate, people: People) -> tuple[str, Caller]:
    return hand_over(gate, people.proxy("alice", ATLAS))


def hand_over(gate: Gate, proxy: Proxy, authorization: str | None = None) -> tuple[str, Caller]:
    offer = gate.offer(proxy.cert, proxy.chain, authorization)
    return gate.accept(offer.token, proxy.sign(offer.request), f"{proxy.cert}{proxy.chain}")


def bearer(token: str) -> str:
    return f"Bearer {token}"


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


# --- sessions ----------------------------------------------------------------------------------------------------


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


def forged(how: str, token: str, secret: bytes, gate: Gate) -> str:
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
    gate: Gate, config: CoreConfig, session: tuple[str, Caller], how: str
) -> None:
    token = forged(how, session[0], load_secret(config.web.secret_file), gate)
    with pytest.raises(Unauthorised, match=FORGED[how]):
        gate.caller(bearer(token))
    with pytest.raises(Unauthorised):
        gate.accept(token, "x", "x")
    assert gate.caller(bearer(session[0])) == session[1]


def test_a_token_of_another_tower_is_refused(
    config: CoreConfig, database: Database, session: tuple[str, Caller]
) -> None:
    """Another database, or a copy of ours that has been given a name of its own."""
    database.run(
        "test", lambda c: c.execute(update(meta.meta).where(meta.meta.c.name == "db_id").values(value="other"))
    )
    changed = database.read("test", meta.identity)
    assert claims_of(session[0])["iss"] != f"act:{changed}"
    with pytest.raises(Unauthorised, match="is no issuer that is trusted here"):
        Gate(config, database).caller(bearer(session[0]))


def test_a_new_secret_ends_all_sessions(config: CoreConfig, database: Database, session: tuple[str, Caller]) -> None:
    config.web.secret_file.write_text("f" * 64)
    with pytest.raises(Unauthorised, match="Invalid token signature"):
        Gate(config, database).caller(bearer(session[0]))


def test_all_processes_know_a_session(config: CoreConfig, database: Database, session: tuple[str, Caller]) -> None:
    assert Gate(config, database).caller(bearer(session[0])) == session[1]


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


# --- tokens of issuers -------------------------------------------------------------------------------------------


def visit(issuer: Counting, subject: str = "0000-1111", lifetime_s: float = 600, **claims: Any) -> str:
    return bearer(issuer.keys.sign(subject, lifetime_s, **{"aud": AUDIENCE} | claims))


def test_the_bearer_of_a_good_token_is_known(gate: Gate, issuer: Counting, database: Database) -> None:
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


def test_jobs_act_with_the_proxy_of_the_groups_role(gate: Gate, issuer: Counting, database: Database) -> None:
    token = visit(issuer, "x", **{"wlcg.groups": ["/atlas/experts"]})
    assert gate.caller(token).proxy_id is None
    robot = database.run("test", lambda c: credentials.store(c, "robot", "robot", b"", time.time() + 60))
    assert gate.caller(token).proxy_id == robot
    database.run("test", lambda c: credentials.store(c, "robot", "robot", b"", time.time() - 60))
    assert gate.caller(token).proxy_id is None


def test_jobs_act_with_ones_own_proxy_first(gate: Gate, issuer: Counting, database: Database, people: People) -> None:
    database.run("test", lambda c: credentials.store(c, "robot", "robot", b"", time.time() + 60))
    token = visit(issuer, "x", **{"wlcg.groups": ["/atlas/experts"]})
    session, caller = hand_over(gate, people.proxy("alice", ATLAS), token)
    assert (caller.subject, caller.groups) == ("x", {"experts", "atlas"})
    assert caller.expires == pytest.approx(time.time() + 600, abs=30)  # of the token
    assert gate.caller(bearer(session)) == caller
    assert gate.caller(token).proxy_id == caller.proxy_id
    assert gate.caller(token).user_id == caller.user_id


def test_one_persons_certificate_and_token_are_two_users(gate: Gate, issuer: Counting, people: People) -> None:
    _, caller = hand_over(gate, people.proxy("alice"))
    assert gate.caller(visit(issuer)).user_id != caller.user_id


def test_a_token_cannot_pass_for_a_certificate(gate: Gate, issuer: Counting) -> None:
    with pytest.raises(Forbidden, match="You are /O=Grid/O=aCT/CN=alice with no attributes"):
        gate.caller(visit(issuer, "/O=Grid/O=aCT/CN=alice"))


def test_a_group_of_a_token_is_no_attribute_of_a_proxy(gate: Gate, issuer: Counting) -> None:
    with pytest.raises(Forbidden, match=r"with /atlas, and in no group .*get a token with your groups"):
        gate.caller(visit(issuer, "x", **{"wlcg.groups": ["/atlas"]}))


def test_an_issuer_is_believed_about_its_own_groups_only(
    issuer: Counting, config: CoreConfig, database: Database
) -> None:
    narrow = Issuer(url=issuer.url, audience=AUDIENCE, token_group=("/cms",))
    gate = Gate(config.model_copy(update={"users": config.users.model_copy(update={"issuer": (narrow,)})}), database)
    with pytest.raises(Forbidden, match="no attributes of a VO"):
        gate.caller(visit(issuer, "x", **{"wlcg.groups": ["/atlas/experts", "/cmsx"]}))


def test_all_of_an_issuer_may_be_let_in(issuer: Counting, config: CoreConfig, database: Database) -> None:
    groups = (Group(name="all", issuer=(issuer.url,)), Group(name="others", issuer=("https://x.example.org",)))
    open_ = config.users.model_copy(update={"group": groups})
    caller = Gate(config.model_copy(update={"users": open_}), database).caller(visit(issuer, "anybody"))
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
    gate: Gate, issuer: Counting, subject: str, claims: dict[str, Any], told: str
) -> None:
    with pytest.raises(Unauthorised, match=told):
        gate.caller(visit(issuer, subject, **claims))


def test_clocks_may_differ_a_little(gate: Gate, issuer: Counting) -> None:
    assert gate.caller(visit(issuer, lifetime_s=-20))
    assert gate.caller(visit(issuer, nbf=time.time() + 20))


def test_nobody_else_can_sign_for_an_issuer(gate: Gate, issuer: Counting) -> None:
    stranger = TokenKeys(issuer.url)
    with pytest.raises(Unauthorised, match="Invalid token signature"):
        gate.caller(bearer(stranger.sign("0000-1111", aud=AUDIENCE)))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_public_key_of_an_issuer_is_no_secret_to_sign_with(gate: Gate, issuer: Counting, algorithm: str) -> None:
    public = issuer.keys.public()["keys"][0]
    key = jwt.PyJWK(public).key
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = claims_of(issuer.keys.sign("0000-1111", aud=AUDIENCE))
    # by hand, as no library signs with a public key
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": public["kid"]}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    digest = hmac.new(pem, head + b"." + body, hashlib.sha256).digest() if algorithm == "HS256" else b""
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=")
    with pytest.raises(Unauthorised, match="Invalid token"):
        gate.caller(bearer(b".".join((head, body, signature)).decode()))


@pytest.mark.parametrize("keys", [
    [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256", "kid": "1"}],
    ["text", 7, None, {}, {"kty": "??", "kid": "1"}, {"kty": "EC", "crv": "P-256", "kid": "1"}],
    [], "none", None,
])  # fmt: skip
def test_odd_keys_of_an_issuer_verify_nothing(gate: Gate, issuer: Counting, keys: object) -> None:
    issuer.published = {"keys": keys}
    token = jwt.encode(
        claims_of(issuer.keys.sign("0000-1111", aud=AUDIENCE)), b"secret" * 6, algorithm="HS256", headers={"kid": "1"}
    )
    with pytest.raises(Unauthorised, match="has no key '1'"):
        gate.caller(bearer(token))


def rotated(issuer: Counting) -> None:
    """The issuer signs with another key from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    issuer.published = {"keys": [*issuer.keys.public()["keys"], public | {"kid": "2", "alg": "ES256"}]}

    def sign(subject: str, lifetime_s: float = 600, **claims: Any) -> str:
        usual = {"iss": issuer.url, "sub": subject, "exp": time.time() + lifetime_s}
        return jwt.encode(usual | claims, key, algorithm="ES256", headers={"kid": "2"})

    issuer.keys.sign = sign  # type: ignore[method-assign, assignment]


def test_a_new_key_is_asked_for_but_not_all_the_time(
    gate: Gate, issuer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gate.caller(visit(issuer))
    rotated(issuer)
    for _ in range(3):
        with pytest.raises(Unauthorised, match="has no key '2'"):
            gate.caller(visit(issuer))
    assert issuer.asked == 1
    monkeypatch.setattr(issuers, "RETRY_S", 0)
    assert gate.caller(visit(issuer))
    assert gate.caller(visit(issuer))
    assert issuer.asked == 2


def test_a_silent_issuer_is_no_reason_to_refuse_anybody(
    gate: Gate, issuer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = visit(issuer)
    issuer.faults.add({"path": "/jwks", "action": "hang"})
    with pytest.raises(SourceUnreachable, match="try later"):
        gate.caller(token)
    with pytest.raises(SourceUnreachable, match="try later"):
        gate.caller(token)  # at once: it is not asked again so soon
    issuer.faults.clear()
    monkeypatch.setattr(issuers, "RETRY_S", 0)
    assert gate.caller(token)
    monkeypatch.setattr(issuers, "FRESH_S", 0)
    issuer.faults.add({"path": "/jwks", "action": "refuse"})
    assert gate.caller(token)  # by the keys that are known
    monkeypatch.setattr(issuers, "STALE_S", 0)
    with pytest.raises(SourceUnreachable):
        gate.caller(token)


def test_many_requests_at_once_ask_an_issuer_once(gate: Gate, issuer: Counting) -> None:
    token = visit(issuer)
    callers = together(*[lambda: gate.caller(token)] * 8)
    assert len({c.user_id for c in callers}) == 1
    assert issuer.asked == 1


def test_the_keys_may_be_at_a_place_of_their_own(config: CoreConfig, issuer: Counting, database: Database) -> None:
    direct = Issuer(url=issuer.url, audience=AUDIENCE, jwks_url=f"{issuer.url}/jwks")
    users_ = config.users.model_copy(update={"issuer": (direct,)})
    assert Gate(config.model_copy(update={"users": users_}), database).caller(visit(issuer))
    assert "GET /.well-known/openid-configuration" not in issuer.requests()


def test_an_issuers_token_is_not_ours_to_end(gate: Gate, issuer: Counting) -> None:
    with pytest.raises(Unauthorised):
        gate.abandon(visit(issuer).removeprefix("Bearer "))
