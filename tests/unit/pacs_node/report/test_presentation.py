"""Presentation states, read back from their bytes; outlines are filled again with code of this file alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import CroppedMask, Finding
from inference.geometry import Grid
from pacs_node.report import Document, ReportRequest, compose
from pacs_node.report.colour import finding_lab
from tests.support.results import (
    COMPOSED_AT,
    SERIES_UID,
    STUDY_UID,
    Case,
    a_case,
    a_grid,
    a_refusal,
    a_request,
    an_enhanced_source,
    an_identity,
    as_bytes,
    options,
    read_back,
)

ONLY = options(objects=frozenset({"presentation"}))
GRIDS: dict[str, Grid] = {
    "feet to head": a_grid(),
    "head to feet": dataclasses.replace(a_grid(), directions=((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))),
    "prone": dataclasses.replace(a_grid(), directions=((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))),
    "more rows than columns": a_grid((32, 80, 56)),
    "more columns than rows": a_grid((32, 56, 80)),
    "tall pixels": dataclasses.replace(a_grid(), spacing_mm=(1.25, 1.1, 0.7)),
}


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def state(case: Case) -> Dataset:
    return read(a_request(case))


def written(request: ReportRequest) -> list[Document]:
    documents = compose(dataclasses.replace(request, options=ONLY))
    return [document for document in documents if document.role == "presentation"]


def read(request: ReportRequest) -> Dataset:
    (state,) = read_back(written(request))
    return state


def test_it_is_one_grayscale_softcopy_presentation_state(state: Dataset) -> None:
    assert state.SOPClassUID == "1.2.840.10008.5.1.4.1.1.11.1"
    assert state.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (state.Modality, state.SeriesNumber, state.InstanceNumber) == ("PR", 941, 1)
    assert state.SeriesInstanceUID != SERIES_UID
    assert state.StudyInstanceUID == STUDY_UID
    assert state.ContentLabel == "NODULE_OUTLINES"


def test_it_says_that_it_is_research(state: Dataset) -> None:
    assert "research use" in state.SeriesDescription
    assert "Research use only" in state.ContentDescription


def test_all_times_are_those_of_the_request(state: Dataset) -> None:
    local = COMPOSED_AT.astimezone()
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == (
        local.strftime("%Y%m%d"),
        local.strftime("%H%M%S"),
    )
    assert "ContentDate" not in state


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_outlines_hold_exactly_the_masks_on_their_slices(grid: Grid) -> None:
    case = a_case(grid=grid)
    drawn = outlined(read(a_request(case)), case)
    for finding in case.result.findings:
        assert (drawn[finding.number] == _mask(finding, grid)).all()


def test_holes_and_loose_parts_are_outlined_each_by_itself() -> None:
    """Seen in one slice: a ring of pixels with a pixel in its hole, and a pixel that touches it at a corner."""
    plane = np.zeros((6, 6), bool)
    plane[:5, :5] = True
    plane[1:4, 1:4] = False
    plane[2, 2] = plane[5, 5] = True
    case = _with_mask(a_case(), plane[None], (10, 20, 20))
    state = read(a_request(case))
    assert (outlined(state, case)[1] == _mask(case.result.findings[0], case.result.grid)).all()
    (outline, *_) = state.GraphicAnnotationSequence
    assert sorted(graphic.NumberOfGraphicPoints for graphic in outline.GraphicObjectSequence) == [5, 5, 5, 5]


def test_the_first_pixel_of_the_slice_reaches_from_0_to_1() -> None:
    """PS3.3 table C.10-5, PIXEL: 0 \\ 0 is its upper left, 1 \\ 1 its lower right corner; column comes before row."""
    case = _with_mask(a_case(), np.ones((1, 1, 2), bool), (4, 0, 0))
    outline = read(a_request(case)).GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    points = list(zip(outline.GraphicData[::2], outline.GraphicData[1::2], strict=True))
    assert points[0] == points[-1]
    assert set(points) == {(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0)}
    assert outline.NumberOfGraphicPoints == len(points) == 5


def test_the_last_pixel_of_the_slice_ends_at_columns_and_rows() -> None:
    grid = a_grid((32, 48, 80))
    case = _with_mask(a_case(grid=grid, nodules=()), np.ones((1, 1, 1), bool), (4, 47, 79))
    outline = read(a_request(case)).GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    assert (max(outline.GraphicData[::2]), max(outline.GraphicData[1::2])) == (80.0, 48.0)


def test_outlines_are_closed_lines_that_are_not_filled(state: Dataset) -> None:
    for annotation in state.GraphicAnnotationSequence:
        for graphic in annotation.get("GraphicObjectSequence", ()):
            assert (graphic.GraphicType, graphic.GraphicAnnotationUnits, graphic.GraphicDimensions) == (
                "POLYLINE",
                "PIXEL",
                2,
            )
            assert len(graphic.GraphicData) == 2 * graphic.NumberOfGraphicPoints
            is_outline = annotation.GraphicLayer.startswith("NODULE_")
            assert (graphic.GraphicData[:2] == graphic.GraphicData[-2:]) == is_outline
            assert graphic.get("GraphicFilled") == ("N" if is_outline else None)


def test_the_axes_lie_on_their_slice_half_a_pixel_from_their_indices() -> None:
    """The middle of the first pixel, index 0, lies at 0.5."""
    case = a_case()
    finding = case.result.findings[0]
    long_axis = dataclasses.replace(finding.long_axis, ends_ji=((0.0, 3.0), (7.0, 5.5)))
    short_axis = dataclasses.replace(finding.short_axis, ends_ji=((2.0, 6.5), (4.0, 1.0)))
    state = read(a_request(_with(case, dataclasses.replace(finding, long_axis=long_axis, short_axis=short_axis))))
    with_axes = [item for item in state.GraphicAnnotationSequence if item.GraphicLayer == "AXES" and _graphics(item)]
    (annotation,) = with_axes
    assert [list(graphic.GraphicData) for graphic in annotation.GraphicObjectSequence] == [
        [3.5, 0.5, 6.0, 7.5],
        [7.0, 2.5, 1.5, 4.5],
    ]
    (image,) = annotation.ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == f"{SERIES_UID}.{finding.long_axis.slice_k + 1}"


def test_every_outline_has_its_number_and_the_axes_their_lengths(case: Case, state: Dataset) -> None:
    texts: dict[tuple[str, str], str] = {}
    for annotation in state.GraphicAnnotationSequence:
        for item in annotation.get("TextObjectSequence", ()):
            image = annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID
            texts[image, item.TrackingUID] = item.UnformattedTextValue
    expected = {}
    for finding in case.result.findings:
        for k in _slices(finding):
            at_axes = k == finding.long_axis.slice_k
            lengths = f": {finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"
            expected[f"{SERIES_UID}.{k + 1}", _tracking_uid(state, finding)] = (
                f"{finding.number}{lengths if at_axes else ''}"
            )
    assert texts == expected


def test_a_label_is_anchored_at_the_right_upper_corner_of_its_outline() -> None:
    case = _with_mask(a_case(), np.ones((1, 2, 3), bool), (4, 10, 20))
    label = read(a_request(case)).GraphicAnnotationSequence[1].TextObjectSequence[0]
    assert list(label.AnchorPoint) == [23.0, 10.0]
    assert (label.AnchorPointAnnotationUnits, label.AnchorPointVisibility) == ("PIXEL", "N")


def test_the_slices_with_graphics_are_referred_to_and_no_others(case: Case, state: Dataset) -> None:
    occupied = sorted({k for finding in case.result.findings for k in _slices(finding)})
    (series,) = state.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES_UID
    listed = [item.ReferencedSOPInstanceUID for item in series.ReferencedImageSequence]
    assert listed == [f"{SERIES_UID}.{k + 1}" for k in occupied]
    used = {item.ReferencedImageSequence[0].ReferencedSOPInstanceUID for item in state.GraphicAnnotationSequence}
    assert used == set(listed)


@pytest.mark.parametrize("copies", [1, 32], ids=["one header", "a header per slice"])
def test_of_an_enhanced_ct_frames_are_referred_to(case: Case, copies: int) -> None:
    instance, frames = an_enhanced_source(case)
    state = read(a_request(case, source=(instance,) * copies, frame_numbers=frames))
    (item,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    occupied = sorted({k for finding in case.result.findings for k in _slices(finding)})
    assert item.ReferencedSOPInstanceUID == instance.SOPInstanceUID
    assert list(item.ReferencedFrameNumber) == [frames[k] for k in occupied]
    drawn = outlined(state, case, {frame: k for k, frame in enumerate(frames)})
    for finding in case.result.findings:
        assert (drawn[finding.number] == _mask(finding, case.result.grid)).all()


def test_the_rescaling_of_an_enhanced_ct_is_that_of_its_frames(case: Case) -> None:
    instance, frames = an_enhanced_source(case)
    transformation = Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept = "2", "-1024"
    instance.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [transformation]
    state = read(a_request(case, source=(instance,), frame_numbers=frames))
    assert (state.RescaleSlope, state.RescaleIntercept) == (2.0, -1024.0)


def test_each_outline_lies_on_a_layer_of_its_colour_below_the_axes(case: Case, state: Dataset) -> None:
    layers = state.GraphicLayerSequence
    assert [layer.GraphicLayer for layer in layers] == ["NODULE_1", "NODULE_2", "AXES"]
    assert [layer.GraphicLayerOrder for layer in layers] == [1, 2, 3]
    for layer, finding in zip(layers, case.result.findings, strict=False):
        lightness, a, b = finding_lab(finding.number)
        # PS3.3 C.10.7.1.1: L* from 0 to 100, a* and b* from -128 to 127, each over 0 to 65535
        expected = [lightness / 100 * 65535, (a + 128) / 255 * 65535, (b + 128) / 255 * 65535]
        assert list(layer.GraphicLayerRecommendedDisplayCIELabValue) == pytest.approx(expected, abs=1.0)
    assert layers[2].GraphicLayerRecommendedDisplayCIELabValue[0] == 65535
    assert {item.GraphicLayer for item in state.GraphicAnnotationSequence} == {"NODULE_1", "NODULE_2", "AXES"}


def test_a_graphic_names_its_finding_as_the_seg_does(case: Case, state: Dataset) -> None:
    seg = read_back(compose(a_request(case)))[0]
    tracking = {(item.TrackingID, item.TrackingUID) for item in seg.SegmentSequence}
    graphics = [
        graphic
        for annotation in state.GraphicAnnotationSequence
        for graphic in (*_graphics(annotation), *annotation.get("TextObjectSequence", ()))
    ]
    assert {(graphic.TrackingID, graphic.TrackingUID) for graphic in graphics} == tracking


def test_the_whole_slice_is_shown_at_its_proportions() -> None:
    grid = dataclasses.replace(a_grid((32, 56, 80)), spacing_mm=(1.25, 1.1, 0.7))
    (area,) = read(a_request(a_case(grid=grid))).DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [80, 56]
    assert [float(step) for step in area.PresentationPixelSpacing] == [1.1, 0.7]
    assert area.PresentationSizeMode == "SCALE TO FIT"
    assert "ReferencedImageSequence" not in area  # it applies to all


def test_the_ct_is_shown_in_the_lung_window_of_its_rescaled_values() -> None:
    state = read(a_request(a_case(RescaleSlope="0.5", RescaleIntercept="-1024")))
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (-600.0, 1500.0)
    assert "ReferencedImageSequence" not in window
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (0.5, -1024.0, "HU")
    assert state.PresentationLUTShape == "IDENTITY"


def test_slices_that_are_rescaled_differently_get_states_of_their_own(case: Case) -> None:
    """A state holds for all of its images, and names one rescaling."""
    case = a_case()
    for k, header in enumerate(case.source):
        header.RescaleSlope, header.RescaleIntercept = ("1" if k < 12 else "2"), "-1024"
    states = read_back(written(a_request(case)))
    assert [state.InstanceNumber for state in states] == [1, 2]
    assert [state.RescaleSlope for state in states] == [1.0, 2.0]
    assert len({state.SOPInstanceUID for state in states}) == 2
    assert len({state.SeriesInstanceUID for state in states}) == 1
    occupied = sorted({k for finding in case.result.findings for k in _slices(finding)})
    for state, slices in zip(states, ([k for k in occupied if k < 12], [k for k in occupied if k >= 12]), strict=True):
        images = state.ReferencedSeriesSequence[0].ReferencedImageSequence
        assert [item.ReferencedSOPInstanceUID for item in images] == [f"{SERIES_UID}.{k + 1}" for k in slices]


def test_without_findings_there_is_none() -> None:
    assert written(a_request(a_case(nodules=()))) == []
    assert written(a_refusal()) == []


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Øßłđ^Ñandú"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_patient_and_study_come_through_unchanged(charset: Any, name: str) -> None:
    case = a_case(SpecificCharacterSet=charset, PatientName=name, ReferringPhysicianName="Smith^Anna")
    state = read(a_request(case))
    assert str(state.PatientName) == name
    assert state.SpecificCharacterSet == charset
    for keyword in ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
        assert state[keyword].value == case.source[0][keyword].value


def test_the_same_request_gives_the_same_bytes(case: Case) -> None:
    once, again = (as_bytes(written(a_request(each))[0].dataset) for each in (case, a_case()))
    assert once == again
    other = read(a_request(case, identity=an_identity(input_digest="01ff")))
    assert other.SOPInstanceUID != read(a_request(case)).SOPInstanceUID


def outlined(state: Dataset, case: Case, slice_of_frame: dict[int, int] | None = None) -> dict[int, NDArray[np.bool_]]:
    """The voxels whose middles lie inside an odd number of lines, by number of the layer, on the slices referred to."""
    slice_of = {header.SOPInstanceUID: k for k, header in enumerate(case.source)}
    masks: dict[int, NDArray[np.bool_]] = {}
    for annotation in state.GraphicAnnotationSequence:
        if annotation.GraphicLayer.startswith("NODULE_"):
            (image,) = annotation.ReferencedImageSequence
            frame = image.get("ReferencedFrameNumber")
            k = slice_of[image.ReferencedSOPInstanceUID] if slice_of_frame is None else slice_of_frame[frame]
            mask = masks.setdefault(int(annotation.GraphicLayer[7:]), np.zeros(case.result.grid.shape_kji, bool))
            for graphic in annotation.GraphicObjectSequence:
                mask[k] ^= _inside(np.reshape(graphic.GraphicData, (-1, 2)), mask.shape[1:])
    return masks


def _inside(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels with an odd number of sides between their middle and the right edge of the slice."""
    rows, columns = np.indices(shape) + 0.5
    inside = np.zeros(shape, bool)
    for (x, y), (other_x, other_y) in zip(points[:-1], points[1:], strict=True):
        if y != other_y:
            at = x + (rows - y) * (other_x - x) / (other_y - y)
            inside ^= (np.minimum(y, other_y) < rows) & (rows < np.maximum(y, other_y)) & (columns < at)
    return inside


