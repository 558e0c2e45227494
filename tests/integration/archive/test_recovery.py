"""A database that is locked, cut off, stalled or read-only says so, holds up nobody for long, and is found again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pacs_node.archive.session import Database
from pacs_node.errors import DatabaseLocked, DatabaseReadOnly, DatabaseUnavailable
from tests.support.proxy import Link, proxy
from tests.support.services import postgresql_database

PATIENCE_S = 0.5


@pytest.fixture
def server() -> Iterator[sa.URL]:
    """A database of PostgreSQL with a table of numbers."""
    with postgresql_database() as url:
        engine = sa.create_engine(url)
        with engine.begin() as tx:
            tx.exec_driver_sql("CREATE TABLE number (n INTEGER)")
        engine.dispose()
        yield sa.make_url(url)


@pytest.fixture
def link(server: sa.URL) -> Iterator[Link]:
    """The way of the node to it."""
    with proxy("127.0.0.1", 5432) as opened:
        yield opened


@pytest.fixture
def database(server: sa.URL, link: Link) -> Iterator[Database]:
    """It as the node opens it; a connection is in the pool."""
    opened = Database(_text(server.set(host="127.0.0.1", port=link.port)), patience_s=PATIENCE_S)
    add(opened, 1)
    yield opened
    opened.close()


def add(database: Database, number: int) -> None:
    with database.transaction() as tx:
        tx.execute(sa.text("INSERT INTO number VALUES (:n)"), {"n": number})


def numbers(database: Database) -> list[int]:
    with database.transaction() as tx:
        return list(tx.scalars(sa.text("SELECT n FROM number ORDER BY n")))


def test_sqlite_that_another_process_has_locked_says_so_until_it_is_free(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'd.sqlite'}", patience_s=PATIENCE_S)
    with database.transaction() as tx:
        tx.exec_driver_sql("CREATE TABLE number (n INTEGER)")
    other = sqlite3.connect(tmp_path / "d.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseLocked):
        add(database, 1)
    other.execute("COMMIT")
    other.close()
    add(database, 2)
    assert numbers(database) == [2]
    database.close()


@pytest.mark.services
def test_a_table_that_another_transaction_has_locked_says_so_until_it_is_free(
    server: sa.URL, database: Database
) -> None:
    other = sa.create_engine(server)
    with other.begin() as tx:
        tx.exec_driver_sql("LOCK TABLE number")
        with pytest.raises(DatabaseLocked):
            add(database, 2)
    other.dispose()
    add(database, 3)
    assert numbers(database) == [1, 3]


@pytest.mark.services
def test_a_statement_that_takes_too_long_is_given_up(database: Database) -> None:
    with pytest.raises(DatabaseLocked), database.transaction() as tx:
        tx.exec_driver_sql("SELECT pg_sleep(600)")


@pytest.mark.services
def test_a_schema_may_take_longer_to_change_than_a_statement_may(server: sa.URL) -> None:
    database = Database(_text(server), patience_s=0.3)
    other = sa.create_engine(server).connect()
    other.exec_driver_sql("SELECT pg_advisory_lock(7041)")  # as a node that changes it now
    release = threading.Timer(0.7, other.invalidate)
    release.start()
    database.migrate()
    with database.transaction() as tx:
        assert tx.exec_driver_sql("SHOW statement_timeout").scalar() == "600ms"
    database.close()
    release.join()
    other.engine.dispose()


@pytest.mark.services
def test_a_server_that_was_cut_off_is_found_again(link: Link, database: Database) -> None:
    link.cut()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            add(database, 2)
    link.mend()
    add(database, 3)
    assert numbers(database) == [1, 3]


@pytest.mark.services
def test_a_transaction_that_is_cut_off_leaves_nothing(link: Link, database: Database) -> None:
    with pytest.raises(DatabaseUnavailable), database.transaction() as tx:
        tx.exec_driver_sql("INSERT INTO number VALUES (2)")
        link.cut()
        tx.exec_driver_sql("INSERT INTO number VALUES (3)")
    link.mend()
    assert numbers(database) == [1]


@pytest.mark.services
def test_a_server_that_says_nothing_is_given_up_and_found_again(link: Link, database: Database) -> None:
    with pytest.raises(DatabaseUnavailable), database.transaction() as tx:
        link.stall()
        tx.exec_driver_sql("INSERT INTO number VALUES (2)")
    link.mend()
    add(database, 3)
    assert numbers(database) == [1, 3]


@pytest.mark.services
def test_a_connection_that_says_nothing_when_it_is_taken_is_given_up_too(link: Link, server: sa.URL) -> None:
    url = server.set(host="127.0.0.1", port=link.port).update_query_dict({"connect_timeout": "2"})
    database = Database(_text(url), patience_s=PATIENCE_S)
    add(database, 1)
    link.stall()
    with pytest.raises(DatabaseUnavailable):
        add(database, 2)
    link.mend()
    add(database, 3)
    assert numbers(database) == [1, 3]
    database.close()


@pytest.mark.services
def test_a_server_that_only_reads_is_left_for_one_that_writes(database: Database) -> None:
    with database.transaction() as tx:
        tx.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    assert numbers(database) == [1]
    with pytest.raises(DatabaseReadOnly):
        add(database, 2)
    add(database, 3)  # over another connection
    assert numbers(database) == [1, 3]


@pytest.mark.services
def test_a_server_that_only_reads_is_not_taken(server: sa.URL, link: Link, database: Database) -> None:
    administrator = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with administrator.connect() as tx:
        tx.exec_driver_sql(f'ALTER DATABASE "{server.database}" SET default_transaction_read_only = on')
        link.cut()
        link.mend()
        with pytest.raises(DatabaseReadOnly):
            numbers(database)
        tx.exec_driver_sql("SET default_transaction_read_only = off")
        tx.exec_driver_sql(f'ALTER DATABASE "{server.database}" RESET default_transaction_read_only')
    administrator.dispose()
    add(database, 2)
    assert numbers(database) == [1, 2]


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)
