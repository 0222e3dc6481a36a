"""The tables of people: who they are, the credentials they left, hand-overs under way, and their sessions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, ForeignKey, Index, String, Table

from act.db.schema import BigId, LongBinary, LongText, metadata, proxies

users = Table(
    "users",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("issuer", String(500), nullable=False),  # the CA's name in slash form, or a token's iss
    Column("subject", String(500), nullable=False),  # of the end-entity certificate in slash form, or a token's sub
    Column("digest", String(64), nullable=False, unique=True),  # of both: names are too long for an index
    Column("created", Double, nullable=False),
    Column("seen", Double, nullable=False),
    sqlite_autoincrement=True,
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

usercredentials = Table(
    "usercredentials",
    metadata,
    Column("proxy_id", BigId, ForeignKey(proxies.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", BigId, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("fqan", String(500), nullable=False),  # the first; "" for a plain proxy
    Index(None, "user_id"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

handovers = Table(
    "handovers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(64), nullable=False),  # digest of who it is for, perhaps not yet a user
    Column("visitor", JSON, nullable=False),  # whose credential it becomes, if it began with an issuer's token
    Column("sealed_key", LongBinary, nullable=False),
    Column("announced", LongText, nullable=False),  # the certificate that is to sign, and its chain; PEM
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("taken", String(64)),  # digest of the certificate that ended it
    Column("session", String(32)),  # that began then
    Index(None, "person", "created"),
    Index(None, "expires"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", BigId, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("proxy_id", BigId, ForeignKey(proxies.c.id, ondelete="CASCADE"), nullable=False),
    Column("proof", JSON, nullable=False),  # what its groups are found by
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("revoked", Double),
    Index(None, "user_id"),
    Index(None, "expires"),
    Index(None, "proxy_id"),  # for the foreign key
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)
