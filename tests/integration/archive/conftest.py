from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacs_node.archive.session import Database
from tests.support.archive import migrated


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database with the schema of today, on SQLite and on PostgreSQL."""
    with migrated(database_url) as database:
        yield database
