"""An issuer of bearer tokens that exists as a key only, and what CEs must know of it."""

import base64
import json
import sqlite3
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.grid.pki import CA_LIFETIME, key_pem, write

TOKEN_ISSUER = "https://tokens.grid.test"


def make_token_issuer(certs: Path) -> None:
    """An issuer of bearer tokens that exists as a key only."""
    key = rsa.generate_private_key(65537, 2048)
    numbers = {name: base64url(getattr(key.public_key().public_numbers(), name)) for name in "ne"}
    web_key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "grid", **numbers}
    metadata = {"issuer": TOKEN_ISSUER, "jwks_uri": TOKEN_ISSUER + "/jwks", "token_endpoint": TOKEN_ISSUER + "/token"}
    issuer = certs / "tokenissuer"
    for name, text in (("issuer", TOKEN_ISSUER), ("metadata", json.dumps(metadata))):
        write(issuer / name, text.encode(), 0o644)
    write(issuer / "keys", json.dumps({"keys": [web_key]}).encode(), 0o644)
    write(certs / "token-key.pem", key_pem(key), 0o600)


def make_key_cache(issuer: Path) -> None:
    """The issuer's keys as if the SciTokens library had just fetched them, good for years; it then asks nobody."""
    path = issuer / "scitokens_cpp.sqllite"
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    lasting = int(time.time() + CA_LIFETIME.total_seconds())
    keys = {"jwks": json.loads((issuer / "keys").read_text()), "expires": lasting, "next_update": lasting}
    database = sqlite3.connect(temporary)
    with database:
        database.execute("CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)")
        database.execute("INSERT INTO keycache VALUES (?, ?)", (TOKEN_ISSUER, json.dumps(keys)))
    database.close()
    temporary.replace(path)


def base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
