"""A node whose steps are run one by one, for every test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_node.node import Node
from tests.support.detectors import ball_repository
from tests.support.series import Ball, a_chest_series
from tests.support.steps import PACS, Clock, opened_node


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT with one nodule."""
    return a_chest_series(tmp_path_factory.mktemp("ct"), slices=40, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])


@pytest.fixture(scope="module")
def small_chest(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same with half as many slices, for tests that care for what happens around the analysis."""
    ball = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
    return a_chest_series(tmp_path_factory.mktemp("small"), slices=20, spacing_mm=5.0, balls=[ball])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose detector finds balls."""
    return ball_repository(tmp_path_factory.mktemp("models"))


@pytest.fixture
def clock() -> Clock:
    """The clock of the node."""
    return Clock()


@pytest.fixture
def node(models: Path, tmp_path: Path, clock: Clock) -> Iterator[Node]:
    """A node on SQLite whose only destination takes everything."""
    with opened_node(f"sqlite:///{tmp_path / 'database.sqlite'}", models, tmp_path, clock, PACS) as opened:
        yield opened


@pytest.fixture
def any_node(database_url: str, models: Path, tmp_path: Path, clock: Clock) -> Iterator[Node]:
    """The same once on every database, for what databases might do differently."""
    with opened_node(database_url, models, tmp_path, clock, PACS) as opened:
        yield opened
