"""Frames that are written here are those that highdicom itself would write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset

from pacs_node.report import ReportRequest, compose
from pacs_node.report.frames import Labels
from tests.support.results import WITH_LUNGS, Case, a_case, a_grid, a_request, an_enhanced_source, options, read_back

SIZES = [(32, 64, 64), (32, 63, 61)]
"""Frames of whole bytes, and frames that begin and end inside a byte."""


def by_highdicom(case: Case, seg: Dataset) -> Dataset:
    """The same masks, given to highdicom as a whole: every slice of the CT, empty ones too."""
    labels: Labels = np.zeros(case.result.grid.shape_kji, np.uint8)
    if seg.ContentLabel == "LUNGS":
        labels[case.result.lungs] = 1
    else:
        for finding in case.result.findings:
            labels[finding.mask.box][finding.mask.voxels] = finding.number
    return Segmentation(
        source_images=case.source,
        pixel_array=labels,
        content_label="X",
        segmentation_type="BINARY",
        segment_descriptions=[SegmentDescription.from_dataset(item) for item in seg.SegmentSequence],
        series_instance_uid="1.2",
        series_number=1,
        sop_instance_uid="1.3",
        instance_number=1,
        manufacturer="X",
        manufacturer_model_name="X",
        software_versions="X",
        device_serial_number="X",
    )


@pytest.mark.parametrize("shape_kji", SIZES)
@pytest.mark.parametrize("place", [0, 1], ids=["nodules", "lungs"])
def test_bits_positions_and_order_are_those_of_highdicom(shape_kji: tuple[int, int, int], place: int) -> None:
    case = a_case(grid=a_grid(shape_kji))
    seg = read_back(compose(a_request(case, options=options(objects=WITH_LUNGS))))[place]
    expected = by_highdicom(case, seg)
    assert seg.NumberOfFrames == expected.NumberOfFrames
    size = -(-seg.NumberOfFrames * seg.Rows * seg.Columns // 8)
    assert seg.PixelData[:size] == expected.PixelData[:size]
    assert seg.PixelData[size:] == bytes(size % 2)  # highdicom 0.28.2 pads with the character 0
    assert [_place(item) for item in _frames(seg)] == [_place(item) for item in _frames(expected)]
    for keyword in ("FrameContentSequence", "SegmentIdentificationSequence"):
        assert [item.get(keyword) for item in _frames(seg)] == [item.get(keyword) for item in _frames(expected)]
    assert _sources(seg) == _sources(expected)
    codes = [item.DerivationImageSequence[0].DerivationCodeSequence for item in _frames(expected)]
    assert [item.DerivationImageSequence[0].DerivationCodeSequence for item in _frames(seg)] == codes


def test_every_frame_of_a_segment_over_an_enhanced_ct_names_its_frame() -> None:
    case = a_case()
    instance, numbers = an_enhanced_source(case)
    request: ReportRequest = a_request(case, source=(instance,), frame_numbers=numbers)
    seg = read_back(compose(request))[0]
    k_of_z = {round(float(case.result.grid.lps_from_kji((k, 0, 0))[2]), 4): k for k in range(len(numbers))}
    for item, source in zip(_frames(seg), _sources(seg), strict=True):
        assert source.ReferencedFrameNumber == numbers[k_of_z[round(_place(item)[2], 4)]]


def test_documents_tell_how_many_frames_they_have() -> None:
    composed = compose(a_request(a_case(), options=options(objects=WITH_LUNGS)))
    assert [document.frames for document in composed] == [seg.get("NumberOfFrames", 0) for seg in read_back(composed)]
    assert [document.frames > 0 for document in composed] == [True, True, False]


def test_a_change_of_one_frame_changes_no_other() -> None:
    """What frames share must not be what tells them apart."""
    seg = compose(a_request(a_case()))[0].dataset
    first, second = _sources(seg)[:2]
    before = str(second.ReferencedSOPInstanceUID)
    first.ReferencedSOPInstanceUID = "1.2.3"
    assert second.ReferencedSOPInstanceUID == before


def _frames(seg: Dataset) -> Any:
    return seg.PerFrameFunctionalGroupsSequence


def _sources(seg: Dataset) -> list[Dataset]:
    return [item.DerivationImageSequence[0].SourceImageSequence[0] for item in _frames(seg)]


def _place(item: Dataset) -> tuple[float, ...]:
    return tuple(float(value) for value in item.PlanePositionSequence[0].ImagePositionPatient)
