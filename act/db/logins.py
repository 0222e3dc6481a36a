"""Who may look at the pages: links, each good once for some minutes, and the sessions that begin with one or a token.

Both are known by a code that only the browser has. What is kept is a digest of it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select

from act.db import moves
from act.db.engine import AnyRow
from act.db.meta import clock
from act.db.schema import meta

EVENTS = "login"  # kind of the events of sessions that operators have ended
_LINK, _SESSION = "login ", "session "


@dataclass(frozen=True, slots=True)
class Login:
    """Whom a link or a session lets in. operator: as the link says; issuer: of the credential that a session began
    with, None where it was a link."""

    name: str
    operator: bool
    issuer: str | None = None


def make(connection: Connection, name: str, *, operator: bool, for_s: float) -> str:
    """The code of a new link. Those that were never used and have run out are forgotten."""
    return _add(connection, _LINK, Login(name, operator), for_s)


def use(connection: Connection, code: str) -> Login | None:
    """Whom a link lets in, and it is good no more; None for one that is not good."""
    found = _find(connection, _LINK, code)
    return found if _drop(connection, _LINK, code) else None


def begin(connection: Connection, login: Login, *, for_s: float) -> str:
    """The code of a new session. Those that are over are forgotten."""
    return _add(connection, _SESSION, login, for_s)


def session(connection: Connection, code: str) -> Login | None:
    """Whose session it is; None for one that is over."""
    return _find(connection, _SESSION, code)


def end(connection: Connection, code: str) -> None:
    """End a session."""
    _drop(connection, _SESSION, code)


def end_all(connection: Connection, name: str | None, *, who: str) -> int:
    """End all sessions, or all of a name, and the links for them that nobody has used; how many sessions that were."""
    now = clock(connection)
    found = [(row, value) for row, value in _all(connection) if name is None or value["name"] == name]
    connection.execute(delete(meta).where(meta.c.name.in_([row.name for row, _ in found])))
    ended = len([row for row, value in found if row.name.startswith(_SESSION) and value["until"] >= now])
    whose = "all sessions" if name is None else f"all sessions of {name}"
    moves.note(connection, EVENTS, [(0, "", f"{whose} on the pages: {ended}")], who=who, event="logout")
    return ended


def _all(connection: Connection) -> Iterator[tuple[AnyRow, dict[str, Any]]]:
    """All links and sessions, locked."""
    ours = or_(*(meta.c.name.startswith(prefix, autoescape=True) for prefix in (_LINK, _SESSION)))
    for row in connection.execute(select(meta).where(ours).with_for_update()).all():
        yield row, json.loads(row.value)


def _add(connection: Connection, prefix: str, login: Login, for_s: float) -> str:
    now = clock(connection)
    if gone := [row.name for row, value in _all(connection) if value["until"] < now]:
        connection.execute(delete(meta).where(meta.c.name.in_(gone)))
    code = secrets.token_urlsafe(32)
    value = json.dumps({**asdict(login), "until": now + for_s})
    connection.execute(insert(meta).values(name=_key(prefix, code), value=value))
    return code


def _find(connection: Connection, prefix: str, code: str) -> Login | None:
    text = connection.execute(select(meta.c.value).where(meta.c.name == _key(prefix, code))).scalar()
    if text is None:
        return None
    value = json.loads(text)
    return Login(**value) if value.pop("until") >= clock(connection) else None


def _drop(connection: Connection, prefix: str, code: str) -> bool:
    """Whether it was there."""
    return connection.execute(delete(meta).where(meta.c.name == _key(prefix, code))).rowcount > 0


def _key(prefix: str, code: str) -> str:
    return prefix + hashlib.sha256(code.encode()).hexdigest()[:40]
