"""People hand their proxies over, as clients do it; and what the tower has of it then."""

from __future__ import annotations

from typing import Any

import jwt
from sqlalchemy import func, select

from act.client.identity import Caller, Gate
from act.db.engine import AnyRow, Database
from act.db.schema import proxies
from tests.people import Proxy


def bearer(token: str) -> str:
    """The header of a request with this token."""
    return f"Bearer {token}"


def claims_of(token: str) -> dict[str, Any]:
    """What it says, whoever signed it."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def hand_over(gate: Gate, proxy: Proxy, authorization: str | None = None) -> tuple[str, Caller]:
    """Both stages: the token of a session, and whose it is. authorization: as of `Gate.offer`."""
    offer = gate.offer(proxy.cert, proxy.chain, authorization)
    return gate.accept(offer.token, proxy.sign(offer.request), f"{proxy.cert}{proxy.chain}")


def stored(database: Database) -> list[AnyRow]:
    """The credentials that are kept."""
    return list(database.read("test", lambda c: c.execute(select(proxies)).all()))


def count(database: Database, table: Any) -> int:
    """How many rows a table has."""
    return int(database.read("test", lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))
