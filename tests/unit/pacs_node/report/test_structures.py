"""RT Structure Sets, read back from their bytes and rasterised with code of this file alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.findings import CroppedMask
from inference.geometry import Grid
from pacs_node.report import Document, ReportRequest, compose
from pacs_node.report.check import check
from pacs_node.report.colour import finding_rgb
from tests.support.results import (
    Case,
    Pear,
    a_case,
    a_ct_header,
    a_finding,
    a_grid,
    a_refusal,
    a_request,
    an_enhanced_source,
    an_identity,
    as_bytes,
    options,
    read_back,
)

ONLY = options(objects=frozenset({"structures"}))


def written(request: ReportRequest) -> list[Document]:
    documents = compose(dataclasses.replace(request, options=ONLY))
    return [document for document in documents if document.role == "structures"]


def read(request: ReportRequest) -> Dataset:
    (structures,) = read_back(written(request))
    return structures


def rasterised(structures: Dataset, number: int, headers: Mapping[tuple[str, int | None], Dataset], grid: Grid) -> Any:
    """The voxels whose centres lie inside an odd number of times, by the geometry of the image that a contour names.

    Parameters
    ----------
    headers : position, orientation and spacing by UID and frame of the image; `k` is its slice
    """
    voxels = np.zeros(grid.shape_kji, bool)
    (roi,) = [item for item in structures.ROIContourSequence if item.ReferencedROINumber == number]
    for contour in roi.ContourSequence:
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        (image,) = contour.ContourImageSequence
        header = headers[image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")]
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert len(points) == contour.NumberOfContourPoints
        offset = points - np.array(header.ImagePositionPatient, float)
        along_row, along_column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        assert np.abs(offset @ np.cross(along_row, along_column)).max() < 1e-3  # in the plane of the image
        columns = offset @ along_row / float(header.PixelSpacing[1])
        rows = offset @ along_column / float(header.PixelSpacing[0])
        voxels[header.k] |= inside(rows, columns, grid.shape_kji[1:])
    return voxels


def inside(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Whether the centre of a pixel is inside a polygon: a ray along the row crosses it an odd number of times."""
    j, i = np.indices(shape)
    crossings = np.zeros(shape, int)
    for row, column, other_row, other_column in zip(
        rows, columns, np.roll(rows, -1), np.roll(columns, -1), strict=True
    ):
        if abs(other_row - row) > 1e-3:
            at = column + (j - row) * (other_column - column) / (other_row - row)
            crossings += ((row > j) != (other_row > j)) & (i < at)
    return crossings % 2 == 1


def single_frames(case: Case) -> dict[tuple[str, int | None], Dataset]:
    headers = {}
    for k, header in enumerate(case.source):
        header.k = k
        headers[str(header.SOPInstanceUID), None] = header
    return headers


def assert_masks_come_back(case: Case, structures: Dataset, headers: Mapping[tuple[str, int | None], Dataset]) -> None:
    grid = case.result.grid
    assert len(structures.ROIContourSequence) == len(case.result.findings)
    for finding in case.result.findings:
        expected = np.zeros(grid.shape_kji, bool)
        expected[finding.mask.box] = finding.mask.voxels
        assert expected.any()
        assert (rasterised(structures, finding.number, headers, grid) == expected).all()


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def structures(case: Case) -> Dataset:
    return read(a_request(case))


def test_contours_hold_the_voxels_of_the_masks_and_no_others(case: Case, structures: Dataset) -> None:
    assert_masks_come_back(case, structures, single_frames(case))


def oblique_grid() -> Grid:
    """Tilted by 20 degrees about the left-right axis, with pixels that are not square."""
    sine, cosine = float(np.sin(np.radians(20.0))), float(np.cos(np.radians(20.0)))
    return dataclasses.replace(
        a_grid(),
        spacing_mm=(1.25, 0.7, 0.9),
        directions=((0.0, -sine, cosine), (0.0, cosine, sine), (1.0, 0.0, 0.0)),
    )


