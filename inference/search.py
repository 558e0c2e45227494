"""The detector's probability: in one pass, or from no more windows than can change a finding. Pure.

A candidate counts from the operating score on. Once some windows have seen little in a voxel, its mean cannot reach
that score any more, whatever the other windows would say; a window that holds only such voxels is not asked. What
reaches the score is as if all windows had been asked, with all of its component; elsewhere the mean is one of fewer
windows, and below the score. With an operating score of 0 every window is asked. It saves a third of the windows of a
CT (`deploy/docs/performance.md`). Called from `inference.pipeline`, and inside servers from `inference.triton.backend`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from scipy import ndimage

from inference.contract import Detection
from inference.geometry import Shape
from inference.one_pass import probability_in_one_pass
from inference.predictor import FloatTensor
from inference.tiling import Window, batches, window

BATCH = 4
"""Windows per question."""

ROUNDING = 1e-3
"""More than the rounding of the sums below, so that it never decides whether a window is asked."""

NEIGHBOURS = np.ones((3, 3, 3), bool)

Ask = Callable[[FloatTensor], FloatTensor]
Tell = Callable[[float], None]


def probability(
    values_kji: FloatTensor,
    starts: Sequence[Shape],
    detection: Detection,
    ask: Ask,
    tell: Tell,
    *,
    batch: int = BATCH,
) -> FloatTensor:
    """What the detector says of each voxel.

    Of a one-pass detector see `inference.one_pass`; of others it is the mean of the windows that cover a voxel, as in
    paper 4, section II, and 0 where none was asked.

    Parameters
    ----------
    values_kji : what the windows are cut from
    starts : first voxels of all windows
    ask : from windows of shape (B, 1, k, j, i) to their probabilities of shape (B, k, j, i)
    tell : told the share that is done with, 0..1
    batch : windows per question
    """
    if detection.is_one_pass:
        return probability_in_one_pass(values_kji, ask, tell, detection)
    mean = _Mean(values_kji.shape, starts, detection)
    asked: set[Shape] = set()

    def add(groups: Iterable[Sequence[Shape]]) -> None:
        for group in groups:
            for some, windows in batches(values_kji, group, detection.roi_kji, batch):
                tell(len(asked) / len(starts))
                for start, answer in zip(some, ask(windows), strict=True):
                    mean.add(start, answer)
                asked.update(some)

    add(_worthwhile(_spread(starts, detection), mean, batch))
    while missing := [start for start in _around_peaks(mean, starts, detection) if start not in asked]:
        add([missing])
    return mean.values_kji()


class _Mean:
    """Means of the windows so far, and how much of 1 a voxel may still miss without missing the score."""

    def __init__(self, shape_kji: tuple[int, ...], starts: Iterable[Shape], detection: Detection) -> None:
        self._roi = detection.roi_kji
        self._total = np.zeros(shape_kji, np.float32)
        self._count = np.zeros(shape_kji, np.uint8)
        self._left = np.full(shape_kji, ROUNDING, np.float32)
        for start in starts:
            self._left[window(start, self._roi)] += 1.0 - detection.operating_score

    def add(self, start_kji: Shape, values_kji: FloatTensor) -> None:
        """Take the answer of a window."""
        place = window(start_kji, self._roi)
        self._total[place] += values_kji
        self._count[place] += 1
        self._left[place] -= 1.0 - values_kji

    def is_open(self, start_kji: Shape) -> bool:
        """Whether a voxel of the window may still reach the score."""
        return bool(self._left[window(start_kji, self._roi)].max() >= 0.0)

    def values_kji(self) -> FloatTensor:
        """The means."""
        means = self._total.copy()
        np.divide(self._total, self._count, out=means, where=self._count > 1)
        return means


def _spread(starts: Iterable[Shape], detection: Detection) -> list[Shape]:
    """The windows in lattices without overlap, each followed by the one that is shifted most against it."""
    steps = [max(1, roi // stride) for roi, stride in zip(detection.roi_kji, detection.stride_kji, strict=True)]

    def turn(start: Shape) -> tuple[Shape, Shape, Shape]:
        axes = zip(start, detection.stride_kji, steps, strict=True)
        k, j, i = (place // stride % count for place, stride, count in axes)
        opposite = (steps[0] - 1 - k, steps[1] - 1 - j, steps[2] - 1 - i)
        return min((k, j, i), opposite), (k, j, i), start

    return sorted(starts, key=turn)


def _worthwhile(starts: Iterable[Shape], mean: _Mean, batch: int) -> Iterator[list[Shape]]:
    """Groups of windows that are open when their turn comes; the answers to a group are in the mean before the next."""
    is_open = (start for start in starts if mean.is_open(start))
    while group := list(itertools.islice(is_open, batch)):
        yield group


def _around_peaks(mean: _Mean, starts: Sequence[Shape], detection: Detection) -> list[Shape]:
    """The windows that hold a voxel of a component that reaches the score, or of its neighbours."""
    values = mean.values_kji()
    labels, _ = ndimage.label(values >= detection.threshold, NEIGHBOURS)
    boxes = [
        box
        for number, box in enumerate(ndimage.find_objects(labels), start=1)
        if values[box][labels[box] == number].max() >= detection.operating_score
    ]
    return [start for start in starts if any(_touch(window(start, detection.roi_kji), box) for box in boxes)]


def _touch(one: Window, other: Window) -> bool:
    """Whether two boxes overlap or are neighbours."""
    return all(a.start <= b.stop and b.start <= a.stop for a, b in zip(one, other, strict=True))
