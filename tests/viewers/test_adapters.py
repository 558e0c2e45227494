"""SEG and report read by dcmjs and the Cornerstone adapters, the libraries of OHIF, in Node.js without a browser.

The release is a newer one than OHIF has built in, which `tests/viewers/test_ohif.py` covers.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.findings import Axis, Finding
from pacs_node.report import DocumentRole, compose
from tests.support.ohif import VIEWERS, need_node
from tests.support.results import Case, a_request, as_bytes, balls_hu, case_from_files, options
from tests.support.series import AXIAL, Orientation, a_series

pytestmark = [pytest.mark.services, pytest.mark.slow]

ORIENTATIONS = ("supine", "prone", "columns flipped")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Read:
    """What went into the files, and what the adapters read from them."""

    case: Case
    said: dict[str, Any]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.case.result.findings


@pytest.fixture(scope="module", params=ORIENTATIONS)
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Read:
    node = need_node("@cornerstonejs/adapters", "dcmjs")
    return _read(node, tmp_path_factory.mktemp("adapters"), AXIAL[request.param])


def _read(node: str, folder: Path, orientation: Orientation) -> Read:
    ct = a_series(folder / "ct", hu=balls_hu, slices=24, orientation=orientation)
    case, _ = case_from_files(ct)
    question: dict[str, Any] = {"ct": [str(path) for path in ct]}
    for document in compose(a_request(case, options=options(ohif_hydration=True))):
        path = folder / f"{document.role}.dcm"
        path.write_bytes(as_bytes(document.dataset))
        question[document.role.value] = str(path)
    assert {DocumentRole.SEG.value, DocumentRole.SR.value} <= question.keys()
    done = subprocess.run(
        [node, "adapters.mjs"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        cwd=VIEWERS,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Read(case=case, said=json.loads(done.stdout))


def test_labels_and_tracking_of_the_segments_are_read(read: Read) -> None:
    segments = read.said["segments"]
    assert [(item["SegmentNumber"], item["SegmentLabel"]) for item in segments] == [(1, "Nodule 1"), (2, "Nodule 2")]
    assert len({item["TrackingUID"] for item in segments}) == len(read.findings)


def test_every_voxel_carries_the_number_of_its_nodule_and_no_other_voxel_any(read: Read) -> None:
    labels = np.zeros(read.case.result.grid.shape_kji, int)
    for finding in read.findings:
        start, voxels = finding.mask.start_kji, finding.mask.voxels
        box = tuple(slice(first, first + size) for first, size in zip(start, voxels.shape, strict=True))
        labels[box][voxels] = finding.number
    shown = np.zeros_like(labels)
    for k, header in enumerate(read.case.source):
        for index, label in read.said["voxels"][header.SOPInstanceUID]:
            shown[k].flat[index] = label
    assert len(np.unique(labels)) == 3
    np.testing.assert_array_equal(shown, labels)
    assert read.said["overlap"] is False


def test_every_nodule_becomes_a_bidirectional_measurement_with_its_lengths(read: Read) -> None:
    measured = read.said["measurements"]
    assert measured.keys() == {"Bidirectional"}
    values = [(item["values"]["length"], item["values"]["width"]) for item in measured["Bidirectional"]]
    due = [(finding.long_axis.length_mm, finding.short_axis.length_mm) for finding in read.findings]
    assert values == [(pytest.approx(long, abs=0.051), pytest.approx(short, abs=0.051)) for long, short in due]


def test_the_axes_lie_where_they_were_measured(read: Read) -> None:
    for item, finding in zip(read.said["measurements"]["Bidirectional"], read.findings, strict=True):
        assert item["instance"] == read.case.source[finding.long_axis.slice_k].SOPInstanceUID
        due = [*_ends_lps(read.case, finding.long_axis), *_ends_lps(read.case, finding.short_axis)]
        np.testing.assert_allclose(item["points_lps"], due, atol=1e-3)


def test_report_and_segmentation_name_the_same_nodules(read: Read) -> None:
    segments = [item["TrackingUID"] for item in read.said["segments"]]
    assert [item["tracking_uid"] for item in read.said["measurements"]["Bidirectional"]] == segments


def _ends_lps(case: Case, axis: Axis) -> list[Any]:
    return [case.result.grid.lps_from_kji((axis.slice_k, row, column)) for row, column in axis.ends_ji]