def test_the_masks_come_back_from_tilted_slices_with_oblong_pixels() -> None:
    case = a_case(grid=oblique_grid())
    assert_masks_come_back(case, read(a_request(case)), single_frames(case))


def test_frames_of_an_enhanced_ct_are_named_and_hold_the_masks_too() -> None:
    case = a_case()
    instance, frame_numbers = an_enhanced_source(case)
    headers = {}
    for k, number in enumerate(frame_numbers):
        header = a_ct_header(case.result.grid, k)
        header.k = k
        headers[str(instance.SOPInstanceUID), number] = header
    structures = read(a_request(case, source=(instance,), frame_numbers=frame_numbers))
    assert_masks_come_back(case, structures, headers)


def hollow(case: Case) -> Case:
    """The case with a finding of a ring around an island, and a pixel that touches the ring at a corner."""
    voxels = np.zeros((1, 8, 8), bool)
    voxels[0, :7, :7] = True
    voxels[0, 1:6, 1:6] = False
    voxels[0, 3, 3] = True
    voxels[0, 7, 7] = True
    mask = np.zeros(case.result.grid.shape_kji, bool)
    mask[5:6, 40:48, 10:18] = voxels
    finding = a_finding(case.result.grid, case.volume_hu, mask, 1)
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=(finding,)))


def test_holes_and_several_parts_come_back(case: Case) -> None:
    mine = hollow(case)
    structures = read(a_request(mine))
    assert len(structures.ROIContourSequence[0].ContourSequence) == 3  # the ring with its hole, the island, the pixel
    assert_masks_come_back(mine, structures, single_frames(mine))


def test_coordinates_are_patient_coordinates_in_mm() -> None:
    """One voxel at slice 4, row 10, column 20: its corners are half a pixel of 0.7 mm off its centre."""
    case = a_case()
    mask = CroppedMask(start_kji=(4, 10, 20), voxels=np.ones((1, 1, 1), bool))
    finding = dataclasses.replace(case.result.findings[0], mask=mask)
    mine = dataclasses.replace(case, result=dataclasses.replace(case.result, findings=(finding,)))
    (contour,) = read(a_request(mine)).ROIContourSequence[0].ContourSequence
    x, y, z = -30.5 + 20 * 0.7, -20.25 + 10 * 0.7, -100.0 + 4 * 1.25
    corners = [(x - 0.35, y - 0.35), (x + 0.35, y - 0.35), (x + 0.35, y + 0.35), (x - 0.35, y + 0.35)]
    expected = [value for corner in corners for value in (*corner, z)]
    assert [float(value) for value in contour.ContourData] == pytest.approx(expected, abs=1e-4)


def test_regions_are_named_numbered_and_coloured_as_in_the_seg(case: Case) -> None:
    both = options(objects=frozenset({"seg", "structures"}))
    seg, _, structures = read_back(compose(a_request(case, options=both)))
    for segment, region, roi in zip(
        seg.SegmentSequence, structures.StructureSetROISequence, structures.ROIContourSequence, strict=True
    ):
        assert (region.ROINumber, region.ROIName) == (segment.SegmentNumber, segment.SegmentLabel)
        assert region.ROIDescription == f"Tracking UID {segment.TrackingUID}"
        assert tuple(roi.ROIDisplayColor) == finding_rgb(segment.SegmentNumber)


def test_a_region_says_that_a_model_drew_it_and_how_large_it_is(case: Case, structures: Dataset) -> None:
    region, finding = structures.StructureSetROISequence[0], case.result.findings[0]
    assert region.ROIGenerationAlgorithm == "AUTOMATIC"
    assert region.ROIGenerationDescription == "Outlined by jnsc"
    assert region.ROIDerivationAlgorithmIdentificationSequence[0].AlgorithmVersion == "jnsc 3"
    assert 1000.0 * float(region.ROIVolume) == pytest.approx(finding.volume_mm3, abs=0.001)  # cm3


