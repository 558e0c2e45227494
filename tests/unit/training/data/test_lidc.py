"""Outlines become masks on the grid of their CT, or are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from inference.geometry import Grid
from tests.support.ct_instances import uid
from tests.support.series import a_series
from training.data.ct_series import series_below
from training.data.known import Refusal, whole
from training.data.known_patches import patch_of
from training.data.known_slices import largest_slice_of
from training.data.lidc import LidcSeries, OutlinesMisplaced, find, found_in, matched, nodules_on, read
from training.data.lidc_sqlite import Annotation, LidcScan, Outline, database
from training.data.lidc_sqlite import read as read_database

CT = Path(__file__).parents[4] / "../shared/data/ct"


def a_box(number: int, *, x: int = 20, y: int = 30, width: int = 5, malignancy: int = 4) -> Annotation:
    """Squares of `width` pixels, outline included, on the slices at 0 and 2.5 mm."""
    return Annotation(
        number=number,
        ratings={"malignancy": malignancy},
        outlines=tuple(an_outline(x, y, width, z) for z in (0.0, 2.5)),
    )


def an_outline(x: int, y: int, width: int, z: float, *, is_inclusion: bool = True) -> Outline:
    corners = [(x, y), (x + width - 1, y), (x + width - 1, y + width - 1), (x, y + width - 1)]
    return Outline(z_mm=z, is_inclusion=is_inclusion, points_xy=np.array(corners))


def a_scan(*annotations: Annotation, series_uid: str = "1.2") -> LidcScan:
    return LidcScan(
        series_uid=series_uid,
        patient_id="LIDC-IDRI-9999",
        thickness_mm=2.5,
        pixel_mm=0.8,
        slices_z_mm=np.arange(-48.75, 50, 2.5),
        annotations=annotations,
    )


def a_grid() -> Grid:
    return Grid(
        shape_kji=(40, 64, 64),
        spacing_mm=(2.5, 0.8, 0.8),
        origin_lps=(-25.2, -25.2, -50.0),
        directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )


def test_columns_rows_and_heights_become_voxels() -> None:
    (nodule,) = nodules_on(a_scan(a_box(7)), a_grid())
    assert nodule.mask is not None
    assert nodule.mask.start_kji == (20, 30, 20)  # z = 0 is slice 50 / 2.5
    assert nodule.mask.voxels.shape == (2, 5, 5)
    assert nodule.mask.voxels.all()
    assert nodule.ratings == (4,)
    # the middle of voxels 20..24, 30..34 and of slices 20 and 21
    assert nodule.centre_lps == pytest.approx((-25.2 + 22 * 0.8, -25.2 + 32 * 0.8, 1.25))
    assert nodule.diameter_mm == pytest.approx((6 * 50 * 0.8 * 0.8 * 2.5 / np.pi) ** (1 / 3))


def test_an_exclusion_cuts_a_hole_wherever_it_stands_in_the_list() -> None:
    hole = an_outline(21, 31, 3, 0.0, is_inclusion=False)
    outlines = (hole, *a_box(1).outlines)
    (nodule,) = nodules_on(a_scan(dataclasses.replace(a_box(1), outlines=outlines)), a_grid())
    assert nodule.mask is not None
    assert not nodule.mask.voxels[0, 1:4, 1:4].any()
    assert nodule.mask.voxels.sum() == 50 - 9


def test_the_mask_is_what_half_of_the_readers_drew_and_each_reader_stays() -> None:
    readers = a_box(1, width=5), a_box(2, width=5), a_box(3, width=9), a_box(4, width=3)
    (nodule,) = nodules_on(a_scan(*readers), a_grid())
    assert nodule.mask is not None
    assert nodule.mask.voxels.shape == (2, 5, 5)
    assert [int(reader.voxels.sum()) for reader in nodule.readers] == [50, 50, 162, 18]


def test_a_grid_that_runs_from_head_to_feet_gives_the_same_places() -> None:
    upright, turned = (
        a_grid(),
        dataclasses.replace(
            a_grid(), origin_lps=(-25.2, -25.2, 47.5), directions=((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
        ),
    )
    (one,), (other,) = nodules_on(a_scan(a_box(1)), upright), nodules_on(a_scan(a_box(1)), turned)
    assert one.centre_lps == pytest.approx(other.centre_lps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing_mm": (2.5, 0.7, 0.7)}, "pixels of 0.7 mm"),
        ({"origin_lps": (-25.2, -25.2, -51.0)}, "no slice lies at z = 0 mm"),
        ({"shape_kji": (20, 64, 64)}, "no slice lies at z = 0 mm"),
        ({"shape_kji": (40, 64, 22)}, "outside the pixels"),
    ],
)
def test_outlines_of_another_grid_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OutlinesMisplaced, match=message):
        nodules_on(a_scan(a_box(1)), dataclasses.replace(a_grid(), **change))  # type: ignore[arg-type]


def test_a_folder_gives_what_the_database_knows_and_refuses_the_rest(tmp_path: Path) -> None:
    for name in "1234":
        a_series(tmp_path / name, series=name, slices=24, drop={20} if name == "3" else ())
    nodule = dataclasses.replace(a_box(1), outlines=(an_outline(20, 30, 5, 1.25),))
    scans = [a_scan(nodule, series_uid=uid("1", name)) for name in "13"]
    scans.append(a_scan(dataclasses.replace(nodule, outlines=(an_outline(20, 30, 5, 2.5),)), series_uid=uid("1", "4")))
    found = {item.subject if isinstance(item, Refusal) else "ok": item for item in find(tmp_path, scans)}
    codes = {subject: item.code for subject, item in found.items() if isinstance(item, Refusal)}
    assert codes == {
        uid("1", "2"): "lidc.unknown-series",
        uid("1", "3"): "series.gap",
        uid("1", "4"): "lidc.outlines-misplaced",
    }
    assert isinstance(found["ok"], LidcSeries)
    series = read(found["ok"])
    (k, j, i), at = series.nodules[0].mask.start_kji, series.volume.grid.lps_from_kji  # type: ignore[union-attr]
    assert series.volume.volume_hu[k, j, i] == pytest.approx(at((k, j, i)) @ (1, 2, 3), abs=1)


@pytest.mark.data
@pytest.mark.skipif(not CT.is_dir(), reason="../shared/data is not there")
def test_the_nodule_of_a_real_ct_lies_where_it_is_known_to_be() -> None:
    headers = series_below(CT / "LIDC-IDRI-0001")
    scans = read_database(database(), [headers[0].series_instance_uid])
    (refused,) = found_in(headers, scans)
    assert isinstance(refused, Refusal)
    assert refused.code == "patient.demo"
    found = matched(headers[0], {scan.series_uid: scan for scan in scans})
    assert isinstance(found, LidcSeries)
    series = read(found)
    (nodule,) = series.nodules
    # the README of the data says (56.2, 86.3, -115.9), rated 4.75 of 5
    assert nodule.centre_lps == pytest.approx((56.2, 86.3, -115.9), abs=0.5)
    assert np.mean(nodule.ratings) == 4.75
    assert nodule.mask is not None
    mask = whole(nodule.mask, series.volume.grid.shape_kji)
    patch, cut = patch_of(series, nodule), largest_slice_of(series, nodule)
    assert patch is not None
    assert patch.mask.sum() == pytest.approx(mask.sum() * series.volume.grid.voxel_mm3, rel=0.03)
    assert np.median(patch.patch_hu[patch.mask]) > -100
    assert np.argwhere(patch.mask).mean(axis=0) == pytest.approx(25, abs=0.5)
    assert cut is not None
    assert cut.readers_RJI.shape == (4, 71, 71)
    assert cut.mask().sum() == mask.sum(axis=(1, 2)).max()
    around = binary_dilation(cut.mask(), iterations=4) & ~binary_dilation(cut.mask(), iterations=2)
    assert np.median(cut.image_hu[cut.mask()]) > -100 > -600 > np.median(cut.image_hu[around])
