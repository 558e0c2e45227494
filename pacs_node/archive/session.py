"""Opening the database and running one short transaction at a time.

SQLite runs in WAL mode with `synchronous=FULL`; transactions take the write lock at once, so that two writers queue up
instead of failing. All errors of the database leave here as DatabaseUnavailable.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pacs_node.errors import DatabaseUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 15
"""How long a transaction waits for another one of SQLite."""


class Database:
    """A pool of connections to one database.

    Parameters
    ----------
    url : of SQLAlchemy; SQLite and PostgreSQL are supported
    """

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        if self._url.get_backend_name() == "sqlite":
            Path(self._url.database or "").parent.mkdir(parents=True, exist_ok=True)
            self._engine = sa.create_engine(self._url, connect_args={"timeout": BUSY_S})
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        else:
            self._engine = sa.create_engine(self._url, pool_pre_ping=True)

    def migrate(self) -> None:
        """Bring the schema up to date; several processes may do so at once.

        Raises
        ------
        DatabaseUnavailable
        """
        settings = AlembicConfig()
        settings.set_main_option("script_location", str(MIGRATIONS))
        with self.transaction() as tx:
            if tx.dialect.name == "postgresql":
                tx.exec_driver_sql("SELECT pg_advisory_xact_lock(7041)")
            settings.attributes["connection"] = tx
            command.upgrade(settings, "head")

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction: commits at the end, rolls back on any error.

        Raises
        ------
        DatabaseUnavailable : the database is down, locked or refuses
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise DatabaseUnavailable from error
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"the database failed: {type(error).__name__}") from error

    def close(self) -> None:
        """Close all connections; also called in a child after a fork."""
        self._engine.dispose()


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    _use_wal(connection, time.monotonic() + BUSY_S)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
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
