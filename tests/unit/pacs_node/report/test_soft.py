"""FRACTIONAL SEGs, read back from their bytes with numpy alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.findings import Finding, SoftMask
from inference.geometry import Grid
from pacs_node.report import Document, ReportRequest, compose
from pacs_node.report.check import check
from tests.support.results import (
    Case,
    a_case,
    a_grid,
    a_refusal,
    a_request,
    an_enhanced_source,
    as_bytes,
    options,
    read_back,
)

WITH_SOFT = options(objects=frozenset({"seg", "soft"}))


def softened(finding: Finding, grid: Grid) -> Finding:
    """The finding with all of the voxels of its mask but a quarter, and less and less of those around, as they come."""
    values = np.zeros(grid.shape_kji, np.uint8)
    around = tuple(slice(part.start - 1, part.stop + 1) for part in finding.mask.box)
    values[around] = np.arange(values[around].size).reshape(values[around].shape) % 127 + 1
    values[finding.mask.box][finding.mask.voxels] = 191
    start = [part.start for part in around]
    return dataclasses.replace(finding, soft=SoftMask(start_kji=(start[0], start[1], start[2]), values=values[around]))


def with_findings(case: Case, *findings: Finding) -> Case:
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=findings))


@pytest.fixture(scope="module")
def case() -> Case:
    case = a_case()
    return with_findings(case, *[softened(finding, case.result.grid) for finding in case.result.findings])


def written(request: ReportRequest) -> dict[str, Document]:
    return {str(document.role): document for document in compose(dataclasses.replace(request, options=WITH_SOFT))}


def read(request: ReportRequest) -> Dataset:
    (seg,) = read_back([written(request)["soft"]])
    return seg


@pytest.fixture(scope="module")
def seg(case: Case) -> Dataset:
    return read(a_request(case))


def values_of(seg: Dataset, grid: Grid) -> dict[int, np.ndarray]:
    """The values of each segment on the grid of the CT, by the positions that the frames themselves state."""
    frames = np.frombuffer(seg.PixelData, np.uint8)[: seg.NumberOfFrames * seg.Rows * seg.Columns]
    volumes = {item.SegmentNumber: np.zeros(grid.shape_kji, np.uint8) for item in seg.SegmentSequence}
    for frame, item in zip(
        frames.reshape(-1, seg.Rows, seg.Columns), seg.PerFrameFunctionalGroupsSequence, strict=True
    ):
        position = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        k = round(float(grid.kji_from_lps(position)[0]))
        group = item if "SegmentIdentificationSequence" in item else seg.SharedFunctionalGroupsSequence[0]
        volumes[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber][k] = frame
    return volumes


def test_every_value_comes_back_at_its_place(case: Case, seg: Dataset) -> None:
    found = values_of(seg, case.result.grid)
    for finding in case.result.findings:
        assert finding.soft is not None
        expected = np.zeros(case.result.grid.shape_kji, np.uint8)
        expected[finding.soft.box] = finding.soft.values
        assert len(np.unique(expected)) > 100
        assert (found[finding.number] == expected).all()


def test_half_and_more_is_where_the_binary_seg_is(case: Case, seg: Dataset) -> None:
    for finding in case.result.findings:
        mask = np.zeros(case.result.grid.shape_kji, bool)
        mask[finding.mask.box] = finding.mask.voxels
        assert ((values_of(seg, case.result.grid)[finding.number] >= 128) == mask).all()


def test_values_are_shares_of_the_voxel_out_of_255(seg: Dataset) -> None:
    assert (seg.SegmentationType, seg.SegmentationFractionalType) == ("FRACTIONAL", "OCCUPANCY")
    assert seg.MaximumFractionalValue == 255
    assert (seg.BitsAllocated, seg.BitsStored, seg.HighBit, seg.PixelRepresentation) == (8, 8, 7, 0)
    assert len(seg.PixelData) == seg.NumberOfFrames * seg.Rows * seg.Columns


def test_it_is_a_series_of_its_own_and_not_the_nodules_that_the_report_speaks_of(case: Case) -> None:
    binary, soft, report = read_back(list(written(a_request(case)).values()))
    assert (binary.SeriesNumber, soft.SeriesNumber) == (901, 903)
    assert len({binary.SeriesInstanceUID, soft.SeriesInstanceUID, report.SeriesInstanceUID}) == 3
    assert soft.ContentLabel != binary.ContentLabel
    assert soft.SOPInstanceUID not in str(report)
    assert soft.PatientName == "Müller^Jörg"


def test_segments_are_named_coloured_and_tracked_as_in_the_binary_seg(case: Case) -> None:
    binary, soft, _ = read_back(list(written(a_request(case)).values()))
    names = ("SegmentNumber", "SegmentLabel", "TrackingID", "TrackingUID", "RecommendedDisplayCIELabValue")
    for one, other in zip(binary.SegmentSequence, soft.SegmentSequence, strict=True):
        assert [one[name].value for name in names] == [other[name].value for name in names]


def test_the_binary_seg_is_the_same_bytes_with_and_without_soft_masks(case: Case) -> None:
    hard = with_findings(case, *[dataclasses.replace(finding, soft=None) for finding in case.result.findings])
    one, other = (written(a_request(which))["seg"].dataset for which in (case, hard))
    assert as_bytes(one) == as_bytes(other)


def test_segments_are_numbered_without_a_gap_where_a_finding_has_no_soft_mask(case: Case) -> None:
    first, second = case.result.findings
    mine = with_findings(case, dataclasses.replace(first, soft=None), second)
    binary, soft, _ = read_back(list(written(a_request(mine)).values()))
    (segment,) = soft.SegmentSequence
    assert (segment.SegmentNumber, segment.SegmentLabel) == (1, "Nodule 2")
    assert segment.TrackingUID == binary.SegmentSequence[1].TrackingUID
    assert segment.RecommendedDisplayCIELabValue == binary.SegmentSequence[1].RecommendedDisplayCIELabValue
    assert second.soft is not None
    assert (values_of(soft, case.result.grid)[1][second.soft.box] == second.soft.values).all()


def test_a_voxel_that_two_nodules_share_is_given_to_the_one_that_has_more_of_it(case: Case) -> None:
    first, second = (
        dataclasses.replace(finding, soft=SoftMask(start_kji=(5, 6, 7), values=np.array([[row]], np.uint8)))
        for finding, row in zip(case.result.findings, ([200, 30, 20, 9], [0, 60, 20, 8]), strict=True)
    )
    found = values_of(read(a_request(with_findings(case, first, second))), case.result.grid)
    assert found[1][5, 6, 7:11].tolist() == [200, 0, 20, 9]
    assert found[2][5, 6, 7:11].tolist() == [0, 60, 0, 0]


def test_frames_of_an_enhanced_ct_are_named(case: Case) -> None:
    instance, frame_numbers = an_enhanced_source(case)
    seg = read(a_request(case, source=(instance,), frame_numbers=frame_numbers))
    for frame in seg.PerFrameFunctionalGroupsSequence:
        k = round(float(case.result.grid.kji_from_lps(frame.PlanePositionSequence[0].ImagePositionPatient)[0]))
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert (image.ReferencedSOPInstanceUID, image.ReferencedFrameNumber) == (
            instance.SOPInstanceUID,
            frame_numbers[k],
        )
    assert (values_of(seg, case.result.grid)[1] >= 128).sum() == case.result.findings[0].mask.voxels.sum()


def test_pixels_of_an_odd_number_of_bytes_are_padded() -> None:
    case = a_case(grid=a_grid(shape_kji=(32, 63, 63)))
    values = np.full((1, 1, 1), 200, np.uint8)
    finding = dataclasses.replace(case.result.findings[0], soft=SoftMask(start_kji=(5, 6, 7), values=values))
    seg = read(a_request(with_findings(case, finding)))
    assert len(seg.PixelData) == 63 * 63 + 1
    assert values_of(seg, case.result.grid)[1][5, 6, 7] == 200


def test_the_own_check_has_nothing_to_say(case: Case) -> None:
    request = a_request(case)
    documents = read_back(list(written(request).values()))
    assert check(case.source, documents, volume_hu=case.volume_hu) == ()


def test_the_same_request_gives_the_same_bytes(case: Case) -> None:
    one, other = (as_bytes(written(a_request(case))["soft"].dataset) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("what", ["no soft mask", "negative", "not analysed"])
def test_without_soft_masks_there_is_none(what: str) -> None:
    requests: dict[str, Any] = {
        "no soft mask": a_request(a_case()),
        "negative": a_request(a_case(nodules=())),
        "not analysed": a_refusal(),
    }
    assert "soft" not in written(requests[what])


def test_nobody_gets_one_who_does_not_ask(case: Case) -> None:
    assert "soft" not in [document.role for document in compose(a_request(case))]
