"""The same study on every broker and both databases ends with exactly one SEG and one SR at the PACS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from pacs_node.archive.queries.machine import DELIVERIES, JOBS
from tests.support.nodes import eventually, running_node, small_pacs
from tests.support.series import Ball, a_chest_series
from tests.support.services import postgresql_database, rabbitmq_host, redis_database

Opened = Callable[[], AbstractContextManager[str]]


@contextmanager
def _embedded() -> Iterator[str]:
    """What the node uses by itself where its configuration names nothing."""
    yield ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "broker"),
    [
        pytest.param(_embedded, _embedded, id="SQLite and filesystem"),
        pytest.param(postgresql_database, rabbitmq_host, id="PostgreSQL and RabbitMQ", marks=pytest.mark.services),
        pytest.param(postgresql_database, redis_database, id="PostgreSQL and Redis", marks=pytest.mark.services),
    ],
)
def test_a_study_ends_with_one_seg_and_one_sr_at_the_pacs(database: Opened, broker: Opened, tmp_path: Path) -> None:
    chest = a_chest_series(tmp_path / "ct", slices=40, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])
    with database() as database_url, broker() as broker_url, small_pacs(tmp_path / "pacs") as pacs:
        settings = f'[database]\nurl = "{database_url}"\n\n[queue]\nbroker_url = "{broker_url}"'
        with running_node(tmp_path / "node", settings=settings, destinations=[pacs.destination]) as node:
            node.send(chest)
            eventually(lambda: node.states(DELIVERIES) == {"delivered": 1}, timeout_s=120)
            assert node.states(JOBS) == {"done": 1}

    received = [dcmread(path).SOPClassUID for path in pacs.folder.glob("*.dcm")]
    assert sorted(received) == sorted([SegmentationStorage, Comprehensive3DSRStorage])
