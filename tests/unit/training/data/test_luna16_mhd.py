"""LUNA16's volumes lie where their headers say, flipped ones too, and their marks on the right voxels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from training.data.known import Refusal
from training.data.known_patches import patch_of
from training.data.lidc_sqlite import Annotation, LidcScan, Outline
from training.data.luna16_mhd import Luna16Scan, TableBroken, candidates_of, find, read

SERIES = "1.3.6.1"
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
NODULE_KJI = (8, 20, 30)
MARK = {UPRIGHT: (-100 + 30 * 0.8, -50 + 20 * 0.8, -200 + 8 * 2.0), FLIPPED: (-100 - 24.0, -50 - 16.0, -184.0)}
"""Where voxel (8, 20, 30) lies, by hand."""


def a_folder(
    tmp_path: Path,
    direction: tuple[float, ...] = UPRIGHT,
    *,
    suffix: str = "raw",
    diameter: float = 6.0,
    excluded: str = "",
) -> Path:
    """A volume of air with one voxel of bone, marked in `annotations.csv`."""
    values = np.full((16, 48, 64), -3024, np.int16)
    values[NODULE_KJI] = 300
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.8, 0.8, 2.0))
    image.SetOrigin((-100.0, -50.0, -200.0))
    image.SetDirection(direction)
    subset = tmp_path / "subset3"
    subset.mkdir()
    sitk.WriteImage(image, str(subset / f"{SERIES}.mhd"), useCompression=suffix == "zraw")
    assert (subset / f"{SERIES}.{suffix}").exists()
    x, y, z = MARK.get(direction, MARK[UPRIGHT])
    columns = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
    (tmp_path / "annotations.csv").write_text(f"{columns}{SERIES},{x},{y},{z},{diameter}\n9.9,0,0,0,5\n")
    if excluded:
        (tmp_path / "annotations_excluded.csv").write_text(f"{columns}{SERIES},{x},{y},{z},{excluded}\n")
    return tmp_path


def the_scan(folder: Path) -> Luna16Scan:
    (scan,) = find(folder, {SERIES: "LIDC-IDRI-0042"})
    assert isinstance(scan, Luna16Scan), scan
    return scan


@pytest.mark.parametrize("direction", [UPRIGHT, FLIPPED], ids=["upright", "flipped"])
@pytest.mark.parametrize("suffix", ["raw", "zraw"])
def test_a_mark_lies_on_its_voxel_however_the_volume_is_turned(
    tmp_path: Path, direction: tuple[float, ...], suffix: str
) -> None:
    series = read(the_scan(a_folder(tmp_path, direction, suffix=suffix)))
    (nodule,) = series.nodules
    kji = series.volume.grid.kji_from_lps(nodule.centre_lps)
    assert kji == pytest.approx(NODULE_KJI)
    assert series.volume.volume_hu[NODULE_KJI] == 300
    assert series.volume.volume_hu.min() == -1024
    assert nodule.mask is None


def test_patient_subset_and_diameter_are_kept(tmp_path: Path) -> None:
    scan = the_scan(a_folder(tmp_path))
    assert (scan.patient_id, scan.subset) == ("LIDC-IDRI-0042", 3)
    assert read(scan).nodules[0].diameter_mm == 6.0


def test_a_series_of_no_known_patient_is_its_own_patient(tmp_path: Path) -> None:
    (scan,) = find(a_folder(tmp_path), {})
    assert isinstance(scan, Luna16Scan)
    assert scan.patient_id == SERIES


def test_the_demo_s_patient_is_refused(tmp_path: Path) -> None:
    (refused,) = find(a_folder(tmp_path), {SERIES: "LIDC-IDRI-0001"})
    assert isinstance(refused, Refusal)
    assert refused.code == "patient.demo"


def test_exclusions_are_no_nodules_and_may_have_no_diameter(tmp_path: Path) -> None:
    series = read(the_scan(a_folder(tmp_path, excluded="-1")))
    assert (len(series.nodules), len(series.excluded)) == (1, 1)
    assert series.excluded[0].diameter_mm == 0.0


def a_lidc_scan(x: int) -> LidcScan:
    """One reader's square of 5 pixels around column x on the nodule's slice, and the next one."""
    corners = np.array([(x - 2, 18), (x + 2, 18), (x + 2, 22), (x - 2, 22)])
    outlines = tuple(Outline(z_mm=z, is_inclusion=True, points_xy=corners) for z in (-186.0, -184.0, -182.0))
    return LidcScan(
        series_uid=SERIES,
        patient_id="LIDC-IDRI-0042",
        thickness_mm=2.0,
        pixel_mm=0.8,
        slices_z_mm=np.arange(-200.0, -168.0, 2.0),
        annotations=(Annotation(number=1, ratings={"malignancy": 5}, outlines=outlines),),
    )


@pytest.mark.parametrize("direction", [UPRIGHT, FLIPPED], ids=["upright", "flipped"])
def test_the_outlines_of_lidc_bring_masks_and_ratings(tmp_path: Path, direction: tuple[float, ...]) -> None:
    series = read(the_scan(a_folder(tmp_path, direction)), a_lidc_scan(30))
    (nodule,) = series.nodules
    assert nodule.mask is not None
    assert nodule.mask.start_kji == (7, 18, 28)
    assert nodule.mask.voxels.shape == (3, 5, 5)
    assert nodule.ratings == (5,)
    patch = patch_of(series, nodule)
    assert patch is not None
    # 3 slices of 2 mm and 5 pixels of 0.8 mm = 6 x 4 x 4 mm around the middle of the patch
    assert np.argwhere(patch.mask).mean(axis=0) == pytest.approx(25, abs=0.01)
    assert patch.mask[:, 25, 25].sum() == pytest.approx(6, abs=1)
    assert patch.mask[25, :, 25].sum() == patch.mask[25, 25].sum() == pytest.approx(4, abs=1)
    assert np.unravel_index(patch.patch_hu.argmax(), patch.patch_hu.shape) == (25, 25, 25)


def test_an_outline_outside_the_radius_is_of_another_nodule(tmp_path: Path) -> None:
    # 4 pixels of 0.8 mm = 3.2 mm aside, the radius is 3 mm
    (nodule,) = read(the_scan(a_folder(tmp_path)), a_lidc_scan(34)).nodules
    assert nodule.mask is None
    assert nodule.ratings == ()


def test_a_mark_outside_the_volume_refuses_it(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "annotations.csv").write_text(f"seriesuid,coordX,coordY,coordZ,diameter_mm\n{SERIES},0,0,500,5\n")
    (refused,) = find(folder, {})
    assert isinstance(refused, Refusal)
    assert refused.code == "luna16.mark-outside"


def test_axes_that_are_not_at_right_angles_are_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    header = folder / "subset3" / f"{SERIES}.mhd"
    header.write_text(header.read_text().replace("TransformMatrix = 1 0 0", "TransformMatrix = 1 0.5 0"))
    (refused,) = find(folder, {})
    assert isinstance(refused, Refusal)
    assert refused.code == "luna16.header"


def test_a_header_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "subset3" / f"{SERIES}.mhd").write_text("nothing")
    (refused,) = find(folder, {})
    assert isinstance(refused, Refusal)
    assert refused.code == "luna16.header"


@pytest.mark.parametrize("table", ["seriesuid,x,y\n1,2,3\n", "seriesuid,coordX,coordY,coordZ,diameter_mm\n1,a,2,3,4\n"])
def test_a_broken_table_stops_the_reading(tmp_path: Path, table: str) -> None:
    folder = a_folder(tmp_path)
    (folder / "annotations.csv").write_text(table)
    with pytest.raises(TableBroken):
        list(find(folder, {}))


def test_candidates_are_counted(tmp_path: Path) -> None:
    assert candidates_of(tmp_path) is None
    rows = "".join(f"{SERIES},1,2,3,{kind}\n" for kind in (0, 0, 1))
    (tmp_path / "candidates_V2.csv").write_text(f"seriesuid,coordX,coordY,coordZ,class\n{rows}")
    counts = candidates_of(tmp_path)
    assert counts is not None
    assert dataclasses.astuple(counts) == (3, 1)
