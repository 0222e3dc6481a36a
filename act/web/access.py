"""Who reads the pages: browsers with a cookie of ours, got for a login link or a token, and who of them may operate.

The cookie is the code of a session in the database. It is not sent by other sites' forms, and is no credential of the
API. Whoever came with a token is asked for in the present configuration at each request.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Request, Response
from sqlalchemy import Connection

from act.client.identity import Forbidden, Gate, Unauthorised
from act.config import CoreConfig
from act.db import logins
from act.db.engine import Database
from act.db.logins import Login

LINK_S = 300.0  # a login link is good for so long


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever looks. name: "" for strangers. csrf: what their forms must bring back."""

    name: str = ""
    operator: bool = False
    csrf: str = ""


STRANGER = Reader()


@dataclass(frozen=True, slots=True)
class Session:
    """One that has begun. code: for its browser only."""

    code: str
    lasts_s: float


class Access:
    """For many threads; make it after forking. Methods may also raise DatabaseBusy."""

    def __init__(self, config: CoreConfig, db: Database, gate: Gate) -> None:
        self._config, self._db, self._gate = config, db, gate
        self._lasts_s = 3600 * config.web.session_h

    @property
    def must_log_in(self) -> bool:
        """Whether strangers may not even read."""
        return self._config.web.pages != "open"

    def reader(self, request: Request) -> Reader:
        """Who has sent a request; `STRANGER` without a session that is still good."""
        code = request.cookies.get(cookie_name(request), "")
        found = self._db.read("session", lambda c: logins.session(c, code)) if code else None
        if found is None or not _may_still(self._config, found):
            return STRANGER
        return Reader(found.name, found.operator, hashlib.sha256(f"csrf {code}".encode()).hexdigest())

    def by_link(self, code: str) -> Session:
        """The session of whom a login link is for. Raises Unauthorised."""

        def enter(connection: Connection) -> str | None:
            found = logins.use(connection, code)
            return None if found is None else logins.begin(connection, found, for_s=self._lasts_s)

        begun = self._db.run("login", enter)
        if begun is None:
            raise Unauthorised("This link has been used, or is too old: 'actctl web login' makes another")
        return Session(begun, self._lasts_s)

    def by_token(self, token: str) -> Session:
        """The session of an operator with a token: of an issuer that is known here, or of a session of the API.

        Raises Unauthorised, Forbidden (no operator), SourceUnreachable.
        """
        caller = self._gate.caller(f"Bearer {token.strip()}")
        found = Login(caller.subject, operator=True, issuer=caller.issuer)
        if not _may_still(self._config, found):
            raise Forbidden(f"{caller.subject} is no operator of this tower (web/operator in its configuration)")
        lasts_s = min(self._lasts_s, caller.expires - time.time())
        return Session(self._db.run("login", lambda c: logins.begin(c, found, for_s=lasts_s)), lasts_s)

    def admit(self, request: Request, response: Response, session: Session) -> None:
        """Give a session to the browser."""
        response.set_cookie(
            cookie_name(request), session.code, max_age=max(0, int(session.lasts_s)), secure=request.is_secure,
            httponly=True, samesite="Strict", path="/",
        )  # fmt: skip

    def dismiss(self, request: Request, response: Response) -> None:
        """End the session of a request, and take its cookie away."""
        name = cookie_name(request)
        self._db.run("logout", lambda c: logins.end(c, request.cookies.get(name, "")))
        response.delete_cookie(name, path="/", secure=request.is_secure, httponly=True, samesite="Strict")

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


def _may_still(config: CoreConfig, login: Login) -> bool:
    """Whether somebody is in the configuration, if that is why they were let in. The CA that issued a certificate need
    not be told there."""
    if login.issuer is None:
        return True
    issuers = (login.issuer, "") if login.issuer.startswith("/") else (login.issuer,)
    return any(o.subject == login.name and o.issuer in issuers for o in config.web.operator)


def cookie_name(request: Request) -> str:
    """Over TLS no other host, and no plain connection, can set a cookie of this name."""
    return "__Host-act" if request.is_secure else "act"
