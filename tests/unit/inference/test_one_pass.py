"""Two views of a CT: the second is asked where it can matter, and what is found is what two whole views find."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.contract import COARSEST, Detection
from inference.one_pass import FIRST_SHARE, probability_in_one_pass
from inference.parts import MARGIN
from inference.predictor import FloatTensor
from inference.search import probability
from tests.support.predictors import DETECTION

ONE_PASS = dataclasses.replace(DETECTION, is_one_pass=True, operating_score=0.74)
SHAPE = (128, 96, 160)


class Views:
    """A detector with a made-up answer for each voxel in either view: it reads in the question which voxels it holds.

    A voxel's value is its number, which float64 keeps through a turn of the axes; the view is told by the order.
    """

    def __init__(self, first: FloatTensor, second: FloatTensor) -> None:
        self.answers = (first.ravel(), second.ravel())
        self.asked: list[tuple[int, tuple[int, ...]]] = []
        self.seen = np.zeros((2, first.size), bool)

    def __call__(self, windows: FloatTensor) -> FloatTensor:
        numbers = windows[0, 0].astype(np.int64)
        view = int(numbers[0, 0, 0] > numbers[-1, -1, -1])
        self.asked.append((view, windows.shape[2:]))
        self.seen[view, numbers] = True
        return self.answers[view][numbers][None]


def searched(
    first: FloatTensor, second: FloatTensor, detection: Detection = ONE_PASS, largest: int = 12_000_000
) -> tuple[FloatTensor, Views, list[float]]:
    """What is found, the detector that was asked, the progress."""
    detector, told = Views(first, second), []  # type: tuple[Views, list[float]]
    numbers = np.arange(first.size, dtype=np.float64).reshape(first.shape)
    found = probability_in_one_pass(numbers, detector, told.append, detection, largest=largest)
    return found, detector, told


def nothing() -> FloatTensor:
    return np.full(SHAPE, 0.1, np.float32)


def placed(*places: tuple[tuple[slice, slice, slice], float]) -> FloatTensor:
    values = nothing()
    for where, value in places:
        values[where] = value
    return values


def components(values: FloatTensor, detection: Detection) -> set[tuple[bytes, float]]:
    """The voxels of the components that reach the score, and their highest value."""
    labels, count = ndimage.label(values >= detection.threshold, np.ones((3, 3, 3)))
    masks = [labels == number for number in range(1, count + 1)]
    tops = [(np.flatnonzero(mask).tobytes(), float(values[mask].max())) for mask in masks]
    return {(mask, top) for mask, top in tops if top >= detection.operating_score}


def test_where_the_first_view_sees_little_the_second_is_not_asked() -> None:
    found, detector, told = searched(placed((np.s_[20:24, 20:24, 20:24], 0.47)), np.ones(SHAPE, np.float32))
    assert detector.asked == [(0, SHAPE)]
    assert found.max() == np.float32(0.47)
    assert told == [0.0]


def test_where_the_second_view_may_decide_it_is_asked_around_the_place_and_the_mean_counts() -> None:
    where = np.s_[65:70, 50:54, 81:90]
    found, detector, _ = searched(placed((where, 0.6)), placed((where, 0.9)))
    assert (found[where] == np.float32(0.75)).all()
    (_, (view, shape)) = detector.asked
    assert (view, shape) == (1, (COARSEST + 2 * MARGIN,) * 3)


def test_a_place_in_the_corner_is_asked_where_it_lies() -> None:
    where = np.s_[0:3, 93:96, 158:160]
    found, detector, _ = searched(placed((where, 0.5)), placed((where, 1.0)))
    assert (found[where] == np.float32(0.75)).all()
    assert detector.asked[1] == (1, (64, 64, 64))


def test_what_only_the_second_view_adds_to_a_finding_belongs_to_it() -> None:
    """It grows through cells in which the first view sees nothing, round by round."""
    seed, arm = np.s_[60:64, 40:44, 60:64], np.s_[60:64, 40:44, 64:120]
    first, second = placed((seed, 0.9)), placed((seed, 0.9), (arm, 0.8))
    found, detector, told = searched(first, second)
    assert (found[arm] == ((first + second) / 2)[arm]).all()
    assert components(found, ONE_PASS) == components((first + second) / 2, ONE_PASS)
    assert len(detector.asked) > 3
    assert told == sorted(set(told)) and told[-1] < 1.0


def test_a_neighbour_that_cannot_reach_the_score_by_itself_is_part_of_a_finding_that_does() -> None:
    seed, rim = np.s_[60:64, 40:44, 60:64], np.s_[60:64, 40:44, 64:68]
    first, second = placed((seed, 0.9), (rim, 0.3)), placed((seed, 0.9), (rim, 0.6))
    found, _, _ = searched(first, second)
    assert (found[rim] == ((first + second) / 2)[rim]).all()


def test_with_a_score_that_any_voxel_may_reach_everything_is_asked_twice() -> None:
    first, second = nothing(), placed((np.s_[3, 3, 3], 0.9))
    found, detector, _ = searched(first, second, dataclasses.replace(ONE_PASS, operating_score=0.0))
    np.testing.assert_array_equal(found, (first + second) / 2)
    assert detector.seen.all()


@pytest.mark.parametrize("score", [0.55, 0.74, 0.9])
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), largest=st.sampled_from([110**3, 12_000_000]))
def test_what_reaches_the_score_is_what_two_whole_views_find(score: float, seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    detection = dataclasses.replace(ONE_PASS, operating_score=score)
    first, second = nothing(), nothing()
    for _ in range(12):
        corner = rng.integers(0, SHAPE)
        where = tuple(slice(a, a + b) for a, b in zip(corner, rng.integers(1, 24, 3), strict=True))
        first[where], second[where] = rng.random(2)
    found, _, _ = searched(first, second, detection, largest)
    whole = (first + second) / 2
    assert components(found, detection) == components(whole, detection)
    assert ((found == whole) | (found == first)).all()


def test_progress_is_told_before_each_question_and_grows() -> None:
    where = np.s_[60:64, 40:44, 60:64]
    _, detector, told = searched(placed((where, 0.9)), placed((where, 0.9)), largest=110**3)
    firsts = sum(view == 0 for view, _ in detector.asked)
    assert len(told) == len(detector.asked)
    assert told[:firsts] == [FIRST_SHARE * n / firsts for n in range(firsts)]
    assert told[firsts] == FIRST_SHARE


def test_the_search_asks_a_one_pass_detector_so() -> None:
    detector = Views(nothing(), nothing())
    numbers = np.arange(nothing().size, dtype=np.float64).reshape(SHAPE)
    found = probability(numbers, (), ONE_PASS, detector, lambda share: None)
    assert detector.asked == [(0, SHAPE)]
    np.testing.assert_array_equal(found, nothing())
