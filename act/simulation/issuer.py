"""An OIDC issuer for tests: it gives its clients bearer tokens (RFC 6749, 4.4) and publishes its keys.

`TokenKeys` is the key alone, for those who need tokens or verify them without a server.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from act.simulation.ca import TestCA
from act.simulation.messages import Request, Response
from act.simulation.server import SimServer

ALGORITHM, KEY_ID = "ES256", "1"
SCOPES = "compute.read compute.create compute.modify compute.cancel"


class TokenKeys:
    """Signs tokens of one issuer, and verifies them."""

    def __init__(self, issuer: str = "https://issuer.invalid") -> None:
        self.issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, subject: str, lifetime_s: float = 3600, **claims: object) -> str:
        """A token. claims: beside the usual ones, or instead of them."""
        now = time.time()
        usual = {"iss": self.issuer, "sub": subject, "scope": SCOPES, "wlcg.ver": "1.0", "nbf": int(now) - 60}
        times = {"iat": int(now), "exp": now + lifetime_s}
        return jwt.encode(usual | times | claims, self._key, algorithm=ALGORITHM, headers={"kid": KEY_ID})

    def public(self) -> dict[str, Any]:
        """The keys to verify with, as a JWK set."""
        key: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [key | {"use": "sig", "alg": ALGORITHM, "kid": KEY_ID}]}


def owner_of(token: str, keys: Mapping[str, Any], scope: str) -> str | None:
    """``<issuer>/<subject>`` of a token that is signed by one of these keys, valid, and has the scope; else None."""
    try:
        header = jwt.get_unverified_header(token)
        key = jwt.PyJWKSet.from_dict(dict(keys))[header.get("kid", "")]
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], options={"verify_aud": False, "require": ["exp"]})
    except (jwt.PyJWTError, KeyError):
        return None
    return f"{claims.get('iss')}/{claims.get('sub')}" if scope in str(claims.get("scope", "")).split() else None


class OidcSimulator(SimServer):
    """An issuer at ``url``. clients: name -> secret; lifetime_s: of its tokens; refuse: say no to all clients."""

    def __init__(self, ca: TestCA, clients: Mapping[str, str], *, lifetime_s: float = 3600, port: int = 0) -> None:
        super().__init__(ca, port=port)
        self.clients = dict(clients)
        self.lifetime_s = lifetime_s
        self.refuse = False
        self.keys = TokenKeys()

    def handle(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                paths = {"token_endpoint": "/token", "jwks_uri": "/jwks"}
                return Response.json({"issuer": self.url} | {name: self.url + path for name, path in paths.items()})
            case "GET", "/jwks":
                return Response.json(self.keys.public())
            case "POST", "/token":
                return self._token(request)
        return Response(404)

    def _token(self, request: Request) -> Response:
        client = self._client(request.headers.get("authorization", ""))
        if client is None or self.refuse:
            told = {"error": "invalid_client", "error_description": "no such client, or wrong secret"}
            return Response.json(told, 401)
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return Response.json({"error": "unsupported_grant_type"}, 400)
        self.keys.issuer = self.url
        claims = {"scope": form.get("scope", "")} | ({"aud": form["audience"]} if "audience" in form else {})
        token = self.keys.sign(client, self.lifetime_s, **claims)
        return Response.json({"access_token": token, "token_type": "Bearer", "expires_in": int(self.lifetime_s)})

    def _client(self, authorization: str) -> str | None:
        """The client that HTTP Basic names, if its secret is right."""
        try:
            told = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
        except ValueError:
            return None
        name, _, secret = (unquote(part) for part in told.partition(":"))
        return name if name in self.clients and self.clients[name] == secret else None