def _graphics(annotation: Dataset) -> list[Dataset]:
    return list(annotation.get("GraphicObjectSequence", ()))


def _slices(finding: Finding) -> list[int]:
    return [finding.mask.start_kji[0] + k for k, plane in enumerate(finding.mask.voxels) if plane.any()]


def _tracking_uid(state: Dataset, finding: Finding) -> str:
    (uid,) = {
        str(graphic.TrackingUID)
        for annotation in state.GraphicAnnotationSequence
        if annotation.GraphicLayer == f"NODULE_{finding.number}"
        for graphic in annotation.GraphicObjectSequence
    }
    return uid


def _mask(finding: Finding, grid: Grid) -> NDArray[np.bool_]:
    mask = np.zeros(grid.shape_kji, bool)
    mask[finding.mask.box] = finding.mask.voxels
    return mask


def _with(case: Case, finding: Finding) -> Case:
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=(finding,)))


def _with_mask(case: Case, voxels: NDArray[np.bool_], start_kji: tuple[int, int, int]) -> Case:
    """The case with one finding of this mask, and axes that run through its first pixel."""
    one = a_case().result.findings[0]
    k, j, i = start_kji
    axis = dataclasses.replace(one.long_axis, slice_k=k, ends_ji=((j - 0.5, i - 0.5), (j + 0.5, i + 0.5)))
    mask = CroppedMask(start_kji=start_kji, voxels=voxels)
    return _with(case, dataclasses.replace(one, mask=mask, long_axis=axis, short_axis=axis))
