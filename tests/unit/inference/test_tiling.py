"""Windows and their average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.tiling import average, batches, closest_window, window, window_starts

ROI, STRIDE = (8, 8, 8), (4, 4, 4)
STEPS = st.tuples(*[st.integers(0, 3)] * 3)


@given(steps=STEPS, seed=st.integers(0, 2**32 - 1), share=st.floats(0.0, 0.05), size=st.integers(1, 9))
def test_tiling_reassembles_exactly_where_there_is_lung(
    steps: tuple[int, int, int], seed: int, share: float, size: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(8 + 4 * step for step in steps)
    lungs = rng.random(shape) < share
    values = rng.integers(-1000, 1000, shape).astype(np.float32)  # integers, so that sums are exact
    starts = window_starts(lungs, ROI, STRIDE)
    tiles = [
        (start, answer[0])
        for group, windows in batches(values, starts, ROI, size)
        for start, answer in zip(group, windows, strict=True)
    ]
    together = average(values.shape, tiles)  # type: ignore[arg-type]
    assert np.allclose(together[lungs], values[lungs], rtol=1e-6, atol=0.0)
    assert (np.isclose(together, values) | (together == 0.0)).all()


def test_windows_without_lung_are_skipped() -> None:
    lungs = np.zeros((16, 8, 12), bool)
    lungs[12, 0, 11] = True
    assert window_starts(lungs, ROI, STRIDE) == ((8, 0, 4),)
    lungs[4, 0, 4] = True
    assert window_starts(lungs, ROI, STRIDE) == ((0, 0, 0), (0, 0, 4), (4, 0, 0), (4, 0, 4), (8, 0, 4))


def test_overlapping_tiles_are_averaged_and_the_rest_is_zero() -> None:
    tiles = [((k, 0, 0), np.full((2, 1, 1), value, np.float32)) for k, value in ((0, 1.0), (1, 2.0), (1, 6.0))]
    assert average((4, 1, 1), tiles).ravel().tolist() == [1.0, 3.0, 4.0, 0.0]


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
