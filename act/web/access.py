"""Who reads the pages: browsers with a cookie of ours, got for a login link or a token, and who of them may operate.

The cookie is signed, ends with the session, is not sent by other sites' forms, and is no credential of the API.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import jwt
from flask import Request, Response

from act import keys
from act.client.identity import Caller, Forbidden, Gate, Unauthorised
from act.config import CoreConfig
from act.db import logins
from act.db.engine import Database

ALGORITHM = "HS256"
KIND = "page"
LINK_S = 300.0  # a login link is good for so long


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever looks. name: "" for strangers. csrf: what their forms must bring back."""

    name: str = ""
    operator: bool = False
    csrf: str = ""


STRANGER = Reader()


class Access:
    """For many threads; make it after forking. Methods may also raise DatabaseBusy, and CredentialError (no secret)."""

    def __init__(self, config: CoreConfig, db: Database, gate: Gate) -> None:
        self._config, self._db, self._gate = config, db, gate

    @property
    def must_log_in(self) -> bool:
        """Whether strangers may not even read."""
        return self._config.web.pages != "open"

    def reader(self, request: Request) -> Reader:
        """Who has sent a request; `STRANGER` without a session that is still good."""
        secret = keys.load_secret(self._config.web.secret_file)
        try:
            claims = jwt.decode(
                request.cookies.get(cookie_name(request), ""), secret, algorithms=[ALGORITHM],
                options={"require": ["exp", "typ", "sub", "jti"]},
            )  # fmt: skip
        except jwt.PyJWTError:
            return STRANGER
        if claims["typ"] != KIND:
            return STRANGER
        csrf = hmac.new(secret, f"csrf {claims['jti']}".encode(), hashlib.sha256).hexdigest()
        return Reader(str(claims["sub"]), bool(claims.get("operator")), csrf)

    def by_link(self, code: str) -> tuple[str, bool, float]:
        """Who a login link is for, whether to operate, and when their session ends. Raises Unauthorised."""
        found = self._db.run("login", lambda c: logins.use(c, code))
        if found is None:
            raise Unauthorised("This link has been used, or is too old: 'actctl web login' makes another")
        return found.name, found.operator, self._end()

    def by_token(self, token: str) -> tuple[str, bool, float]:
        """The same for a token: of an issuer that is known here, or of a session of the API.

        Raises Unauthorised, Forbidden (no operator), SourceUnreachable.
        """
        caller = self._gate.caller(f"Bearer {token.strip()}")
        if not _operates(self._config, caller):
            raise Forbidden(f"{caller.subject} is no operator of this tower (web/operator in its configuration)")
        return caller.subject, True, min(self._end(), caller.expires)

    def admit(self, request: Request, response: Response, name: str, operator: bool, until: float) -> None:
        """Begin a session."""
        claims = {"typ": KIND, "sub": name, "operator": operator, "jti": secrets.token_hex(16), "exp": int(until)}
        value = jwt.encode(claims, keys.load_secret(self._config.web.secret_file), algorithm=ALGORITHM)
        response.set_cookie(
            cookie_name(request), value, max_age=max(0, int(until - time.time())), secure=request.is_secure,
            httponly=True, samesite="Strict", path="/",
        )  # fmt: skip

    def dismiss(self, request: Request, response: Response) -> None:
        """End a session: its cookie goes."""
        response.delete_cookie(
            cookie_name(request), path="/", secure=request.is_secure, httponly=True, samesite="Strict"
        )

    def check_origin(self, request: Request) -> None:
        """Raises Forbidden for a form that is not from a page of this site."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise Forbidden("This form was sent by another site, or a web server before this one changes 'Host'")

    def check_form(self, request: Request, reader: Reader) -> None:
        """Raises Forbidden for a form that is not from a page of this session."""
        self.check_origin(request)
        if not reader.csrf or not hmac.compare_digest(request.form.get("csrf", "").encode(), reader.csrf.encode()):
            raise Forbidden("This form is not from your session: load its page again, or log in again")

    def _end(self) -> float:
        return time.time() + 3600 * self._config.web.session_h


def _operates(config: CoreConfig, caller: Caller) -> bool:
    """Whether somebody is an operator. The CA that issued a certificate need not be told in the configuration."""
    issuers = (caller.issuer, "") if caller.issuer.startswith("/") else (caller.issuer,)
    return any(o.subject == caller.subject and o.issuer in issuers for o in config.web.operator)


def cookie_name(request: Request) -> str:
    """Over TLS no other host, and no plain connection, can set a cookie of this name."""
    return "__Host-act" if request.is_secure else "act"
