"""Segmentations as the node writes them, and as others change them, become masks on their CT or are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_node.report import compose
from tests.support.ct_instances import edit
from tests.support.results import WITH_LUNGS, Case, a_request, as_bytes, balls_hu, case_from_files, options
from tests.support.series import a_series
from training.data.dicom_pairs import DicomPair, find, read
from training.data.known import KnownSeries, Refusal, whole

Change = Callable[[Dataset], object]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Case]:
    """A CT with two nodules, and the node's segmentations of nodules and lungs beside it."""
    folder = tmp_path_factory.mktemp("pair")
    case, _ = case_from_files(a_series(folder / "ct", hu=balls_hu, slices=24, size=(48, 48)))
    documents = compose(a_request(case, options=options(objects=WITH_LUNGS)))
    for name, document in zip(("nodules", "lungs"), documents, strict=False):
        (folder / f"{name}.dcm").write_bytes(as_bytes(document.dataset))
    return folder, case


def a_folder(tmp_path: Path, written: tuple[Path, Case], change: Change = lambda _: None) -> Path:
    """The same folder with a changed segmentation of nodules and without that of the lungs."""
    for path in sorted((written[0] / "ct").iterdir()):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "seg.dcm").write_bytes((written[0] / "nodules.dcm").read_bytes())
    edit(tmp_path / "seg.dcm", change)
    return tmp_path


def series_of(folder: Path) -> KnownSeries:
    (pair,) = find(folder)
    assert isinstance(pair, DicomPair), pair
    return read(pair)


def voxels(series: KnownSeries) -> list[np.ndarray]:
    return [whole(n.mask, series.volume.grid.shape_kji) for n in series.nodules if n.mask is not None]


def expected(case: Case) -> list[np.ndarray]:
    return [whole(finding.mask, case.result.grid.shape_kji) for finding in case.result.findings]


def test_every_voxel_of_the_node_s_segmentation_comes_back_and_the_lungs_are_refused(
    written: tuple[Path, Case],
) -> None:
    folder, case = written
    found = list(find(folder))
    assert [item.code for item in found if isinstance(item, Refusal)] == ["seg.no-nodule"]
    (pair,) = (item for item in found if isinstance(item, DicomPair))
    assert (pair.segments, pair.automatic_segments) == (2, 2)
    series = read(pair)
    assert np.array_equal(series.volume.volume_hu, case.volume_hu)
    for mask, mask_before in zip(voxels(series), expected(case), strict=True):
        assert np.array_equal(mask, mask_before)
    for nodule, finding in zip(series.nodules, case.result.findings, strict=True):
        assert nodule.centre_lps == pytest.approx(finding.centre_lps, abs=0.01)
        assert np.pi / 6 * nodule.diameter_mm**3 == pytest.approx(finding.volume_mm3)


def test_a_fractional_segmentation_counts_from_a_half_on(tmp_path: Path, written: tuple[Path, Case]) -> None:
    def soften(seg: Dataset) -> None:
        values = seg.pixel_array * np.uint8(50)
        values[:, ::2] = np.minimum(values[:, ::2], 49)
        seg.SegmentationType, seg.MaximumFractionalValue = "FRACTIONAL", 100
        seg.BitsAllocated, seg.BitsStored, seg.HighBit = 8, 8, 7
        seg.PixelData = values.tobytes()

    series = series_of(a_folder(tmp_path, written, soften))
    for mask, before in zip(voxels(series), expected(written[1]), strict=True):
        assert not mask[:, ::2].any()
        assert np.array_equal(mask[:, 1::2], before[:, 1::2])


def test_a_segmentation_that_names_no_series_finds_its_ct_by_the_frame_of_reference(
    tmp_path: Path, written: tuple[Path, Case]
) -> None:
    series = series_of(a_folder(tmp_path, written, lambda seg: delattr(seg, "ReferencedSeriesSequence")))
    assert len(series.nodules) == 2


def test_orientation_may_stand_with_each_frame_and_source_images_may_be_missing(
    tmp_path: Path, written: tuple[Path, Case]
) -> None:
    def rewritten(seg: Dataset) -> None:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            del frame.DerivationImageSequence
            frame.PlaneOrientationSequence = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
        del seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence

    series = series_of(a_folder(tmp_path, written, rewritten))
    assert all(map(np.array_equal, voxels(series), expected(written[1])))


def test_a_segment_without_a_pixel_is_left_out(tmp_path: Path, written: tuple[Path, Case]) -> None:
    def emptied(seg: Dataset) -> None:
        seg.PixelData = b"\0" * len(seg.PixelData)

    assert series_of(a_folder(tmp_path, written, emptied)).nodules == ()


