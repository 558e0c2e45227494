"""The report of a soak says what was judged; its picture is drawn also of what was not known for a while."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

from tests.soak.judgement import judge
from tests.soak.report import Run, write
from tests.soak.test_judgement import good, without
from tests.soak.watching import COLUMNS

RUN = Run(
    seed=7,
    begun="2026-01-02 03:04 UTC",
    machine="2 cores",
    minutes=60,
    rest_s=12,
    unfinished=0,
    left_behind=0,
    starts=3,
    has_disk=True,
    faults={"serve killed": 2},
    habits={"whole study": 2},
    statuses={"0x0000": 6, "0x0111": 1},
    errors={},
)


def test_the_report_has_what_was_lost_as_a_number_and_as_a_line(tmp_path: Path) -> None:
    with (tmp_path / "timeline.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerow([2.0, *[""] * 7, *[100] * 4, *[9] * 4])
        table.writerow([4.0, *[1] * 7, *[50] * 4, *[7] * 4])
    (tmp_path / "faults.jsonl").write_text(json.dumps({"at_s": 3.0, "stream": "kills", "fault": "serve killed"}) + "\n")
    judgement = judge(without("stored", "1.1.2")(good()))
    write(tmp_path, dataclasses.replace(RUN, unfinished=2, left_behind=1), judgement)
    text = (tmp_path / "report.md").read_text()
    assert "| acknowledged with 0x0000 | 6 | 2 |\n| stored, with the bytes that were sent | 5 | 1 |" in text
    assert "| **lost** | **1** | |\n| **doubled** | | **0** |\n| **wrong** | | **0** |" in text
    assert f"- {judgement.lost[0]}" in text.splitlines()
    assert "left 2 unfinished" in " ".join(text.split())
    assert "When it was stopped, 1 of its processes did not end." in " ".join(text.split())
    assert "| resident memory, MiB, at most | 100 | 100 | 100 | 100 |" in text
    assert "| open descriptors, at rest | 7 | 7 | 7 | 7 |" in text
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept["judgement"]["lost"] == list(judgement.lost)
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_good_only_if_the_node_came_to_rest_and_to_an_end() -> None:
    assert RUN.is_good
    assert not dataclasses.replace(RUN, unfinished=1).is_good
    assert not dataclasses.replace(RUN, left_behind=1).is_good
