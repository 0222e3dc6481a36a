"""Promises of act.tokens: a token that can be used and says until when, or a clear word, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from act import tokens
from act.config import Timeouts, TokenSource
from act.errors import CredentialError, SourceUnreachable
from act.simulation import Request, Response, TestCA
from act.simulation.issuer import OidcSimulator, TokenKeys, owner_of
from act.tokens import from_file, from_issuer, parse

QUICK = Timeouts(connect_s=2, read_s=2, call_s=2)
SECRET = "se:cret/%"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def issuer(ca: TestCA) -> Iterator[OidcSimulator]:
    with OidcSimulator(ca, {"act": SECRET}, lifetime_s=1200) as issuer:
        yield issuer


@pytest.fixture
def source(issuer: OidcSimulator, tmp_path: Path) -> TokenSource:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return TokenSource(
        issuer=issuer.url, client_id="act", client_secret_file=tmp_path / "secret", scope="compute.read compute.create",
        audience="https://ce.example.org:443",
    )  # fmt: skip


def test_a_client_gets_a_token_with_scope_and_audience(issuer: OidcSimulator, source: TokenSource, ca: TestCA) -> None:
    token = from_issuer(source, ca.ca_dir, QUICK)
    assert token.identity == f"act of {issuer.url}"
    assert abs(token.expires - time.time() - 1200) < 30
    assert owner_of(token.value, issuer.keys.public(), "compute.create") == f"{issuer.url}/act"
    claims = jwt.decode(token.value, options={"verify_signature": False})
    assert (claims["scope"], claims["aud"]) == (source.scope, source.audience)


def test_the_endpoint_may_be_given_instead_of_the_issuer(
    issuer: OidcSimulator, source: TokenSource, ca: TestCA
) -> None:
    direct = source.model_copy(update={"issuer": "", "token_endpoint": f"{issuer.url}/token"})
    assert from_issuer(direct, ca.ca_dir, QUICK).identity == f"act of {issuer.url}"
    assert "GET /.well-known/openid-configuration" not in issuer.requests()


def test_the_token_is_not_shown(source: TokenSource, ca: TestCA) -> None:
    token = from_issuer(source, ca.ca_dir, QUICK)
    assert token.value not in repr(token)


def test_a_client_that_is_refused_is_told_why(issuer: OidcSimulator, source: TokenSource, ca: TestCA) -> None:
    issuer.refuse = True
    with pytest.raises(CredentialError, match=r"/token answered 401 .*invalid_client"):
        from_issuer(source, ca.ca_dir, QUICK)


def test_an_unreadable_secret_is_named(source: TokenSource, ca: TestCA, tmp_path: Path) -> None:
    (tmp_path / "secret").unlink()
    with pytest.raises(CredentialError, match=r"client_secret_file .*secret cannot be read"):
        from_issuer(source, ca.ca_dir, QUICK)


def test_an_issuer_with_a_certificate_of_nobody_we_trust_is_not_asked(
    issuer: OidcSimulator, source: TokenSource, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        from_issuer(source, TestCA(tmp_path / "other").ca_dir, QUICK)
    assert issuer.requests() == {}


@pytest.mark.parametrize("action", ["hang", "refuse", "truncate", "garbage", "error-before"])
def test_trouble_with_the_issuer_is_temporary(
    issuer: OidcSimulator, source: TokenSource, ca: TestCA, action: str
) -> None:
    issuer.faults.add({"path": "/token", "action": action, "status": 503})
    with pytest.raises(SourceUnreachable):
        from_issuer(source, ca.ca_dir, QUICK)
    issuer.faults.clear()
    assert from_issuer(source, ca.ca_dir, QUICK).value


class Odd(OidcSimulator):
    """An issuer that answers what it is told to."""

    answer: object = None

    def handle(self, request: Request) -> Response:
        return Response.json(self.answer)


@pytest.mark.parametrize(("answer", "error", "told"), [
    ({"issuer": "https://other.example.org", "token_endpoint": "https://x/token"}, CredentialError, "another issuer"),
    ({"issuer": "{url}", "token_endpoint": "http://plain.example.org/token"}, CredentialError, "no token_endpoint"),
    ({}, CredentialError, "no token_endpoint"),
    (["a list"], SourceUnreachable, "JSON object"),
])  # fmt: skip
def test_metadata_that_lead_elsewhere_are_not_followed(
    source: TokenSource, ca: TestCA, answer: object, error: type[Exception], told: str
) -> None:
    with Odd(ca, {}) as odd:
        odd.answer = {k: v.format(url=odd.url) for k, v in answer.items()} if isinstance(answer, dict) else answer
        with pytest.raises(error, match=told):
            from_issuer(source.model_copy(update={"issuer": odd.url}), ca.ca_dir, QUICK)


@pytest.mark.parametrize("answer", [{}, {"access_token": 7}, {"access_token": "a.b.c"}, {"access_token": "opaque"}])
def test_an_answer_without_a_token_of_known_end_is_refused(source: TokenSource, ca: TestCA, answer: object) -> None:
    with Odd(ca, {}) as odd:
        odd.answer = answer
        with pytest.raises(CredentialError):
            from_issuer(source.model_copy(update={"issuer": "", "token_endpoint": odd.url}), ca.ca_dir, QUICK)


def test_an_opaque_token_lives_as_long_as_the_issuer_says(source: TokenSource, ca: TestCA) -> None:
    with Odd(ca, {}) as odd:
        odd.answer = {"access_token": "opaque", "expires_in": 300}
        token = from_issuer(source.model_copy(update={"issuer": "", "token_endpoint": odd.url}), ca.ca_dir, QUICK)
    assert token.value == "opaque"
    assert abs(token.expires - time.time() - 300) < 30


def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    keys = TokenKeys("https://iam.example.org")
    (tmp_path / "token").write_text(keys.sign("robot", 600) + "\n")
    token = from_file(tmp_path / "token")
    assert token.identity == "robot of https://iam.example.org"
    assert abs(token.expires - time.time() - 600) < 30


@pytest.mark.parametrize(("content", "told"), [
    (None, "cannot be read"),
    (b"\xff\xfe", "cannot be read"),
    (b"", "no JWT"),
    (b"not a token", "no JWT"),
    (jwt.encode({"sub": "x"}, "k" * 32).encode(), "does not say when it expires"),
    (TokenKeys().sign("robot", -5).encode(), "has expired: is it renewed"),
])  # fmt: skip
def test_a_file_without_a_good_token_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CredentialError, match=rf"{path}.*{told}"):
        from_file(path)


def test_claims_that_are_no_times_are_refused() -> None:
    for odd in ("soon", None, [], {}):
        with pytest.raises(CredentialError):
            parse(jwt.encode({"exp": odd}, "k" * 32))


def test_nobody_else_can_sign_for_the_issuer() -> None:
    keys = TokenKeys()
    assert owner_of(keys.sign("robot"), keys.public(), "compute.read") == f"{keys.issuer}/robot"
    assert owner_of(TokenKeys().sign("robot"), keys.public(), "compute.read") is None
    assert owner_of(keys.sign("robot", -5), keys.public(), "compute.read") is None
    assert owner_of(keys.sign("robot", scope="openid"), keys.public(), "compute.read") is None
    assert owner_of("no token", keys.public(), "compute.read") is None
    assert tokens.parse(keys.sign("robot")).identity == f"robot of {keys.issuer}"
