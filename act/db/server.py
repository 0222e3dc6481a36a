"""What a database server says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text


@dataclass(frozen=True)
class Server:
    """version: as it tells it. isolation: of our connections. max_connections: None if there is no limit."""

    version: str
    isolation: str
    max_connections: int | None


def read(connection: Connection) -> Server:
    """Ask it."""
    if connection.dialect.name == "sqlite":
        version = connection.execute(select(func.sqlite_version())).scalar_one()
        return Server(str(version), "SERIALIZABLE", None)
    version, most = connection.execute(text("SELECT VERSION(), @@max_connections")).one()
    return Server(str(version), str(connection.get_isolation_level()), int(most))
