"""What a sender was told is on disk at once, and is read as it was written."""

from __future__ import annotations

from pathlib import Path

from tests.soak.ledger import Answer, Ledger, Origin, read
from tests.soak.test_judgement import an_entry


def test_an_entry_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    entries = (an_entry("1.1", 1), an_entry("1.1", 2, answer=Answer.CONFLICT, origin=Origin.HOSTILE))
    for count, entry in enumerate(entries, start=1):
        ledger.write(entry)
        assert read(tmp_path / "ledger.jsonl") == entries[:count]
    ledger.close()
    assert ledger.counts == {Answer.ACKNOWLEDGED: 1, Answer.CONFLICT: 1}
    assert ledger.studies == {"1.1"}
