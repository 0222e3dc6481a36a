"""The hand-over of a proxy, in two stages: the tower makes a key and a request, the owner signs it with their proxy.

Until the signed proxy is there and proven, nothing of the owner's changes: not the credential, not their sessions.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from sqlalchemy import Connection

from act import keys, vomsdir, x509chain
from act.authorities import Authorities
from act.client.db import people as rows
from act.client.identity.caller import Caller, Proof, groups_of
from act.client.identity.errors import BadCredential, TooManyHandovers, Unauthorised
from act.client.identity.issuers import Visitor
from act.client.identity.sessions import AGAIN, Signer
from act.config import CoreConfig
from act.db.engine import AnyRow, Database
from act.errors import CredentialError, OutcomeUnknown
from act.x509 import make_request, slashed
from act.x509chain import Chain, Expired

PER_PERSON = 10
TOTAL = 1000
THREADS = 4  # one of so many threads of the web server may wait for a key
MAX_NAME = 500  # as the table has it
ROOM = 2  # proxies below the announced one: the tower's, and those it delegates to CEs


@dataclass(frozen=True, slots=True)
class Offer:
    """A hand-over that has begun. token: ends or abandons it, and is good for nothing else; request: the CSR in PEM."""

    token: str
    request: str
    expires: float


@dataclass(frozen=True, slots=True)
class _Proven:
    """A verified proxy and what follows from it. expires: of the proxy or of its attributes, whichever is sooner."""

    chain: Chain
    proof: Proof
    groups: frozenset[str]
    expires: float


class Handovers:
    """Begins and ends hand-overs. For many threads."""

    def __init__(self, config: CoreConfig, db: Database, signer: Signer) -> None:
        self._config, self._db, self._signer = config, db, signer
        self._authorities = Authorities(config.ca_dir)
        self._one_key = threading.Lock()
        self._places = threading.BoundedSemaphore(max(1, config.web.threads // THREADS))

    def offer(self, cert: str, chain: str, visitor: Visitor | None) -> Offer:
        """See `Gate.offer`."""
        announced = _load(cert, "Missing issuer certificate: send your proxy, without its key")
        announced += _load(
            chain, "Missing certificate chain: send the certificates below the proxy", len(announced) < 2
        )
        proven = self._prove(announced, "Issuer cert is not a valid proxy", ROOM, visitor)
        key, request = self._make_request(announced[0].subject)
        values = {
            "id": secrets.token_hex(16),
            "person": rows.digest(proven.chain.issuer, proven.chain.subject),
            "visitor": _as_json(visitor),
            "sealed_key": keys.seal(key, self._config.proxies.key_file),
            "announced": proven.chain.pem.decode(),
        }
        life_s = self._config.web.handover_s
        row = self._db.run(
            "handover", lambda c: rows.begin_handover(c, values, life_s, per_person=PER_PERSON, total=TOTAL)
        )
        if row is None:
            raise TooManyHandovers("so many people hand over proxies that no more can begin: try again in some minutes")
        return Offer(self._signer.sign("pending", row.id, row.expires), request.decode(), row.expires)

    def accept(self, id: str, cert: str) -> tuple[str, Caller]:
        """See `Gate.accept`. id: of the hand-over."""
        new = _load(cert, "No signed certificate: send the request of this hand-over, signed with your proxy")
        row = self._db.read("handover", lambda c: rows.handover(c, id))
        if row is None:
            raise Unauthorised(f"Auth token is expired: its hand-over is over, or made room for newer ones; {AGAIN}")
        digest = hashlib.sha256(new[0].public_bytes(Encoding.DER)).hexdigest()
        if row.taken is None:
            self._take(row, new[0], digest)
            row = self._db.read("handover", lambda c: rows.handover(c, id))
        if row is None or row.taken != digest:
            raise BadCredential("this hand-over has ended with another certificate: begin a new one")
        return self._answer(row.session)

    def _answer(self, session: str) -> tuple[str, Caller]:
        """The same for all who ask again: clients send their request once more when the connection breaks."""
        row = self._db.read("session", lambda c: rows.session(c, session))
        if row is None:
            raise Unauthorised(f"Auth token is expired: its session has ended; {AGAIN}")
        return self._signer.sign("session", row.id, row.expires), self.caller_of(row)

    def caller_of(self, row: AnyRow) -> Caller:
        """Who a session is of. Raises Forbidden."""
        groups = groups_of(self._config.users, Proof.of_json(row.issuer, row.subject, row.proof))
        return Caller(row.user_id, row.issuer, row.subject, groups, row.proxy_id, row.expires, row.id)

    def _take(self, row: AnyRow, new: x509.Certificate, digest: str) -> None:
        """Prove the new proxy; then, in one transaction, it is stored and its session begins."""
        announced = x509.load_pem_x509_certificates(row.announced.encode())
        key = keys.unseal(row.sealed_key, self._config.proxies.key_file)
        _check_signer(new, announced[0])
        visitor = _of_json(row.visitor)
        proven = self._prove([new, *announced], "cert is not a valid proxy", ROOM - 1, visitor)
        if load_pem_private_key(key, None).public_key() != new.public_key():
            raise BadCredential(f"cert is not a valid proxy: it is not for the key of this hand-over; {AGAIN}")
        pem = new.public_bytes(Encoding.PEM) + key + row.announced.encode()
        sealed = keys.seal(pem, self._config.proxies.key_file)

        def work(connection: Connection) -> None:
            again = rows.handover(connection, row.id, lock=True)
            if again is not None and again.taken is None:
                self._write(connection, row.id, digest, sealed, proven, visitor)

        try:
            self._db.run("accept", work)
        except OutcomeUnknown:
            if getattr(self._db.read("handover", lambda c: rows.handover(c, row.id)), "taken", None) is None:
                raise

    def _write(
        self, connection: Connection, id: str, digest: str, sealed: bytes, proven: _Proven, visitor: Visitor | None
    ) -> None:
        proof, session = proven.proof, secrets.token_hex(16)
        ends = [proven.expires, time.time() + self._config.web.session_h * 3600]
        if visitor is not None:
            ends.append(visitor.expires)
        user_id = rows.ensure_user(connection, proof.issuer, proof.subject)
        subject, fqans = proven.chain.subject, proof.fqans
        proxy_id = rows.keep_credential(connection, user_id, subject, sealed, proven.expires, fqans)
        rows.begin_session(connection, session, user_id, proxy_id, proof.as_json(), min(ends))
        rows.end_handover(connection, id, digest, session)

    def _prove(self, certificates: list[x509.Certificate], wrong: str, room: int, visitor: Visitor | None) -> _Proven:
        """Verify a proxy and its attributes; ``room`` further proxies must be possible."""
        now = time.time()
        try:
            chain = x509chain.verify(certificates, self._authorities, now)
        except Expired as error:
            raise BadCredential(f"Given certificate is expired: {error}") from error
        except CredentialError as error:
            raise BadCredential(f"{wrong}: {error}") from error
        if len(chain.certificates) < 2:
            raise BadCredential(f"{wrong}: {chain.subject} is no proxy; make one (voms-proxy-init, arcproxy)")
        if chain.room is not None and chain.room < room:
            raise BadCredential(f"{wrong}: it lets too few proxies be made below it (path length); make another one")
        if len(chain.issuer) > MAX_NAME or len(chain.subject) > MAX_NAME:
            raise BadCredential(f"{wrong}: its owner's name is longer than {MAX_NAME} characters")
        proven = self._judge(chain, now, visitor)
        left_s = proven.expires - now
        if left_s < self._config.users.proxy_min_s:
            raise BadCredential(
                f"Given certificate is expired, or nearly so: it, or its attributes, have {left_s / 60:.0f} min left, "
                f"and {self._config.users.proxy_min_s / 60:.0f} are needed; make a new proxy"
            )
        return proven

    def _judge(self, chain: Chain, now: float, visitor: Visitor | None) -> _Proven:
        """What the owner of a verified proxy may do. Raises Forbidden."""
        rights = vomsdir.believed(chain, self._config.users.voms_dir, self._authorities, now)
        if visitor is None:
            proof = Proof(chain.issuer, chain.subject, fqans=rights.fqans)
        else:
            known = visitor.proof
            proof = Proof(known.issuer, known.subject, True, rights.fqans, known.token_groups)
        groups = groups_of(self._config.users, proof, rights.doubts)
        return _Proven(chain, proof, groups, min([chain.expires, *(a.expires for a in rights.attributes)]))

    def _make_request(self, subject: x509.Name) -> tuple[bytes, bytes]:
        """Keys take some tenths of a second of a core: who begins hand-overs all the time must not keep others waiting.

        One is made at a time, and few may wait for theirs.
        """
        if not self._places.acquire(blocking=False):
            raise TooManyHandovers("very many people hand over proxies just now: try again in some seconds")
        try:
            with self._one_key:
                return make_request(subject)
        finally:
            self._places.release()


def _check_signer(new: x509.Certificate, announced: x509.Certificate) -> None:
    """The new proxy must be by the announced one: act-client signs with the proxy at its usual place, whatever its
    configuration says."""
    if new.issuer == announced.subject:
        return
    raise BadCredential(
        f"cert is not a valid proxy: it was signed by {slashed(new.issuer)}, but {slashed(announced.subject)} was "
        "announced. act-client signs with /tmp/x509up_u<your uid>: have your proxy there, without 'proxy:' in its "
        "configuration, and run 'act proxy' again"
    )


def _load(pem: str, missing: str, needed: bool = True) -> list[x509.Certificate]:
    if not pem.strip():
        if needed:
            raise BadCredential(missing)
        return []
    try:
        return x509chain.load(pem.encode("ascii", "replace"))
    except CredentialError as error:
        raise BadCredential(f"{missing.partition(':')[0]}: what came cannot be used, {error}") from error


def _as_json(visitor: Visitor | None) -> dict[str, Any]:
    if visitor is None:
        return {}
    proof = visitor.proof
    return {"issuer": proof.issuer, "subject": proof.subject, "proof": proof.as_json(), "expires": visitor.expires}


def _of_json(data: dict[str, Any]) -> Visitor | None:
    if not data:
        return None
    return Visitor(Proof.of_json(data["issuer"], data["subject"], data["proof"]), data["expires"])
