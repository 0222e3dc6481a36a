"""The gate: everybody who speaks to the tower comes through here."""

from __future__ import annotations

from sqlalchemy import Connection

from act.client.db import people as rows
from act.client.identity.caller import Caller, groups_of
from act.client.identity.errors import Forbidden, Unauthorised
from act.client.identity.handover import Handovers, Offer
from act.client.identity.issuers import Issuers, Visitor
from act.client.identity.sessions import AGAIN, Signer, issuer_of
from act.config import CoreConfig
from act.db.engine import Database


class Gate:
    """Takes over credentials, and tells who speaks. For many threads; make it after forking.

    All methods may also raise DatabaseBusy, ConfigError (the operator's to correct), and CredentialError (no usable key
    file or secret).
    """

    def __init__(self, config: CoreConfig, db: Database) -> None:
        self._config, self._db = config, db
        self._signer = Signer(config.web.secret_file, db)
        self._handovers = Handovers(config, db, self._signer)
        self._issuers = Issuers(config)

    def offer(self, cert: str, chain: str, authorization: str | None = None) -> Offer:
        """Begin a hand-over: a key of ours, and a request for it that the owner of a proxy is to sign with that.

        cert, chain: the proxy and what is below it, in PEM; all may be in ``cert``. authorization: header of who comes
        with an issuer's token, so that the credential becomes theirs.
        Raises BadCredential, Forbidden (in no group), TooManyHandovers, Unauthorised.
        """
        return self._handovers.offer(cert, chain, self._visitor(authorization))

    def accept(self, token: str, cert: str, chain: str) -> tuple[str, Caller]:
        """End a hand-over with the signed proxy: the token of a new session, and whose it is.

        cert: the signed proxy in PEM, perhaps with more after it. chain: what clients send with it; the chain that was
        announced counts. The same request once more has the same answer. Raises BadCredential, Unauthorised, Forbidden.
        """
        claims = self._signer.read(token)
        if claims.kind != "pending":
            raise Unauthorised("Invalid token: it is of a session, not of a hand-over; send the one that POST gave")
        return self._handovers.accept(claims.id, cert)

    def abandon(self, token: str) -> None:
        """End what the token stands for: a hand-over, with the session it led to, or a session.

        Raises Unauthorised, SourceUnreachable, and Forbidden for an issuer's token, which is not ours to end.
        """
        issuer = issuer_of(token)
        if not self._signer.made_by(issuer):
            self._issuers.read(token, issuer)
            raise Forbidden(f"This token is of {issuer}, which alone can end it before it expires")
        claims = self._signer.read(token)

        def work(connection: Connection) -> None:
            if claims.kind == "session":
                rows.revoke(connection, id=claims.id)
                return
            row = rows.handover(connection, claims.id, lock=True)
            rows.forget_handover(connection, claims.id)
            if row is not None and row.session is not None:
                rows.revoke(connection, id=row.session)

        self._db.run("abandon", work)

    def caller(self, authorization: str | None) -> Caller:
        """Who speaks, by the header Authorization. Raises Unauthorised, Forbidden, SourceUnreachable."""
        visitor = self._visitor(authorization)
        if visitor is not None:
            return self._known(visitor)
        claims = self._signer.read(_bearer(authorization))
        if claims.kind != "session":
            raise Unauthorised("Invalid token: it ends a hand-over and is good for nothing else; finish that first")
        row = self._db.read("session", lambda c: rows.session(c, claims.id))
        if row is None:
            raise Unauthorised(f"Proxy from token does not exist in database or is expired, or you logged out: {AGAIN}")
        return self._handovers.caller_of(row)

    def revoke_all(self, caller: Caller) -> int:
        """End all sessions of a user; how many. Tokens of issuers are not ours to end."""
        return self._db.run("revoke", lambda c: rows.revoke(c, user_id=caller.user_id))

    def sweep(self, connection: Connection) -> int:
        """Delete hand-overs and sessions that have run out; how many."""
        return rows.sweep(connection)

    def _visitor(self, authorization: str | None) -> Visitor | None:
        """Who comes with an issuer's token; None for everybody else."""
        if authorization is None:
            return None
        token = _bearer(authorization)
        issuer = issuer_of(token)
        return None if self._signer.made_by(issuer) else self._issuers.read(token, issuer)

    def _known(self, visitor: Visitor) -> Caller:
        """The user behind an issuer's token, and the credential that their jobs act with."""
        proof, users = visitor.proof, self._config.users
        groups = groups_of(users, proof)
        row = self._db.read("visitor", lambda c: rows.visitor(c, proof.issuer, proof.subject))
        user_id = row.id if row is not None else 0
        if row is None or not row.fresh:
            user_id = self._db.run("visitor", lambda c: rows.ensure_user(c, proof.issuer, proof.subject))
        proxy_id = row.proxy_id if row is not None else None
        roles = [g.role for g in users.group if g.name in groups and g.role]
        if proxy_id is None and roles:
            good = self._db.read("roles", lambda c: rows.good_proxies(c, roles))
            proxy_id = next((good[role] for role in roles if role in good), None)
        return Caller(user_id, proof.issuer, proof.subject, groups, proxy_id, visitor.expires, "")


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorised(f"Auth token is missing: {AGAIN}, or send one of your issuer as 'Authorization: Bearer ...'")
    return token.strip()