def test_the_newest_of_two_segmentations_is_used(tmp_path: Path, written: tuple[Path, Case]) -> None:
    folder = a_folder(tmp_path, written)

    def corrected(seg: Dataset) -> None:
        seg.SeriesInstanceUID, seg.SOPInstanceUID, seg.ContentDate = "1.2.3", "1.2.3.4", "20300101"

    (folder / "later.dcm").write_bytes((folder / "seg.dcm").read_bytes())
    edit(folder / "later.dcm", corrected)
    refused, pair = find(folder)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.subject) == ("seg.superseded", "seg.dcm")
    assert isinstance(pair, DicomPair)
    assert [one.series_uid for one in pair.segmentations] == ["1.2.3"]


def test_the_patient_is_the_same_in_all_studies_and_cannot_be_read_off(
    tmp_path: Path, written: tuple[Path, Case]
) -> None:
    patient = dcmread(written[0] / "nodules.dcm").PatientID
    assert patient not in series_of(a_folder(tmp_path, written)).patient_id


def _shift(millimetres: tuple[float, float, float]) -> Change:
    def change(seg: Dataset) -> None:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            position = frame.PlanePositionSequence[0]
            position.ImagePositionPatient = [
                float(at) + step for at, step in zip(position.ImagePositionPatient, millimetres, strict=True)
            ]

    return change


def _turn(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, -1, 0, 0]


def _widen(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.9, 0.9]


def _refer_to_another_series(seg: Dataset) -> None:
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def _refer_to_another_space(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = "1.2.3"


def _swap_sources(seg: Dataset) -> None:
    first, *_, last = seg.PerFrameFunctionalGroupsSequence
    first.DerivationImageSequence, last.DerivationImageSequence = (
        last.DerivationImageSequence,
        first.DerivationImageSequence,
    )


def _call_it_a_vessel(seg: Dataset) -> None:
    for segment in seg.SegmentSequence:
        segment.SegmentedPropertyTypeCodeSequence[0].CodeValue = "59820001"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(_refer_to_another_series, "seg.ct-missing", id="drawn on a series that is not there"),
        pytest.param(
            lambda seg: setattr(seg, "FrameOfReferenceUID", "1.2.3"), "seg.other-frame-of-reference", id="for"
        ),
        pytest.param(_turn, "seg.other-grid", id="turned"),
        pytest.param(_widen, "seg.other-grid", id="other pixels"),
        pytest.param(_shift((0.4, 0, 0)), "seg.other-grid", id="half a pixel aside"),
        pytest.param(lambda seg: setattr(seg, "Columns", 24), "seg.other-grid", id="fewer columns"),
        pytest.param(_shift((0, 0, 1.2)), "seg.slice-missing", id="between slices"),
        pytest.param(_shift((0, 0, 500)), "seg.slice-missing", id="above the CT"),
        pytest.param(_shift((0, 0, 2.5)), "seg.source-mismatch", id="one slice higher"),
        pytest.param(_swap_sources, "seg.source-mismatch", id="sources swapped"),
        pytest.param(_call_it_a_vessel, "seg.no-nodule", id="vessels"),
        pytest.param(lambda seg: setattr(seg, "SegmentationType", "LABELMAP"), "seg.type", id="labelmap"),
        pytest.param(lambda seg: setattr(seg, "PatientID", ""), "seg.no-patient", id="no patient"),
        pytest.param(lambda seg: delattr(seg, "SegmentSequence"), "seg.unreadable", id="no segments"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, written: tuple[Path, Case], change: Change, code: str) -> None:
    (refused,) = find(a_folder(tmp_path, written, change))
    assert isinstance(refused, Refusal)
    assert refused.code == code
    assert refused.text


def test_a_ct_with_a_gap_is_refused_with_the_reason_of_its_series(tmp_path: Path, written: tuple[Path, Case]) -> None:
    folder = a_folder(tmp_path, written)
    (folder / "0012.dcm").unlink()
    (refused,) = find(folder)
    assert isinstance(refused, Refusal)
    assert refused.code == "series.gap"


def test_a_ct_without_a_segmentation_is_passed_over(tmp_path: Path, written: tuple[Path, Case]) -> None:
    (a_folder(tmp_path, written) / "seg.dcm").unlink()
    assert list(find(tmp_path)) == []


def test_two_series_in_one_frame_of_reference_need_a_name(tmp_path: Path, written: tuple[Path, Case]) -> None:
    folder = a_folder(tmp_path, written, lambda seg: delattr(seg, "ReferencedSeriesSequence"))
    a_series(folder / "other", hu=balls_hu, slices=24, size=(48, 48), series="2")
    (refused,) = find(folder)
    assert isinstance(refused, Refusal)
    assert refused.code == "seg.ambiguous"
