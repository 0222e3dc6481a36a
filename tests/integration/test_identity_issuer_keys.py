"""Tokens are verified by the keys that their issuer publishes now, and it is not asked more often than it need be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from act.client.identity import Gate, Unauthorised, issuers
from act.config import CoreConfig, Issuer
from act.db.engine import Database
from act.errors import SourceUnreachable
from act.simulation.issuer import TokenKeys
from tests.integration.handing_over import bearer, claims_of
from tests.integration.token_issuer import AUDIENCE, CountingIssuer, trusting, visit
from tests.kit import together
from tests.people import People


@pytest.fixture
def gate_config(people: People, tmp_path: Path, issuer: CountingIssuer) -> CoreConfig:
    return trusting(people, tmp_path, issuer.url)


def test_nobody_else_can_sign_for_an_issuer(gate: Gate, issuer: CountingIssuer) -> None:
    stranger = TokenKeys(issuer.url)
    with pytest.raises(Unauthorised, match="Invalid token signature"):
        gate.caller(bearer(stranger.sign("0000-1111", aud=AUDIENCE)))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_public_key_of_an_issuer_is_no_secret_to_sign_with(
    gate: Gate, issuer: CountingIssuer, algorithm: str
) -> None:
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
def test_odd_keys_of_an_issuer_verify_nothing(gate: Gate, issuer: CountingIssuer, keys: object) -> None:
    issuer.published = {"keys": keys}
    token = jwt.encode(
        claims_of(issuer.keys.sign("0000-1111", aud=AUDIENCE)), b"secret" * 6, algorithm="HS256", headers={"kid": "1"}
    )
    with pytest.raises(Unauthorised, match="has no key '1'"):
        gate.caller(bearer(token))


def rotated(issuer: CountingIssuer) -> None:
    """The issuer signs with another key from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    issuer.published = {"keys": [*issuer.keys.public()["keys"], public | {"kid": "2", "alg": "ES256"}]}

    def sign(subject: str, lifetime_s: float = 600, **claims: Any) -> str:
        usual = {"iss": issuer.url, "sub": subject, "exp": time.time() + lifetime_s}
        return jwt.encode(usual | claims, key, algorithm="ES256", headers={"kid": "2"})

    issuer.keys.sign = sign  # type: ignore[method-assign, assignment]


def test_a_new_key_is_asked_for_but_not_all_the_time(
    gate: Gate, issuer: CountingIssuer, monkeypatch: pytest.MonkeyPatch
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
    gate: Gate, issuer: CountingIssuer, monkeypatch: pytest.MonkeyPatch
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


def test_many_requests_at_once_ask_an_issuer_once(gate: Gate, issuer: CountingIssuer) -> None:
    token = visit(issuer)
    callers = together(*[lambda: gate.caller(token)] * 8)
    assert len({c.user_id for c in callers}) == 1
    assert issuer.asked == 1


def test_the_keys_may_be_at_a_place_of_their_own(
    gate_config: CoreConfig, issuer: CountingIssuer, database: Database
) -> None:
    direct = Issuer(url=issuer.url, audience=AUDIENCE, jwks_url=f"{issuer.url}/jwks")
    users_ = gate_config.users.model_copy(update={"issuer": (direct,)})
    assert Gate(gate_config.model_copy(update={"users": users_}), database).caller(visit(issuer))
    assert "GET /.well-known/openid-configuration" not in issuer.requests()
