"""How actcli proves who its user is: nothing is left behind by a hand-over that fails, and tokens are found."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import cast

import pytest

from act import x509
from act.cli.user import credentials
from act.cli.user.api import Api
from act.cli.user.errors import Refused, Unreachable
from act.errors import CredentialError
from act.simulation import TestCA


class FakeServer:
    """Offers a request to sign. fails: raised instead of accepting; kept: what it would accept from then on."""

    def __init__(self, fails: BaseException | None = None, forgets: bool = True) -> None:
        self.fails, self.forgets = fails, forgets
        self.tokens: list[str] = []
        self.told: list[str] = []
        self.abandoned = 0

    def seen_with(self, token: str) -> Api:
        self.tokens.append(token)
        return cast(Api, self)

    def offer(self, chain: str) -> dict[str, object]:
        self.told.append(chain)
        return {"token": "pending", "request": REQUEST.decode(), "expires": 1.0}

    def accept(self, chain: str) -> dict[str, object]:
        self.told.append(chain)
        if self.fails:
            raise self.fails
        return {"token": "session", "expires": 2.0}

    def abandon(self) -> None:
        self.abandoned += 1
        if not self.forgets:
            raise Unreachable("away")


def _request() -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509 import CertificateSigningRequestBuilder, Name

    key = rsa.generate_private_key(65537, 2048)
    made = CertificateSigningRequestBuilder().subject_name(Name([])).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


REQUEST = _request()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    cert, key = TestCA(tmp_path_factory.mktemp("ca")).user("jane")
    return x509.make_proxy(cert.read_bytes(), key.read_bytes(), 3600)


def test_the_key_of_the_proxy_never_leaves(proxy: bytes) -> None:
    server = FakeServer()
    found = credentials.hand_over(server.seen_with(""), server.seen_with, proxy, 3600)
    assert (found.token, found.expires) == ("session", 2.0)
    assert server.tokens == ["", "pending"]
    assert server.abandoned == 0
    assert [text.count("BEGIN CERTIFICATE") for text in server.told] == [2, 3]
    assert not any("PRIVATE" in text for text in server.told)


@pytest.mark.parametrize("fails", [Refused("no"), Unreachable("away"), KeyboardInterrupt()])
@pytest.mark.parametrize("forgets", [True, False])
def test_a_hand_over_that_fails_is_abandoned(proxy: bytes, fails: BaseException, forgets: bool) -> None:
    server = FakeServer(fails, forgets)
    with pytest.raises(type(fails)):
        credentials.hand_over(server.seen_with(""), server.seen_with, proxy, 3600)
    assert server.abandoned == 1


def test_the_proxy_is_looked_for_where_grid_software_puts_it() -> None:
    assert str(credentials.proxy_file(None, {})).startswith("/tmp/x509up_u")
    assert credentials.proxy_file(None, {"X509_USER_PROXY": "/p"}) == Path("/p")
    assert credentials.proxy_file(Path("/q"), {"X509_USER_PROXY": "/p"}) == Path("/q")


def test_tokens_are_found_in_the_order_of_bearer_token_discovery(tmp_path: Path) -> None:
    import os

    (tmp_path / f"bt_u{os.getuid()}").write_text("three\n")
    (tmp_path / "named").write_text("two\n")
    environment = {
        "BEARER_TOKEN": "one",
        "BEARER_TOKEN_FILE": str(tmp_path / "named"),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    assert credentials.find_token(environment) == ("one", "$BEARER_TOKEN")
    del environment["BEARER_TOKEN"]
    assert credentials.find_token(environment)[0] == "two"
    del environment["BEARER_TOKEN_FILE"]
    assert credentials.find_token(environment)[0] == "three"
    with pytest.raises(CredentialError, match="cannot be read"):
        credentials.find_token({"BEARER_TOKEN_FILE": str(tmp_path / "gone")})


def test_oidc_agent_is_asked_and_its_refusal_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CredentialError, match="not installed"):
        credentials.ask_oidc_agent("wlcg")
    agent = tmp_path / "oidc-token"
    agent.write_text('#!/bin/sh\nif [ "$1" = wlcg ]; then echo tok; else echo "Account not loaded" >&2; exit 1; fi\n')
    agent.chmod(agent.stat().st_mode | stat.S_IXUSR)
    assert credentials.ask_oidc_agent("wlcg") == "tok"
    with pytest.raises(CredentialError, match="Account not loaded"):
        credentials.ask_oidc_agent("other")


def test_a_token_tells_its_end_if_it_is_a_jwt() -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 12}).encode()).decode().rstrip("=")
    assert credentials.expiry(f"x.{payload}.y") == 12
    for text in ("opaque", "a.b.c", f"x.{base64.urlsafe_b64encode(b'[]').decode()}.y"):
        assert credentials.expiry(text) is None
