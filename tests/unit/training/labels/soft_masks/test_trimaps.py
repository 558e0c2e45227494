"""Trimaps worked out by hand on squares."""

from __future__ import annotations

import numpy as np

from training.labels.soft_masks import trimaps


def square(edge: int, low: int, high: int) -> np.ndarray:
    mask = np.zeros((edge, edge), bool)
    mask[low:high, low:high] = True
    return mask


def drawn(trimap: np.ndarray) -> list[str]:
    return ["".join({0.0: ".", 0.5: "?", 1.0: "#"}[value] for value in row) for row in trimap.tolist()]


def test_a_square_has_its_core_and_one_pixel_of_band_each_way() -> None:
    """Area 25, diameter 5.64, 0.15 of it 0.85: radius 1. Core: deeper than 1; corners are 1.41 away."""
    assert drawn(trimaps.from_mask(square(7, 1, 6))) == [
        ".?????.",
        "???????",
        "??###??",
        "??###??",
        "??###??",
        "???????",
        ".?????.",
    ]


def test_a_large_mask_has_a_wider_band() -> None:
    """Area 400, diameter 22.6, 0.15 of it 3.4: radius 3."""
    trimap = trimaps.from_mask(square(30, 5, 25))
    assert drawn(trimap)[15] == ".." + 3 * "?" + 3 * "?" + 14 * "#" + 3 * "?" + 3 * "?" + ".."


def test_a_small_mask_keeps_what_lies_deepest() -> None:
    """Of 3 x 3 only the centre is deeper than 1 pixel: fewer than three, so it is the core alone."""
    assert drawn(trimaps.from_mask(square(7, 2, 5))) == [
        ".......",
        "..???..",
        ".?????.",
        ".??#??.",
        ".?????.",
        "..???..",
        ".......",
    ]


def test_a_line_keeps_all_of_it_as_core() -> None:
    line = np.zeros((3, 5), bool)
    line[1, 1:4] = True
    assert drawn(trimaps.from_mask(line)) == [".???.", "?###?", ".???."]


def test_readers_agree_on_the_core_and_leave_open_what_one_of_them_marked() -> None:
    readers = np.zeros((2, 5, 7), bool)
    readers[0, 2, 1:5] = True
    readers[1, 2, 2:6] = True
    assert drawn(trimaps.from_readers(readers)) == [
        ".......",
        ".?????.",
        "??###??",
        ".?????.",
        ".......",
    ]


def test_readers_who_share_nothing_leave_what_most_marked() -> None:
    readers = np.zeros((3, 1, 7), bool)
    readers[0, 0, 0:2] = readers[1, 0, 1:3] = readers[2, 0, 4] = True
    assert drawn(trimaps.from_readers(readers)) == ["?#????."]


def test_one_reader_is_one_mask() -> None:
    mask = square(9, 2, 7)
    assert (trimaps.from_readers(mask[None]) == trimaps.from_mask(mask)).all()
