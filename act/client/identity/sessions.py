"""The tower's own tokens: JWTs that stand for a hand-over under way (pending) or for a session, and for nothing else.

Each is good for this tower's database only, has an end, and is looked up in a table, so that it can be revoked.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jwt

from act import keys
from act.client.identity.errors import Unauthorised
from act.db import meta
from act.db.engine import Database

Kind = Literal["pending", "session"]
ALGORITHM = "HS256"
MAX_TOKEN = 16_384
AGAIN = "hand over a proxy again ('act proxy' or 'actcli proxy')"
OTHERWISE = f"{AGAIN}, or come with a token of an issuer that is known here"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says. id: of the row it stands for."""

    kind: Kind
    id: str
    expires: float


class Signer:
    """Makes and reads the tower's tokens. The secret and the tower's name are read when first needed."""

    def __init__(self, secret_file: Path, db: Database) -> None:
        self._secret_file, self._db = secret_file, db
        self._lock = threading.Lock()
        self._known: tuple[bytes, str] | None = None

    def sign(self, kind: Kind, id: str, expires: float) -> str:
        """A token; always the same for the same row.

        It does not tell when it was made, as that is by the database's clock, which may be ahead of ours.
        """
        secret, tower = self._secret()
        claims = {"iss": tower, "aud": tower, "typ": kind, "jti": id, "exp": int(expires)}
        return jwt.encode(claims, secret, algorithm=ALGORITHM)

    def made_by(self, issuer: str) -> bool:
        """Whether this is what our tokens say that they are from."""
        return issuer == self._secret()[1]

    def read(self, token: str) -> Claims:
        """What a token of this tower says. Raises Unauthorised."""
        secret, tower = self._secret()
        required = ["exp", "iss", "aud", "jti", "typ"]
        try:
            claims = jwt.decode(
                token, secret, algorithms=[ALGORITHM], issuer=tower, audience=tower, options={"require": required}
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorised(f"Auth token is expired: {AGAIN}") from error
        except jwt.InvalidSignatureError as error:
            raise Unauthorised(f"Invalid token signature: {AGAIN}") from error
        except jwt.PyJWTError as error:
            raise Unauthorised(f"Invalid token ({error}): {AGAIN}") from error
        if claims["typ"] not in ("pending", "session"):
            raise Unauthorised(f"Invalid token: {AGAIN}")
        return Claims(claims["typ"], str(claims["jti"]), float(claims["exp"]))

    def _secret(self) -> tuple[bytes, str]:
        with self._lock:
            if self._known is None:
                identity = self._db.read("identity", meta.identity)
                self._known = (keys.load_secret(self._secret_file), f"act:{identity}")
            return self._known


def issuer_of(token: str) -> str:
    """Who a token says it is from, before anything of it is believed. Raises Unauthorised if it is no JWT."""
    if len(token) > MAX_TOKEN:
        raise Unauthorised(f"Invalid token: it is longer than {MAX_TOKEN} characters")
    try:
        return str(jwt.decode(token, options={"verify_signature": False}).get("iss", ""))
    except jwt.PyJWTError as error:
        raise Unauthorised(f"Invalid token ({error}): {OTHERWISE}") from error
