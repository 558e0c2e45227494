"""The migrations make exactly the tables that the code uses, whoever runs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from pacs_node.archive.session import MIGRATIONS, Database
from pacs_node.archive.tables import metadata
from pacs_node.errors import DatabaseUnavailable
from tests.support.archive import migrated


def test_the_migrations_make_exactly_the_tables_of_the_code(database_url: str) -> None:
    with migrated(database_url) as database, database.transaction() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    with migrated(database_url) as database:
        database.migrate()


def test_a_database_of_the_first_release_keeps_every_row(database_url: str) -> None:
    """One row in each table that refers to the others by 1; to drop a table must not delete what refers to it."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        tables = _made_by(connection, "0001")
        for table in tables:
            connection.execute(sa.insert(table).values({column.name: _filling(column) for column in table.columns}))
    engine.dispose()
    with migrated(database_url) as database, database.transaction() as tx:
        counts = {table.name: tx.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables}
    assert counts == dict.fromkeys(counts, 1)
    assert len(counts) > 5


def test_the_hash_of_an_instance_is_marked_with_what_it_was_made_by(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        for table in _made_by(connection, "0007"):
            connection.execute(sa.insert(table).values({column.name: _filling(column) for column in table.columns}))
        connection.execute(text("UPDATE instance SET sha256 = :digits"), {"digits": "ab" * 32})
    engine.dispose()
    with migrated(database_url) as database, database.transaction() as tx:
        assert tx.scalars(text("SELECT content_hash FROM instance")).all() == ["sha256:" + "ab" * 32]


def _made_by(connection: sa.Connection, revision: str) -> list[sa.Table]:
    """The tables of an older release, those first to which others refer."""
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    settings.attributes["connection"] = connection
    command.upgrade(settings, revision)
    found = sa.MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def _filling(column: sa.Column[Any]) -> object:
    kinds = {sa.JSON: [], sa.DateTime: datetime(2026, 1, 1), sa.String: "x"}
    return next((value for kind, value in kinds.items() if isinstance(column.type, kind)), 1)


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(len(databases)) as pool:
        for migration in [pool.submit(database.migrate) for database in databases]:
            migration.result(timeout=60)
    with databases[0].transaction() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []
    for database in databases:
        database.close()


def test_a_transaction_that_fails_leaves_nothing_behind(database_url: str) -> None:
    with migrated(database_url) as database:
        with pytest.raises(ZeroDivisionError), database.transaction() as tx:
            tx.execute(text("CREATE TABLE left_behind (id INTEGER)"))
            raise ZeroDivisionError
        with database.transaction() as tx:
            assert compare_metadata(MigrationContext.configure(tx), metadata) == []


def test_every_failure_of_the_database_leaves_as_one_error(database_url: str) -> None:
    with migrated(database_url) as database:
        with pytest.raises(DatabaseUnavailable) as caught, database.transaction() as tx:
            tx.execute(text("SELECT * FROM nowhere"))
        assert caught.value.retryable


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing?connect_timeout=2")
    with pytest.raises(DatabaseUnavailable), database.transaction():
        pytest.fail("there is no server")


def test_sqlite_syncs_every_commit_to_disk(tmp_path: object) -> None:
    with migrated(f"sqlite:///{tmp_path}/d.sqlite") as database, database.transaction() as tx:
        pragmas = {name: tx.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
