"""Promise 12: a database that is away, cut off or stalled costs neither an acknowledgement nor a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pacs_node.archive.queries import studies
from pacs_node.archive.session import Database
from pacs_node.dimse import scu
from tests.support.nodes import eventually
from tests.support.proxy import Link, proxy
from tests.support.series import a_chest_series
from tests.support.services import postgresql_database
from tests.support.serving import ServingNode, serving_node

pytestmark = pytest.mark.services


@pytest.fixture
def url() -> Iterator[sa.URL]:
    with postgresql_database() as text:
        yield sa.make_url(text)


@pytest.fixture
def link() -> Iterator[Link]:
    with proxy("127.0.0.1", 5432) as opened:
        yield opened


@pytest.fixture
def index(url: sa.URL) -> Iterator[Database]:
    """The same database, looked at directly."""
    opened = Database(_text(url))
    yield opened
    opened.close()


def test_a_node_waits_for_its_database_at_the_start_and_acknowledges_without_it_later(
    tmp_path: Path, url: sa.URL, link: Link, index: Database
) -> None:
    cts = [a_chest_series(tmp_path / study, slices=40, study=study) for study in ("there", "cut", "stalled")]
    settings = f'[database]\nurl = "{_text(url.set(host="127.0.0.1", port=link.port))}"'
    link.cut()
    with serving_node(tmp_path, settings=settings, meanwhile=lambda node: _waits(node, link)) as node:
        _send(node, cts[0])
        eventually(lambda: _indexed(index) == 40)

        link.cut()
        _send(node, cts[1])
        eventually(lambda: node.events("receipts_wait"))
        eventually(lambda: node.events("sweep_failed"))
        link.mend()
        eventually(lambda: _indexed(index) == 80)

        link.stall()
        _send(node, cts[2])
        assert _indexed(index) == 80
        link.mend()
        eventually(lambda: _indexed(index) == 120)
        assert len(node.stored()) == 120


def _send(node: ServingNode, ct: list[Path]) -> None:
    """As a scanner would; raises unless every instance is acknowledged."""
    scu.store(node.peer, ct, calling_ae_title="CT1")


def _waits(node: ServingNode, link: Link) -> None:
    """Until the node has said so; then the database comes."""
    eventually(lambda: node.events("database_awaited"))
    link.mend()


def _indexed(database: Database) -> int:
    with database.transaction() as tx:
        return studies.count_instances(tx)


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)
