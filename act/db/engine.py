"""Connections and transactions, on MariaDB (production) and SQLite (embedded, one host).

All transactions go through `Database.run` (may write) or `Database.read`. Deadlocks, lost connections and rows that
another transaction made at the same moment are retried here and nowhere else, so nobody needs to guard an INSERT that
follows a look. A COMMIT that breaks off raises OutcomeUnknown, and whoever cares reads back.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, CursorResult, Engine, Row, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

from act import faults, metrics
from act.errors import ConfigError, DatabaseBusy, OutcomeUnknown

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
TRIES = 6
# deadlock, lock wait, server gone, lost connection, too many connections, read-only during failover
_MYSQL_CONFLICTS = {1213, 1205}
_MYSQL_TEMPORARY = {*_MYSQL_CONFLICTS, 2002, 2003, 2006, 2013, 2055, 1040, 1290, 1047, 1053, 1927, 1969}


class now(FunctionElement[float]):
    """The database's clock: seconds since the epoch as a double, the same all over one statement."""

    type = Double()
    inherit_cache = True
    name = "now_s"


NOW = now()


@compiles(now, "mysql", "mariadb")
def _now_mysql(element: now, compiler: Any, **kw: Any) -> str:
    return "(UNIX_TIMESTAMP(NOW(6)) + 0e0)"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def _code(error: Exception) -> Any:
    """The driver's number for what went wrong; SQLite's driver has words."""
    original = getattr(error, "orig", None)
    return original.args[0] if original is not None and original.args else None


def _temporary(error: DBAPIError) -> bool:
    """Whether running the transaction again can help."""
    locked = isinstance(error, OperationalError) and "locked" in str(_code(error))
    return error.connection_invalidated or _code(error) in _MYSQL_TEMPORARY or locked


def _cause(error: DBAPIError | PoolTimeout) -> str:
    """What keeps a transaction from going on, for people: another one, or the connection."""
    return "conflict" if _code(error) in _MYSQL_CONFLICTS or "locked" in str(_code(error)) else "connection"


class Database:
    """One database, shared by the threads of a process. Make it after forking.

    url: SQLAlchemy form. pool: how many connections at most. answer_s: how long a server may take for a statement.
    statements: how many were sent so far.
    """

    def __init__(self, url: str | URL, *, pool: int = 20, answer_s: int = 60) -> None:
        self.url = make_url(url)
        self.statements = 0
        self.engine = _engine(self.url, pool, answer_s)
        event.listen(self.engine, "before_cursor_execute", self._count)

    @property
    def embedded(self) -> bool:
        """True for SQLite."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """What to call it in front of people: the URL without its password."""
        return self.url.render_as_string(hide_password=True)

    def run(self, label: str, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction and commit; again if the database asked for it before COMMIT.

        work must have no effect but on the database. Raises DatabaseBusy when tries are used up, OutcomeUnknown
        when COMMIT broke off (read back then), and whatever work raises (after rolling back).
        """
        return self._retrying(lambda: self._once(label, work, write=True))

    def read(self, label: str, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one read-only transaction; see `run`."""
        return self._retrying(lambda: self._once(label, work, write=False))

    def snapshot(self, label: str, work: Callable[[Connection], T]) -> T:
        """Like `read`, but all that ``work`` reads is of the same moment."""
        return self._retrying(lambda: self._once(label, work, write=False, isolated=not self.embedded))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _retrying(self, attempt: Callable[[], T]) -> T:
        for n in range(TRIES):
            try:
                return attempt()
            except IntegrityError:
                # another transaction may have made the same row after we had looked: now it can be seen
                if n == TRIES - 1:
                    raise
                metrics.retried("conflict")
            except (DBAPIError, PoolTimeout) as error:
                if isinstance(error, DBAPIError) and not _temporary(error):
                    if isinstance(error, OperationalError):
                        raise DatabaseBusy(f"the database {self.name} refuses: {_told(error)}") from error
                    raise
                if n == TRIES - 1:
                    raise DatabaseBusy(f"the database {self.name} cannot be used, is it up? {_told(error)}") from error
                metrics.retried(_cause(error))
            time.sleep(random.uniform(0.5, 1.0) * 0.05 * 2**n)
        raise AssertionError("unreachable")

    def _once(self, label: str, work: Callable[[Connection], T], *, write: bool, isolated: bool = False) -> T:
        if write:
            faults.hit(f"tx.{label}", "before", DatabaseBusy)
        committed: list[Callable[[], None]] = []
        told = partial(metrics.transaction, label, "write" if write else "read")
        with metrics.timed(told), self.engine.connect() as connection:
            options = connection.execution_options(act_write=write, act_committed=committed)
            if isolated:  # on SQLite every transaction is
                options = options.execution_options(isolation_level="REPEATABLE READ")
            transaction = options.begin()
            try:
                result = work(options)
            except BaseException:
                with contextlib.suppress(DBAPIError):
                    transaction.rollback()
                raise
            self._commit(transaction)
        for do in committed:
            do()
        if write:
            faults.hit(f"tx.{label}", "after", OutcomeUnknown)
        return result

    @staticmethod
    def _commit(transaction: Any) -> None:
        try:
            transaction.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise OutcomeUnknown(f"the connection broke during COMMIT: {_told(error)}") from error
            raise

    def _count(self, *_: Any) -> None:
        self.statements += 1


def after_commit(connection: Connection, do: Callable[[], None]) -> None:
    """Do something once the transaction is over and in force, never if it is undone; for what is told to people."""
    connection.get_execution_options()["act_committed"].append(do)


def _told(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error)
    if text == "unable to open database file":  # SQLite
        return f"{text}: its directory is not there ('actctl init' makes it), or this account may not write to it"
    return text


def _engine(url: URL, pool: int, answer_s: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError("database: SQLite needs a file that all processes share, e.g. sqlite:///var/act.db")
        engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, pool_size=pool)
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    try:
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_size=pool,
            max_overflow=0,
            pool_recycle=1800,
            pool_timeout=30,
            connect_args={
                "connect_timeout": 10,
                "read_timeout": answer_s,
                "write_timeout": answer_s,
                "charset": "utf8mb4",
                "init_command": "SET time_zone='+00:00', sql_mode='TRADITIONAL', innodb_lock_wait_timeout=20",
            },
        )
    except ModuleNotFoundError as error:
        raise ConfigError(f"database: no driver for {url.drivername}: pip install 'act[mysql]'") from error


def _sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is sent by us, see _sqlite_begin
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could not be upgraded while another writes: lock at once.
    write = connection.get_execution_options().get("act_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def chunks(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """``items`` in lists of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def inserted_id(result: CursorResult[Any]) -> int:
    """The id that a single INSERT was given."""
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])
