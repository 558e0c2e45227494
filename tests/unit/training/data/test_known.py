"""Masks in boxes, patches and slices of known nodules, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.geometry import Grid
from inference.volume import Volume
from training.data.known import KnownNodule, KnownSeries, centre_lps, cropped, whole
from training.data.known_patches import patch_of
from training.data.known_slices import largest_slice_of
from training.labels.malignancy import Label

GRID = Grid(
    shape_kji=(30, 90, 100),
    spacing_mm=(2.0, 0.5, 0.5),
    origin_lps=(10.0, 20.0, 30.0),
    directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)


def a_box(start: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(GRID.shape_kji, bool)
    mask[tuple(slice(first, first + n) for first, n in zip(start, size, strict=True))] = True
    return mask


def a_known(name: str, mask: np.ndarray, *readers: np.ndarray) -> KnownNodule:
    boxes = [cropped(reader) for reader in readers]
    return KnownNodule(
        nodule_id=name,
        patient_id="P1",
        series_uid="1.2",
        centre_lps=centre_lps(mask, (0, 0, 0), GRID),
        diameter_mm=5.0,
        mask=cropped(mask),
        readers=tuple(box for box in boxes if box is not None),
        ratings=(4, 5),
    )


def a_series(*nodules: KnownNodule) -> KnownSeries:
    """Voxels tell their column and row: 100 * row + column."""
    _, rows, columns = np.indices(GRID.shape_kji)
    volume = Volume(volume_hu=(100 * rows + columns).astype(np.int16), grid=GRID, frame_of_reference_uid="")
    return KnownSeries(patient_id="P1", series_uid="1.2", volume=volume, nodules=nodules)


def test_a_mask_is_cut_to_its_box_and_put_back() -> None:
    mask = a_box((3, 4, 5), (2, 3, 4))
    box = cropped(mask)
    assert box is not None
    assert (box.start_kji, box.voxels.shape) == ((3, 4, 5), (2, 3, 4))
    assert np.array_equal(whole(box, GRID.shape_kji), mask)
    assert cropped(np.zeros((2, 2, 2), bool)) is None
    assert centre_lps(box.voxels, box.start_kji, GRID) == (10 + 6.5 * 0.5, 20 + 5 * 0.5, 30 + 3.5 * 2)


def test_the_largest_slice_is_cut_at_the_ct_s_own_pixels() -> None:
    mask = a_box((10, 40, 50), (2, 5, 7)) | a_box((12, 40, 50), (1, 9, 11))
    series = a_series(a_known("n", mask, mask, a_box((12, 42, 52), (1, 3, 3)), a_box((10, 42, 52), (1, 3, 3))))
    cut = largest_slice_of(series, series.nodules[0])
    assert cut is not None
    # rows 40..48 and columns 50..60 on slice 12: the middle (44, 55) is pixel 35 of 71
    assert cut.case_id == "n:12"
    assert cut.image_hu[35, 35] == 100 * 44 + 55
    assert cut.image_hu[0, 0] == 100 * 9 + 20
    # the third reader drew nothing on this slice
    assert [int(reader.sum()) for reader in cut.readers_RJI] == [99, 9]
    assert np.argwhere(cut.readers_RJI[0]).mean(axis=0).tolist() == [35, 35]
    assert (cut.pixel_spacing_mm, cut.ratings, cut.patient_id) == (0.5, (4, 5), "P1")


def test_beyond_the_border_the_nearest_pixel_is_repeated() -> None:
    series = a_series(a_known("n", a_box((0, 0, 0), (1, 3, 3))))
    cut = largest_slice_of(series, series.nodules[0])
    assert cut is not None
    assert cut.image_hu[34, 34] == 0  # (1, 1) is pixel 35; (0, 0) is 34, and 33 repeats it
    assert cut.image_hu[33, 33] == 0
    assert cut.image_hu[33, 36] == 2
    assert cut.readers_RJI.sum() == 9


def test_a_patch_is_centred_and_knows_the_other_nodules() -> None:
    # 8 x 8 pixels and 2 slices: 4 x 4 x 4 mm; the other one 10 mm to the left, 4 x 4 x 2 mm
    series = a_series(a_known("n", a_box((14, 40, 40), (2, 8, 8))), a_known("m", a_box((15, 40, 60), (1, 8, 8))))
    patch = patch_of(series, series.nodules[0])
    assert patch is not None
    assert np.argwhere(patch.mask).mean(axis=0) == pytest.approx(25, abs=0.01)
    assert patch.mask.sum() == pytest.approx(4 * 4 * 4, rel=0.3)
    k, j, i = np.argwhere(patch.others).mean(axis=0)
    assert (k, j, i) == pytest.approx((26, 25, 35), abs=0.01)
    # one millimetre is two columns and two rows
    assert patch.patch_hu[25, 25, 26] - patch.patch_hu[25, 25, 25] == 2
    assert patch.patch_hu[25, 26, 25] - patch.patch_hu[25, 25, 25] == 200
    assert patch.label is Label.MALIGNANT


def test_what_nobody_drew_becomes_neither_patch_nor_slice_and_what_nobody_rated_is_uncertain() -> None:
    nodule = a_known("n", a_box((14, 40, 40), (2, 8, 8)))
    bare, unrated = dataclasses.replace(nodule, mask=None), dataclasses.replace(nodule, ratings=())
    series = a_series(bare, unrated)
    assert patch_of(series, bare) is None
    assert largest_slice_of(series, bare) is None
    patch = patch_of(series, unrated)
    assert patch is not None
    assert patch.label is Label.UNCERTAIN
