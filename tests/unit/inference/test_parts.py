"""A CT in parts: every voxel is asked once with its surroundings, and says what it says in one pass over the whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.contract import COARSEST
from inference.geometry import Shape
from inference.parts import MARGIN, Part, asked, index, parts
from inference.predictor import FloatTensor

REACH = 2 * MARGIN + 1
"""Edge of what a network may look at for all its answers to be those of one pass."""
LEAST = (64, 64, 64)


class Detector:
    """Answers the mean around a voxel, of what it is given: beyond that there is nothing, as for a padded network."""

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, windows: FloatTensor) -> FloatTensor:
        self.asked.append(windows.shape)
        return np.asarray(ndimage.uniform_filter(windows[:, 0], (0, *[self.reach] * 3), mode="constant"), np.float32)


def whole(shape: Shape) -> Part:
    k, j, i = shape
    return (0, k), (0, j), (0, i)


def in_parts(values: FloatTensor, detector: Detector, largest: int) -> FloatTensor:
    found = np.full(values.shape, np.nan, np.float32)
    k, j, i = values.shape
    for part in parts(whole((k, j, i)), (k, j, i), largest):
        found[index(part)] = asked(values, part, detector, LEAST)
    return found


def a_field(shape: Shape, seed: int = 0) -> FloatTensor:
    return np.random.default_rng(seed).random(shape, np.float32)


def test_parts_answer_as_one_pass_over_the_whole() -> None:
    values, detector = a_field((128, 64, 96)), Detector(REACH)
    found = in_parts(values, detector, largest=96 * 64 * 96)
    assert len(detector.asked) == 2
    np.testing.assert_allclose(found, Detector(REACH)(values[None, None])[0], rtol=0, atol=1e-5)


def test_a_network_that_looks_farther_than_the_margin_may_differ_at_the_seams_only() -> None:
    values, detector = a_field((128, 64, 64)), Detector(REACH + 16)
    found = in_parts(values, detector, largest=96 * 64 * 64)
    differing = np.abs(found - Detector(REACH + 16)(values[None, None])[0]).max(axis=(1, 2)) > 1e-5
    assert len(detector.asked) == 2
    assert differing.any()
    assert not differing[: 64 - 8].any()
    assert not differing[64 + 8 :].any()


def test_a_ct_that_is_small_is_asked_once() -> None:
    detector = Detector(3)
    found = in_parts(a_field((64, 64, 64)), detector, largest=64**3)
    assert detector.asked == [(1, 1, 64, 64, 64)]
    assert found.dtype == np.float32


def test_a_part_in_a_corner_is_asked_in_the_smallest_window_and_answers_for_itself() -> None:
    values, detector = a_field((128, 96, 80)), Detector(REACH)
    expected = Detector(REACH)(values[None, None])[0]
    for part in (((0, 16), (80, 96), (0, 16)), ((112, 128), (0, 16), (64, 80))):
        np.testing.assert_allclose(asked(values, part, detector, LEAST), expected[index(part)], rtol=0, atol=1e-5)
    assert detector.asked == [(1, 1, 64, 64, 64)] * 2


@settings(deadline=None)
@given(
    box=st.tuples(*[st.tuples(st.integers(0, 9), st.integers(1, 9))] * 3),
    beyond=st.tuples(*[st.integers(0, 4)] * 3),
    most=st.sampled_from([96**3, 160**3, 12_000_000]),
)
def test_parts_cover_every_voxel_of_a_box_once_and_no_question_is_too_large(
    box: tuple[tuple[int, int], ...], beyond: Shape, most: int
) -> None:
    k, j, i = ((COARSEST * first, COARSEST * (first + count)) for first, count in box)
    shape = (k[1] + COARSEST * beyond[0], j[1] + COARSEST * beyond[1], i[1] + COARSEST * beyond[2])
    count, detector = np.zeros(shape, np.uint8), Detector(1)
    for part in parts((k, j, i), shape, most):
        count[index(part)] += 1
        asked(np.broadcast_to(np.float32(0), shape), part, lambda windows: _noted(windows, detector), (1, 1, 1))
        assert all(start % COARSEST == 0 and stop % COARSEST == 0 for start, stop in part)
    assert (count[index((k, j, i))] == 1).all()
    assert count.sum() == (k[1] - k[0]) * (j[1] - j[0]) * (i[1] - i[0])
    assert max(np.prod(window) for window in detector.asked) <= most


def _noted(windows: FloatTensor, detector: Detector) -> FloatTensor:
    detector.asked.append(windows.shape)
    return windows[:, 0]


def test_a_ct_of_any_length_ends() -> None:
    """Parts that cannot be halved stay larger than they should be."""
    assert list(parts(whole((17, 20, 30)), (17, 20, 30), 100)) == [whole((17, 20, 30))]
