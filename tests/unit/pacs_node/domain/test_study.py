from __future__ import annotations

from datetime import UTC, datetime

from pacs_node.domain.study import settle_at


def test_a_study_settles_its_quiet_time_after_the_last_instance() -> None:
    last = datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC)
    assert settle_at(last, 12.5) == datetime(2026, 3, 2, 0, 0, 2, 500_000, tzinfo=UTC)
