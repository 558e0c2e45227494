"""Opening the database and running one short transaction at a time.

SQLite runs in WAL mode with `synchronous=FULL`; transactions take the write lock at once, so that two writers queue up
instead of failing. How PostgreSQL is spoken to is in `archive.postgresql`. All errors of the database leave here as
DatabaseUnavailable; the next transaction gets a new connection if the one before it was lost.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pacs_node.archive import postgresql
from pacs_node.errors import DatabaseLocked, DatabaseReadOnly, DatabaseUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
PATIENCE_S = 15.0
"""How long a transaction waits for another one."""

_LOCKED = {"55P03", "57014", "40P01", sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_READ_ONLY = {postgresql.READ_ONLY, sqlite3.SQLITE_READONLY}


class Database:
    """A pool of connections to one database.

    Parameters
    ----------
    url : of SQLAlchemy; SQLite and PostgreSQL are supported
    patience_s : how long a transaction waits for another one; a server that says nothing is given up after three times
        as long
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        self._url = sa.make_url(url)
        self._patience_s = patience_s
        self._engine = self._sqlite() if self._url.get_backend_name() == "sqlite" else self._postgresql()

    def _sqlite(self, foreign_keys: str = "ON") -> sa.Engine:
        Path(self._url.database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(self._url, connect_args={"timeout": self._patience_s})
        prepare = partial(_prepare_sqlite, patience_s=self._patience_s, foreign_keys=foreign_keys)
        sa.event.listen(engine, "connect", lambda connection, record: prepare(connection))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine

    def _postgresql(self) -> sa.Engine:
        parameters = postgresql.parameters(self._url.query, self._patience_s)
        engine = sa.create_engine(self._url, pool_pre_ping=True, connect_args=parameters)
        sa.event.listen(engine, "do_connect", self._connected)
        sa.event.listen(engine, "handle_error", _forget_a_server_that_only_reads)
        return engine

    def _connected(self, dialect: Any, record: Any, arguments: Any, parameters: Any) -> postgresql.Connection:
        connection = postgresql.Connection.connect(*arguments, **parameters)
        connection.limit_s = 3 * self._patience_s
        return connection

    def migrate(self) -> None:
        """Bring the schema up to date; several processes may do so at once.

        Raises
        ------
        DatabaseUnavailable
        """
        settings = AlembicConfig()
        settings.set_main_option("script_location", str(MIGRATIONS))
        is_sqlite = self._url.get_backend_name() == "sqlite"
        # Alembic changes a table of SQLite by a copy; to drop the old one would delete, by cascade, what refers to it.
        engine = self._sqlite(foreign_keys="OFF") if is_sqlite else self._engine
        with _transaction(engine) as tx:
            if not is_sqlite:
                _let_take_its_time(tx)
                tx.exec_driver_sql("SELECT pg_advisory_xact_lock(7041)")
            settings.attributes["connection"] = tx
            command.upgrade(settings, "head")
        engine.dispose()  # of the connection that may take its time

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction: commits at the end, rolls back on any error.

        Raises
        ------
        DatabaseUnavailable : the database is down or refuses
        DatabaseLocked, DatabaseReadOnly : these are
        """
        with _transaction(self._engine) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; also called in a child after a fork."""
        self._engine.dispose()


@contextmanager
def _transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise _kind(error) from error
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"the database failed: {type(error).__name__}") from error


def _kind(error: DBAPIError) -> DatabaseUnavailable:
    cause = error.orig
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in _LOCKED:
        return DatabaseLocked()
    if code in _READ_ONLY or "session is read-only" in str(cause):
        return DatabaseReadOnly()
    return DatabaseUnavailable()


def _forget_a_server_that_only_reads(context: sa.ExceptionContext) -> None:
    """Its connections work, and would be used for ever."""
    if getattr(context.original_exception, "sqlstate", None) == postgresql.READ_ONLY:
        context.is_disconnect = True


def _let_take_its_time(tx: sa.Connection) -> None:
    """Lift the limits: a large table may take long to change, and others wait for it."""
    connection = tx.connection.driver_connection
    assert isinstance(connection, postgresql.Connection)
    connection.limit_s = None
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        tx.exec_driver_sql(f"SET LOCAL {name} = 0")


def _prepare_sqlite(connection: Any, patience_s: float, foreign_keys: str) -> None:
    connection.isolation_level = None
    _use_wal(connection, time.monotonic() + patience_s)
    for pragma in ("synchronous=FULL", f"foreign_keys={foreign_keys}"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: Any, until: float) -> None:
    """Switch a new database to WAL; SQLite does not wait for others that switch it at the same time, so this does."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
