"""Phantoms as DICOM: what is written is what was made, and it says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.unit.training.data.phantom.conftest import small
from training.data.phantom import Phantom
from training.data.phantom.dicomise import identity, write

EXPLICIT, IMPLICIT, JPEG_LS, RLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
)


@pytest.fixture(scope="module")
def series(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> list[pydicom.Dataset]:
    directory = tmp_path_factory.mktemp("phantom")
    return [pydicom.dcmread(path) for path in write(phantom, directory)]


def hu_of(instances: list[pydicom.Dataset]) -> np.ndarray:
    """The volume, by position."""
    ordered = sorted(instances, key=lambda instance: float(instance.ImagePositionPatient[2]))
    return np.stack([each.pixel_array * float(each.RescaleSlope) + float(each.RescaleIntercept) for each in ordered])


def test_the_written_series_is_the_phantom(phantom: Phantom, series: list[pydicom.Dataset]) -> None:
    assert (hu_of(series) == phantom.volume_hu).all()


@pytest.mark.parametrize("syntax", [IMPLICIT, JPEG_LS, RLE])
def test_other_encodings_hold_the_same_instances(
    phantom: Phantom, series: list[pydicom.Dataset], tmp_path: Path, syntax: str
) -> None:
    instances = [pydicom.dcmread(path) for path in write(phantom, tmp_path, transfer_syntax=syntax)]
    assert {instance.file_meta.TransferSyntaxUID for instance in instances} == {syntax}
    assert [instance.SOPInstanceUID for instance in instances] == [instance.SOPInstanceUID for instance in series]
    assert (hu_of(instances) == phantom.volume_hu).all()


def test_positions_and_spacings_are_those_of_the_grid(phantom: Phantom, series: list[pydicom.Dataset]) -> None:
    grid = phantom.grid
    lowest = min(series, key=lambda instance: float(instance.ImagePositionPatient[2]))
    heights = sorted(float(instance.ImagePositionPatient[2]) for instance in series)
    assert [float(at) for at in lowest.ImagePositionPatient] == pytest.approx(grid.origin_lps, abs=1e-5)
    assert np.diff(heights) == pytest.approx(grid.spacing_mm[0], abs=1e-5)
    assert [float(at) for at in lowest.PixelSpacing] == pytest.approx(grid.spacing_mm[1:], abs=1e-6)
    assert [float(at) for at in lowest.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    assert float(lowest.SliceThickness) == phantom.protocol.thickness_mm


def test_instances_are_numbered_from_the_head_down(series: list[pydicom.Dataset]) -> None:
    heights = [float(instance.ImagePositionPatient[2]) for instance in series]
    assert [instance.InstanceNumber for instance in series] == list(range(1, len(series) + 1))
    assert heights == sorted(heights, reverse=True)


def test_every_instance_says_that_it_is_synthetic(series: list[pydicom.Dataset]) -> None:
    for instance in series:
        assert instance.PatientName == "PHANTOM^SYNTHETIC"
        assert instance.PatientID.startswith("SYNTHETIC-")
        assert instance.SyntheticData == "YES"
        assert instance.ImageType[0] == "DERIVED"
        for text in (instance.SeriesDescription, instance.StudyDescription, instance.ImageComments):
            assert "SYNTHETIC PHANTOM" in text


def test_the_same_phantom_has_the_same_uids_and_another_has_others(phantom: Phantom) -> None:
    other = small(1)
    uids = [
        {each.study_uid, each.series_uid, each.frame_of_reference_uid, *each.instance_uids}
        for each in (identity(phantom), identity(other))
    ]
    assert identity(phantom) == identity(phantom)
    assert len(uids[0]) == 3 + len(phantom.volume_hu)
    assert uids[0].isdisjoint(uids[1])
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids[0])


def test_phantoms_of_one_seed_with_other_pixels_have_other_uids(
    phantom: Phantom, phantom_without_distractors: Phantom
) -> None:
    assert phantom.seed == phantom_without_distractors.seed
    assert identity(phantom).series_uid != identity(phantom_without_distractors).series_uid


def test_the_truth_stands_beside_the_series(phantom: Phantom, tmp_path: Path) -> None:
    write(phantom, tmp_path)
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["synthetic"] is True
    assert truth["seed"] == phantom.seed
    assert truth["series_uid"] == identity(phantom).series_uid
    assert [nodule["centre_lps"] for nodule in truth["nodules"]] == [
        pytest.approx(nodule.centre_lps, abs=0.01) for nodule in phantom.nodules
    ]
    assert {nodule["attenuation"] for nodule in truth["nodules"]} <= {"solid", "part-solid", "non-solid", "calcified"}