def test_a_region_is_a_nodule_of_one_lung_and_has_no_role_in_a_treatment(structures: Dataset) -> None:
    for observation, side in zip(structures.RTROIObservationsSequence, ("24028007", "7771000"), strict=True):
        assert observation.RTROIIdentificationCodeSequence[0].CodeValue == "27925004"
        site = observation.AnatomicRegionSequence[0]
        assert (site.CodeValue, site.AnatomicRegionModifierSequence[0].CodeValue) == ("39607008", side)
        assert observation.RTROIInterpretedType == ""
    assert structures.ApprovalStatus == "UNAPPROVED"


def test_a_side_that_is_not_known_is_left_out(case: Case) -> None:
    finding = dataclasses.replace(case.result.findings[0], laterality=None)
    mine = dataclasses.replace(case, result=dataclasses.replace(case.result, findings=(finding,)))
    (observation,) = read(a_request(mine)).RTROIObservationsSequence
    assert "AnatomicRegionModifierSequence" not in observation.AnatomicRegionSequence[0]


def test_space_and_images_are_those_of_the_ct(case: Case, structures: Dataset) -> None:
    (reference,) = structures.ReferencedFrameOfReferenceSequence
    assert reference.FrameOfReferenceUID == structures.FrameOfReferenceUID == case.source[0].FrameOfReferenceUID
    (series,) = reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == case.source[0].SeriesInstanceUID
    images = [image.ReferencedSOPInstanceUID for image in series.ContourImageSequence]
    assert images == [header.SOPInstanceUID for header in case.source]


def test_it_is_a_series_of_its_own_of_the_same_patient_and_study(case: Case, structures: Dataset) -> None:
    assert (structures.Modality, structures.SeriesNumber) == ("RTSTRUCT", 961)
    assert structures.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.481.3"
    assert structures.PatientName == "Müller^Jörg"
    assert structures.StudyInstanceUID == case.source[0].StudyInstanceUID
    assert (structures.StructureSetDate, structures.StructureSetTime) == ("20260304", "050607")
    assert "research use" in structures.StructureSetDescription.lower()


def test_it_names_the_one_that_it_takes_the_place_of(case: Case, structures: Dataset) -> None:
    identity = an_identity(input_digest="01")
    again = read(a_request(case, identity=identity, predecessor=(structures,)))
    assert again.SOPInstanceUID != structures.SOPInstanceUID
    (before,) = again.PredecessorStructureSetSequence
    assert before.ReferencedSOPInstanceUID == structures.SOPInstanceUID


@pytest.mark.parametrize("kind", ["plain", "hollow", "tilted"])
def test_the_own_check_has_nothing_to_say(kind: str) -> None:
    case = a_case(grid=oblique_grid() if kind == "tilted" else None)
    mine = hollow(case) if kind == "hollow" else case
    both = options(objects=frozenset({"seg", "structures"}))
    documents = read_back(compose(a_request(mine, options=both)))
    assert len(documents) == 3
    assert check(mine.source, documents) == ()


def test_the_same_request_gives_the_same_bytes(case: Case) -> None:
    (one,), (other,) = written(a_request(case)), written(a_request(case))
    assert as_bytes(one.dataset) == as_bytes(other.dataset)


@pytest.mark.parametrize("nothing", ["negative", "not analysed"])
def test_without_nodules_there_is_none(nothing: str) -> None:
    request = a_request(a_case(nodules=())) if nothing == "negative" else a_refusal()
    assert written(request) == []


def test_nobody_gets_one_who_does_not_ask(case: Case) -> None:
    assert "structures" not in [document.role for document in compose(a_request(case))]


def test_a_large_nodule_is_small_enough_for_the_length_field_of_its_points() -> None:
    """Contour Data of more than 65534 bytes cannot be written as DS (PS3.3 C.8.8.6)."""
    case = a_case(nodules=(Pear(centre_kji=(16.0, 32.0, 32.0), diameter_mm=40.0),))
    structures = read(a_request(case))
    assert all(item["ContourData"].VR == "DS" for item in structures.ROIContourSequence[0].ContourSequence)
