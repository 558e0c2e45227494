"""What every test stands on: a strict log, a clean environment, few threads, and the databases and brokers to run on.

A service that is absent skips its tests. With PULMONODE_REQUIRE_SERVICES=1 (CI) such a skip is a failure; only tests
of real data may then be skipped, and only where there is none.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pacs_node import log
from tests.support.services import postgresql_database, rabbitmq_host, redis_database

REQUIRES_SERVICES = os.environ.get("PULMONODE_REQUIRE_SERVICES", "0") not in ("", "0")

for _name in [name for name in os.environ if name.startswith("PULMONODE_")]:
    del os.environ[_name]
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ[_name] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Many tests start processes: the project's modules are compiled once, not for each of them."""

REAL_DATA = Path(__file__).parents[1] / "../shared/data"

log.STRICT = True

# How long an example takes says nothing on a busy machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of this test's own, as an SQLAlchemy URL; once on SQLite, once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'database.sqlite'}"
        return
    with postgresql_database() as url:
        yield url


@pytest.fixture(
    params=[
        "filesystem",
        pytest.param("rabbitmq", marks=pytest.mark.services),
        pytest.param("redis", marks=pytest.mark.services),
    ]
)
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker without any message, as a Celery URL; once for every broker.

    The one on the filesystem keeps its messages in the data folder of the configuration.
    """
    if request.param == "filesystem":
        yield "filesystem://"
        return
    opened = rabbitmq_host if request.param == "rabbitmq" else redis_database
    with opened() as url:
        yield url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where services are required."""
    report = yield
    is_excused = item.get_closest_marker("data") is not None and not REAL_DATA.exists()
    if REQUIRES_SERVICES and report.skipped and not hasattr(report, "wasxfail") and not is_excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, although PULMONODE_REQUIRE_SERVICES is set: {call.excinfo and call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure where services are required."""
    report = yield
    if REQUIRES_SERVICES and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} is skipped as a whole, although PULMONODE_REQUIRE_SERVICES is set"
    return report
