"""`pulmonode result check` on files: geometry that agrees with itself but not with the CT, phantom and real CT."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from inference.series import find_files
from pacs_node.cli import command_line
from pacs_node.report import compose
from tests.support.results import Case, a_request, as_bytes, case_of_masks, real_case
from training.data.phantom import SMALL, make
from training.data.phantom.dicomise import write

REAL_CT = Path(__file__).parents[2] / "../shared/data/ct/LIDC-IDRI-0001"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """A CT in its folder, and the result that is right."""

    ct: Path
    case: Case
    documents: dict[str, bytes]

    def checked(self, folder: Path, plant: Callable[[Dataset, Case], None] | None = None) -> tuple[int, list[Any]]:
        """Exit code and problems of the command on this result, with a mistake planted in its SEG."""
        for name, content in self.documents.items():
            (folder / name).write_bytes(content)
        if plant is not None:
            seg = dcmread(folder / "seg.dcm")
            plant(seg, self.case)
            seg.save_as(folder / "seg.dcm")
        arguments = ["result", "check", str(self.ct), str(folder), "--json"]
        done = CliRunner().invoke(command_line(["result"]), arguments)
        return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    """The small phantom with its true nodules as the findings."""
    made, folder = make(9, SMALL), tmp_path_factory.mktemp("phantom")
    paths = write(made, folder)
    (folder / "truth.json").unlink()
    return _on_disk(folder, case_of_masks(paths, [nodule.mask for nodule in made.nodules]))


@pytest.fixture(scope="module")
def real() -> OnDisk:
    """The nodule of 23.4 mm of LIDC-IDRI-0001, cut out by threshold."""
    if not REAL_CT.exists():
        pytest.skip("no real CT in ../shared/data")
    case = real_case(find_files(REAL_CT), centre_lps=(56.2, 86.3, -115.9), radius_mm=16.0)
    return _on_disk(REAL_CT, case)


def _on_disk(folder: Path, case: Case) -> OnDisk:
    documents = {f"{document.role}.dcm": as_bytes(document.dataset) for document in compose(a_request(case))}
    return OnDisk(ct=folder, case=case, documents=documents)


def _moved(to: Callable[[int, int], int]) -> Callable[[Dataset, Case], None]:
    """Positions and references of all frames, from slice k of n to slice to(k, n)."""

    def plant(seg: Dataset, case: Case) -> None:
        other: dict[str, Dataset] = {}
        k_of = {str(header.SOPInstanceUID): k for k, header in enumerate(case.source)}
        for uid, k in k_of.items():
            other[uid] = case.source[to(k, len(k_of)) % len(k_of)]
        for frame in seg.PerFrameFunctionalGroupsSequence:
            uid = str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
            frame.PlanePositionSequence[0].ImagePositionPatient = other[uid].ImagePositionPatient
        for item in _references(seg):
            item.ReferencedSOPInstanceUID = other[str(item.ReferencedSOPInstanceUID)].SOPInstanceUID

    return plant


def _references(seg: Dataset) -> Iterator[Dataset]:
    for frame in seg.PerFrameFunctionalGroupsSequence:
        yield frame.DerivationImageSequence[0].SourceImageSequence[0]
    yield from seg.SourceImageSequence
    yield from seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence


def _transposed(seg: Dataset, _: Case) -> None:
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    planes = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    seg.PixelData = np.packbits(planes.transpose(0, 2, 1), bitorder="little").tobytes()


CONSISTENT = {
    "whole volume mirrored": _moved(lambda k, n: n - 1 - k),
    "positions and sources shifted up by a slice": _moved(lambda k, n: k + 1),
    "positions and sources shifted down by a slice": _moved(lambda k, n: k - 1),
    "rows and columns exchanged": _transposed,
}


def test_a_right_result_of_the_phantom_passes(phantom: OnDisk, tmp_path: Path) -> None:
    assert phantom.checked(tmp_path) == (0, [])


@pytest.mark.parametrize("mistake", CONSISTENT)
def test_a_mistake_that_agrees_with_itself_is_seen_on_the_anatomy_of_the_phantom(
    mistake: str, phantom: OnDisk, tmp_path: Path
) -> None:
    _assert_seen(phantom.checked(tmp_path, CONSISTENT[mistake]))


@pytest.mark.data
@pytest.mark.slow
def test_a_right_result_of_a_real_ct_passes(real: OnDisk, tmp_path: Path) -> None:
    assert real.checked(tmp_path) == (0, [])


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("mistake", CONSISTENT)
def test_a_mistake_that_agrees_with_itself_is_seen_on_the_anatomy_of_a_real_ct(
    mistake: str, real: OnDisk, tmp_path: Path
) -> None:
    _assert_seen(real.checked(tmp_path, CONSISTENT[mistake]))


def _assert_seen(answer: tuple[int, list[Any]]) -> None:
    """Nothing but contrast and values can know: positions and references agree with each other."""
    exit_code, problems = answer
    assert exit_code == 1
    assert {problem["code"] for problem in problems} == {"seg.on_anatomy", "sr.values"}
