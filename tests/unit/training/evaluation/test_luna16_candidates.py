"""An interrupted evaluation ends as one that was not, and what belongs to other weights is not taken for its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from inference.volume import Volume
from tests.support.luna16 import Chest, a_luna16_folder
from training.data.luna16_mhd import Luna16Scan, find
from training.evaluation.luna16_candidates import CANDIDATES, SCANS, CandidateTable, detect
from training.evaluation.luna16_scans import Found
from training.metrics.luna16 import Mark

MARKS = (Mark(centre_mm=(1.5, -2.25, 1 / 3), score=0.1), Mark(centre_mm=(0.0, 0.0, -7.0), score=1e-9))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Luna16Scan]:
    folder = a_luna16_folder(
        tmp_path_factory.mktemp("luna16") / "scans", {name: Chest() for name in ("1.1", "1.2", "1.3")}
    )
    return [one for one in find(folder, {}) if isinstance(one, Luna16Scan)]


def a_finder(counted: list[Volume]):  # type: ignore[no-untyped-def]
    """Finds two candidates in the first scan, none in the second, which has no lungs, and one in the third."""
    answers = {1: Found(marks=MARKS), 2: Found(marks=(), failure="series.no-lungs"), 3: Found(marks=MARKS[:1])}

    def find(volume: Volume) -> Found:
        counted.append(volume)
        return answers[len(counted)]

    return find


def interrupted(scans: Sequence[Luna16Scan], after: int) -> Iterator[Luna16Scan]:
    yield from scans[:after]
    raise KeyboardInterrupt


def files(folder: Path) -> tuple[bytes, bytes]:
    return (folder / CANDIDATES).read_bytes(), (folder / SCANS).read_bytes()


def test_an_interrupted_run_ends_as_an_uninterrupted_one_and_no_scan_is_done_twice(
    tmp_path: Path, scans: list[Luna16Scan]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    assert detect(scans, CandidateTable(whole, "w"), a_finder([])) == []
    counted: list[Volume] = []
    finder = a_finder(counted)
    with pytest.raises(KeyboardInterrupt):
        detect(interrupted(scans, 2), CandidateTable(parts, "w"), finder)
    # the power goes while the third scan's candidates are being written
    with (parts / CANDIDATES).open("a", newline="") as file:
        file.write("1.3,4,5,6,0.5\r\n1.3,1.")
    table = CandidateTable(parts, "w")
    assert table.done == {"1.1": Found(marks=MARKS), "1.2": Found(marks=(), failure="series.no-lungs")}
    detect([scan for scan in scans if scan.series_uid not in table.done], table, finder)
    assert len(counted) == 3
    assert files(parts) == files(whole)
    assert CandidateTable(parts, "w").done == table.done


def test_a_scan_whose_row_was_cut_off_is_done_again(tmp_path: Path, scans: list[Luna16Scan]) -> None:
    detect(scans, CandidateTable(tmp_path, "w"), a_finder([]))
    (tmp_path / SCANS).write_bytes((tmp_path / SCANS).read_bytes()[:-3])
    assert set(CandidateTable(tmp_path, "w").done) == {"1.1", "1.2"}


def test_candidates_of_other_weights_are_dropped(tmp_path: Path, scans: list[Luna16Scan]) -> None:
    detect(scans, CandidateTable(tmp_path, "before"), a_finder([]))
    assert CandidateTable(tmp_path, "after").done == {}
    assert (tmp_path / CANDIDATES).read_text() == "seriesuid,coordX,coordY,coordZ,probability\n"


def test_a_scan_without_its_voxels_is_refused_tried_again_and_the_others_go_on(tmp_path: Path) -> None:
    folder = a_luna16_folder(tmp_path / "scans", {"1.1": Chest(), "1.2": Chest()})
    (folder / "subset0" / "1.1.raw").unlink()
    some = [one for one in find(folder, {}) if isinstance(one, Luna16Scan)]
    table = CandidateTable(tmp_path, "w")
    assert [(one.code, one.subject) for one in detect(some, table, a_finder([]))] == [("luna16.pixels", "1.1")]
    assert set(table.done) == {"1.2"}
