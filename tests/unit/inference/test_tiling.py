"""Windows: where they are, and their values."""

from __future__ import annotations

import numpy as np
import pytest

from inference.tiling import batches, closest_window, window, window_starts

ROI, STRIDE = (8, 8, 8), (4, 4, 4)


def test_windows_without_lung_are_skipped() -> None:
    lungs = np.zeros((16, 8, 12), bool)
    lungs[12, 0, 11] = True
    assert window_starts(lungs, ROI, STRIDE) == ((8, 0, 4),)
    lungs[4, 0, 4] = True
    assert window_starts(lungs, ROI, STRIDE) == ((0, 0, 0), (0, 0, 4), (4, 0, 0), (4, 0, 4), (8, 0, 4))


def test_the_last_window_ends_where_the_field_does() -> None:
    lungs = np.ones((8, 10, 13), bool)
    starts = window_starts(lungs, ROI, STRIDE)
    assert starts == tuple((0, j, i) for j in (0, 2) for i in (0, 4, 5))


def test_batches_have_the_asked_size_and_the_last_one_the_rest() -> None:
    values = np.arange(6, dtype=np.float32).reshape(6, 1, 1)
    starts = [(k, 0, 0) for k in range(5)]
    got = [(list(group), windows.tolist()) for group, windows in batches(values, starts, (2, 1, 1), 2)]
    assert [group for group, _ in got] == [starts[0:2], starts[2:4], starts[4:5]]
    assert got[2][1] == [[[[[4.0]], [[5.0]]]]]


@pytest.mark.parametrize(
    ("centre_kji", "start"), [((3.5, 3.5, 3.5), (0, 0, 0)), ((5.6, 3.5, 3.5), (4, 0, 0)), ((5.5, 0.0, 9.0), (0, 0, 4))]
)
def test_the_closest_window_has_its_centre_nearest_and_the_first_of_two_wins(
    centre_kji: tuple[float, float, float], start: tuple[int, int, int]
) -> None:
    starts = window_starts(np.ones((12, 8, 12), bool), ROI, STRIDE)
    assert closest_window(centre_kji, starts, ROI) == start


def test_a_window_is_the_box_from_its_first_voxel() -> None:
    assert window((1, 2, 3), (4, 5, 6)) == (slice(1, 5), slice(2, 7), slice(3, 9))
