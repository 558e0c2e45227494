"""Outlines, consensus masks, and the agreement that the outlines' convention gives on real readers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from training.labels.consensus import HALF, TWO_THIRDS, consensus, mask_from_polygon
from training.metrics.overlap import dice

SLICES = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "lidc_slices" / "slices.jsonl.gz"


def votes(counts: list[int], readers: int) -> np.ndarray:
    """One row of pixels, pixel n marked by the first counts[n] readers."""
    return np.array([[[reader < count for count in counts]] for reader in range(readers)])


@pytest.mark.parametrize(
    ("readers", "share", "needed"),
    [
        (1, HALF, 1),
        (2, HALF, 1),
        (3, HALF, 2),
        (4, HALF, 2),
        (5, HALF, 3),
        (1, TWO_THIRDS, 1),
        (2, TWO_THIRDS, 2),
        (3, TWO_THIRDS, 2),
        (4, TWO_THIRDS, 3),
        (6, TWO_THIRDS, 4),
        (3, 0.667, 2),
        (3, 0.6667, 2),
        (3, 0.666, 2),
        (4, 1.0, 4),
        (10, 0.7, 7),
    ],
)
def test_a_pixel_needs_at_least_the_share_of_the_readers(readers: int, share: float, needed: int) -> None:
    counts = list(range(readers + 1))
    assert consensus(votes(counts, readers), share)[0].tolist() == [count >= needed for count in counts]


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        consensus(votes([1], 1), share)


def test_no_reader_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reader"):
        consensus(np.zeros((0, 3, 3), bool), HALF)


def test_an_outline_and_all_inside_it_is_the_mask() -> None:
    expected = np.zeros((7, 7), bool)
    expected[2:5, 1:6] = True
    assert (mask_from_polygon([[1, 2], [5, 2], [5, 4], [1, 4]], (7, 7)) == expected).all()


def test_x_is_the_column() -> None:
    assert np.argwhere(mask_from_polygon([[5, 1]], (7, 7))).tolist() == [[1, 5]]


def test_a_closed_outline_is_the_same_as_an_open_one() -> None:
    diamond = [[3, 1], [5, 3], [3, 5], [1, 3]]
    open_mask = mask_from_polygon(diamond, (7, 7))
    assert (mask_from_polygon([*diamond, diamond[0]], (7, 7)) == open_mask).all()
    assert open_mask.sum(axis=1).tolist() == [0, 1, 3, 5, 3, 1, 0]


def test_what_lies_outside_the_slice_is_cut_away() -> None:
    mask = mask_from_polygon([[-3, -3], [1, -3], [1, 1], [-3, 1]], (7, 7))
    assert np.argwhere(mask).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_something_else_than_an_outline_is_refused() -> None:
    with pytest.raises(ValueError, match=r"list of \(x, y\)"):
        mask_from_polygon([1.0, 2.0], (7, 7))  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"list of \(x, y\)"):
        mask_from_polygon([], (7, 7))


@pytest.mark.data
@pytest.mark.skipif(not SLICES.is_file(), reason="../shared/data/lidc_slices is absent")
def test_with_their_outlines_real_readers_agree_as_the_project_states() -> None:
    """Issue 3: one reader against the majority of the others, 0.873; every eighth slice is enough for 0.01."""
    with gzip.open(SLICES, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    agreement = []
    for row in rows[::8]:
        readers = {reader["reader_annotation"]: reader["polygon_xy"] for reader in row["readers"]}
        masks = np.array([mask_from_polygon(outline, (71, 71)) for outline in readers.values()])
        if len(masks) >= 4:
            for one in range(len(masks)):
                agreement.append(dice(masks[one], consensus(np.delete(masks, one, axis=0), HALF)))
    assert np.mean(agreement) == pytest.approx(0.873, abs=0.01)
