"""Tokens of OIDC issuers (JWTs of the WLCG profile) that people come with: whether they are good, and what they say."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from act import faults, tokens
from act.client.identity.caller import Proof, within
from act.client.identity.errors import Unauthorised
from act.client.identity.sessions import OTHERWISE
from act.config import CoreConfig, Issuer
from act.errors import CredentialError, SourceUnreachable

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
LEEWAY_S = 60.0  # between our clock and the issuer's
FETCH_S = 5.0  # for each question to an issuer: somebody waits
FRESH_S = 3600.0  # keys are asked for again when they are older
STALE_S = 86400.0  # so long keys are good when their issuer is silent
RETRY_S = 60.0  # between two questions for the same issuer's keys
MAX_SUBJECT = 255  # OpenID Connect Core 1.0, 2
MAX_GROUPS = 1000


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a verified token says of its bearer."""

    proof: Proof
    expires: float


class KeyServers:
    """The port: asks issuers for their keys."""

    def __init__(self, config: CoreConfig) -> None:
        self._ca_dir = config.ca_dir
        self._timeouts = config.timeouts.model_copy(update={"call_s": min(FETCH_S, config.timeouts.call_s)})

    def keys(self, issuer: Issuer) -> Mapping[str, Any]:
        """A JWK set. Raises CredentialError, SourceUnreachable."""
        return tokens.issuer_keys(issuer.url, issuer.jwks_url, self._ca_dir, self._timeouts)


class Issuers:
    """The issuers that the configuration names. For many threads."""

    def __init__(self, config: CoreConfig) -> None:
        servers = faults.port("issuers", KeyServers(config), SourceUnreachable)
        self._issuers = {i.url: (i, _Keys(i, servers)) for i in config.users.issuer}

    def read(self, token: str, issuer_url: str) -> Visitor:
        """What a token says, once it has been verified. Raises Unauthorised, SourceUnreachable."""
        if issuer_url not in self._issuers:
            raise Unauthorised(f"Invalid token: {issuer_url!r:.200} is no issuer that is trusted here; {OTHERWISE}")
        issuer, issuer_keys = self._issuers[issuer_url]
        try:
            key = issuer_keys.get(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token, key, algorithms=[key.algorithm_name], audience=issuer.audience, issuer=issuer.url,
                leeway=LEEWAY_S, options={"require": ["exp", "sub"]},
            )  # fmt: skip
        except jwt.ExpiredSignatureError as error:
            raise Unauthorised("Auth token is expired: get a new one from its issuer") from error
        except jwt.InvalidSignatureError as error:
            raise Unauthorised(f"Invalid token signature: it is not by {issuer.url}") from error
        except jwt.InvalidAudienceError as error:
            raise Unauthorised(f"Invalid token: ask its issuer for one with the audience {issuer.audience}") from error
        except jwt.PyJWTError as error:
            raise Unauthorised(f"Invalid token ({error}): get a new one from its issuer") from error
        return _visitor(issuer, claims)


def _visitor(issuer: Issuer, claims: Mapping[str, Any]) -> Visitor:
    subject, groups = claims["sub"], claims.get("wlcg.groups", [])
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise Unauthorised(f"Invalid token: its subject is no text of at most {MAX_SUBJECT} printable characters")
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS or not all(_is_group(g) for g in groups):
        raise Unauthorised("Invalid token: its wlcg.groups are no list of groups")
    believed = tuple(g for g in groups if not issuer.token_group or any(within(g, p) for p in issuer.token_group))
    proof = Proof(issuer.url, subject, token=True, token_groups=believed)
    return Visitor(proof, float(claims["exp"]))


def _is_group(group: object) -> bool:
    return isinstance(group, str) and group.startswith("/") and group.isprintable() and "/../" not in f"{group}/"


class _Keys:
    """The keys of one issuer, asked for when one is missing or they have become old, but not all the time."""

    def __init__(self, issuer: Issuer, servers: KeyServers) -> None:
        self._issuer, self._servers = issuer, servers
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._got = self._tried = float("-inf")

    def get(self, kid: str) -> jwt.PyJWK:
        """Raises Unauthorised if the issuer has no such key, SourceUnreachable if it does not tell."""
        if self._age() < FRESH_S and (key := self._find(kid)):
            return key
        with self._lock:
            trouble = None
            if self._missing(kid) and time.monotonic() - self._tried > RETRY_S:
                trouble = self._ask()
            if (key := self._find(kid)) and self._age() < STALE_S:
                return key
        if trouble is not None or self._got < self._tried:
            raise SourceUnreachable(
                f"the keys of {self._issuer.url} cannot be had now, so that its tokens cannot be verified: try later"
            ) from trouble
        raise Unauthorised(f"Invalid token signature: {self._issuer.url} has no key {kid!r:.100}")

    def _missing(self, kid: str) -> bool:
        return self._find(kid) is None or self._age() >= FRESH_S

    def _age(self) -> float:
        return time.monotonic() - self._got

    def _find(self, kid: str) -> jwt.PyJWK | None:
        """A token need not name its key if there is only one."""
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _ask(self) -> Exception | None:
        self._tried = time.monotonic()
        try:
            found = self._servers.keys(self._issuer).get("keys")
        except (CredentialError, SourceUnreachable) as error:
            return error
        self._keys = _usable(found if isinstance(found, list) else [])
        self._got = time.monotonic()
        return None


def _usable(found: list[Any]) -> dict[str, jwt.PyJWK]:
    """Those that sign, of a kind that cannot be taken for another."""
    usable = {}
    for data in found:
        try:
            key = jwt.PyJWK(data)
        except (jwt.PyJWTError, TypeError, AttributeError, ValueError):
            continue  # of a kind that is not known here
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig"):
            usable[str(key.key_id or "")] = key
    return usable
