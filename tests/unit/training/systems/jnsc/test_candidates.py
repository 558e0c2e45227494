"""Candidates of a training window get the label of what they touch."""

from __future__ import annotations

import numpy as np

from training.data.targets import MALIGNANT, UNRATED
from training.losses import jnsc as losses
from training.systems.jnsc.candidates import candidates_in


def _cube(start: int, value: float = 1.0) -> tuple[tuple[slice, slice, slice], float]:
    return (slice(start, start + 3),) * 3, value


def test_a_component_on_a_nodule_takes_its_label_and_one_beside_it_is_none() -> None:
    probability, target = np.zeros((32,) * 3, np.float32), np.zeros((32,) * 3, np.int8)
    for box, value in (_cube(4, 0.9), _cube(20, 0.41)):
        probability[box] = value
    target[_cube(5)[0]] = MALIGNANT
    labels = sorted(candidate.label for candidate in candidates_in(probability, target))
    assert labels == [losses.MALIGNANT, losses.MALIGNANT, losses.NON_NODULE]  # component, true nodule, false finding


def test_missed_nodules_are_candidates_too() -> None:
    target = np.zeros((32,) * 3, np.int8)
    target[_cube(10)[0]] = UNRATED
    (candidate,) = candidates_in(np.zeros((32,) * 3, np.float32), target)
    assert candidate.label == losses.SOME_NODULE
    assert candidate.voxels == 27
    assert candidate.box == ((9, 14),) * 3


def test_a_box_is_dilated_inside_the_window_only() -> None:
    probability = np.zeros((32,) * 3, np.float32)
    probability[:3, :3, 29:] = 0.5
    (candidate,) = candidates_in(probability, np.zeros((32,) * 3, np.int8))
    assert candidate.box == ((0, 4), (0, 4), (28, 32))


def test_specks_and_what_is_below_the_threshold_are_no_candidates() -> None:
    probability = np.zeros((32,) * 3, np.float32)
    probability[0, 0, :7] = 1.0
    probability[_cube(20)[0]] = 0.39
    assert candidates_in(probability, np.zeros((32,) * 3, np.int8)) == []
