"""Login links: each is good once, for some minutes. Only a digest of its code is kept."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from act.db.meta import clock
from act.db.schema import meta

_PREFIX = "login "


@dataclass(frozen=True, slots=True)
class Login:
    """Whom a link lets in."""

    name: str
    operator: bool


def make(connection: Connection, name: str, *, operator: bool, for_s: float) -> str:
    """The code of a new link. Those that were never used and have run out are forgotten."""
    now = clock(connection)
    old = connection.execute(select(meta).where(meta.c.name.startswith(_PREFIX, autoescape=True)).with_for_update())
    if gone := [row.name for row in old if json.loads(row.value)["until"] < now]:
        connection.execute(delete(meta).where(meta.c.name.in_(gone)))
    code = secrets.token_urlsafe(32)
    value = json.dumps({"name": name, "operator": operator, "until": now + for_s})
    connection.execute(insert(meta).values(name=_key(code), value=value))
    return code


def use(connection: Connection, code: str) -> Login | None:
    """Whom a code lets in, and it is good no more; None for one that is not good."""
    value = connection.execute(select(meta.c.value).where(meta.c.name == _key(code))).scalar()
    if value is None or connection.execute(delete(meta).where(meta.c.name == _key(code))).rowcount == 0:
        return None
    found = json.loads(value)
    return Login(found["name"], found["operator"]) if found["until"] >= clock(connection) else None


def _key(code: str) -> str:
    return _PREFIX + hashlib.sha256(code.encode()).hexdigest()[:40]
