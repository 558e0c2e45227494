"""A CT in parts: every voxel is asked once with its surroundings, and says what it says in one pass over the whole."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.geometry import Shape
from inference.parts import MARGIN, STEP, parts, probability_of_parts
from inference.predictor import FloatTensor
from inference.search import probability
from tests.support.predictors import DETECTION

ONE_PASS = dataclasses.replace(DETECTION, is_one_pass=True)
REACH = 2 * MARGIN + 1
"""Edge of what a network may look at for all its answers to be those of one pass."""


class Detector:
    """Answers the mean around a voxel, of what it is given: beyond that there is nothing, as for a padded network."""

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, windows: FloatTensor) -> FloatTensor:
        self.asked.append(windows.shape)
        return np.asarray(ndimage.uniform_filter(windows[:, 0], (0, *[self.reach] * 3), mode="constant"), np.float32)


def searched(values: FloatTensor, reach: int) -> tuple[FloatTensor, list[tuple[int, ...]], list[float]]:
    """The answer in parts, the windows that were asked, and the progress."""
    detector, told = Detector(reach), []  # type: tuple[Detector, list[float]]
    found = probability_of_parts(values, detector, told.append, largest=64**3)
    return found, detector.asked, told


def a_field(shape: Shape, seed: int = 0) -> FloatTensor:
    return np.random.default_rng(seed).random(shape, np.float32)


def test_parts_answer_as_one_pass_over_the_whole() -> None:
    values = a_field((128, 64, 96))
    found, asked, _ = searched(values, REACH)
    assert len(asked) > 2
    np.testing.assert_allclose(found, Detector(REACH)(values[None, None])[0], rtol=0, atol=1e-5)


def test_a_network_that_looks_farther_than_the_margin_may_differ_at_the_seams_only() -> None:
    values = a_field((128, 64, 64))
    found, asked, _ = searched(values, REACH + 16)
    differing = np.abs(found - Detector(REACH + 16)(values[None, None])[0]).max(axis=(1, 2)) > 1e-5
    assert len(asked) == 4
    assert differing.any()
    assert not differing[: 64 - 8].any()
    assert not differing[64 + 8 :].any()


def test_a_part_is_asked_as_it_is_and_turned_round_and_the_answers_are_averaged() -> None:
    """This network sees one voxel too far along every axis; turned round it sees as much too near."""
    values = a_field((64, 64, 64))
    found = probability_of_parts(values, lambda windows: np.roll(windows[:, 0], 1, (1, 2, 3)), lambda share: None)
    expected = (np.roll(values, 1, (0, 1, 2)) + np.roll(values, -1, (0, 1, 2))) / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_ct_that_is_small_is_asked_once() -> None:
    values = a_field((64, 64, 64))
    found, asked, told = searched(values, 3)
    assert asked == [(1, 1, 64, 64, 64)] * 2
    assert found.dtype == np.float32
    assert told == [0.0, 0.5]


def test_the_search_asks_a_one_pass_detector_so() -> None:
    values, detector = a_field((128, 64, 64)), Detector(3)
    found = probability(values, (), ONE_PASS, detector, lambda share: None)
    assert detector.asked == [(1, 1, 128, 64, 64)] * 2
    np.testing.assert_allclose(found, Detector(3)(values[None, None])[0], rtol=0, atol=1e-6)


def test_progress_grows_with_the_parts() -> None:
    _, asked, told = searched(a_field((256, 64, 64)), 1)
    assert told == [n / len(asked) for n in range(len(asked))]


@settings(deadline=None)
@given(steps=st.tuples(*[st.integers(0, 9)] * 3), most=st.sampled_from([64**3, 96**3, 8_000_000]))
def test_parts_cover_every_voxel_once_and_are_no_larger_than_they_may_be(
    steps: tuple[int, int, int], most: int
) -> None:
    k, j, i = (64 + STEP * step for step in steps)
    count = np.zeros((k, j, i), np.uint8)
    for part in parts((k, j, i), most):
        box = count[tuple(slice(*span) for span in part)]
        box += 1
        assert box.size <= most
        assert all(span[0] % STEP == 0 and span[1] % STEP == 0 for span in part)
    assert (count == 1).all()


def test_a_ct_of_any_length_ends() -> None:
    """Parts that cannot be halved stay larger than they should be."""
    assert list(parts((33, 40, 50), 100)) == [((0, 33), (0, 40), (0, 50))]
