"""Bearer tokens (JWTs of the WLCG profile): from a file, or from an OIDC issuer that gives them to its client.

Signature and audience are not looked at here: the token is opaque to its bearer, the CE verifies it. For those who
verify tokens of other people, `issuer_keys` gets what to do it with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt

from act.config import Timeouts, TokenSource
from act.errors import CredentialError, SourceUnreachable
from act.https import DeadlineTransport, client_context

_DISCOVERY = "/.well-known/openid-configuration"  # OpenID Connect Discovery 1.0, 4


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token. identity: its subject and issuer, for people. expires: epoch seconds."""

    value: str = field(repr=False)
    identity: str
    expires: float


def parse(value: str) -> Token:
    """What a JWT says of itself. Raises CredentialError if it is none, or has no end."""
    try:
        claims = jwt.decode(value, options={"verify_signature": False})
        return Token(value, f"{claims.get('sub', '?')} of {claims.get('iss', '?')}", float(claims["exp"]))
    except jwt.PyJWTError as error:
        raise CredentialError(f"that is no JWT: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise CredentialError("the token does not say when it expires (claim exp)") from error


def from_file(path: Path) -> Token:
    """The token in a file. Raises CredentialError if it cannot be read or has expired."""
    try:
        found = parse(path.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"token file {path} cannot be read: {error}") from error
    except CredentialError as error:
        raise CredentialError(f"token file {path}: {error}") from error
    if found.expires <= time.time():
        raise CredentialError(f"the token in {path} has expired: is it renewed?")
    return found


def from_issuer(source: TokenSource, ca_dir: Path, timeouts: Timeouts) -> Token:
    """A new token by client credentials. Each call of the issuer ends within ``timeouts.call_s``.

    Raises CredentialError if the issuer does not give us one, SourceUnreachable if it gives no usable answer.
    """
    assert source.client_secret_file is not None, "the configuration has been checked"
    try:
        secret = source.client_secret_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"client_secret_file {source.client_secret_file} cannot be read: {error}") from error
    wanted = {"grant_type": "client_credentials", "scope": source.scope, "audience": source.audience}
    client_id = quote(source.client_id, safe="")
    with _client(ca_dir, timeouts) as client:
        endpoint = source.token_endpoint or _metadata(client, source.issuer, "token_endpoint")
        form = {name: value for name, value in wanted.items() if value}
        answer = _json(client, "POST", endpoint, data=form, auth=(client_id, quote(secret, safe="")))
    value = answer.get("access_token")
    if not isinstance(value, str):
        raise CredentialError(f"{endpoint} answered without an access_token")
    lifetime_s = answer.get("expires_in")
    if value.count(".") != 2 and isinstance(lifetime_s, int | float):
        return Token(value, f"{source.client_id} of {source.issuer or endpoint}", time.time() + lifetime_s)
    return parse(value)


def issuer_keys(issuer: str, jwks_url: str, ca_dir: Path, timeouts: Timeouts) -> Mapping[str, Any]:
    """The public keys of an issuer, as a JWK set. jwks_url: where they are; "": ask the issuer's metadata.

    Each call ends within ``timeouts.call_s``. Raises CredentialError, SourceUnreachable.
    """
    with _client(ca_dir, timeouts) as client:
        return _json(client, "GET", jwks_url or _metadata(client, issuer, "jwks_uri"))


def _client(ca_dir: Path, timeouts: Timeouts) -> httpx.Client:
    transport = DeadlineTransport(client_context(ca_dir), timeouts.call_s)
    limits = httpx.Timeout(timeouts.read_s, connect=timeouts.connect_s)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "aCT"}
    return httpx.Client(transport=transport, timeout=limits, headers=headers, trust_env=False)


def _metadata(client: httpx.Client, issuer: str, name: str) -> str:
    """A URL that the issuer's metadata tell."""
    url = issuer.rstrip("/") + _DISCOVERY
    metadata = _json(client, "GET", url)
    endpoint, named = metadata.get(name), metadata.get("issuer")
    if not isinstance(endpoint, str) or not endpoint.startswith("https://"):
        raise CredentialError(f"{url} names no {name}")
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        raise CredentialError(f"{url} is of another issuer, {named}: correct the issuer in the configuration")
    return endpoint


def _json(client: httpx.Client, method: str, url: str, **request: Any) -> Mapping[str, Any]:
    """The JSON object of a 200 answer."""
    try:
        response = client.request(method, url, **request)
    except httpx.InvalidURL as error:
        raise CredentialError(f"{url} is no URL: {error}") from error
    told = f"{url} answered {response.status_code} {response.text[:300]}".strip()
    if response.status_code in (400, 401, 403):  # RFC 6749, 5.2
        raise CredentialError(told)
    if response.status_code != 200:
        raise SourceUnreachable(told)
    try:
        answer = json.loads(response.content)
    except ValueError as error:
        raise SourceUnreachable(f"{url} answered something else than JSON") from error
    if not isinstance(answer, dict):
        raise SourceUnreachable(f"{url} answered something else than a JSON object")
    return answer
