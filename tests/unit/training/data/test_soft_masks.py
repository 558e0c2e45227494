"""Soft masks of slices: made once, made anew if anything that they depend on changes, the rejected ones left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.torch_slices import a_slice
from training.data.slices import EDGE
from training.data.soft_masks import soft_masks

GOOD = a_slice(1, radius=9, readers=4)
EMPTY = dataclasses.replace(a_slice(2), readers_RJI=np.zeros((4, EDGE, EDGE), bool))


def test_they_are_made_once_and_are_the_same_when_they_are_read(tmp_path: Path) -> None:
    told: list[str] = []
    made = soft_masks([GOOD], 2, tmp_path / "cache", told.append)
    read = soft_masks([GOOD], 2, tmp_path / "cache", told.append)
    assert told == ["making 1 soft masks", "0 of 1 soft masks rejected", "0 of 1 soft masks rejected"]
    assert made[GOOD.case_id].shape == (2 * EDGE, 2 * EDGE)
    assert np.array_equal(made[GOOD.case_id], read[GOOD.case_id])
    assert [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()] == ["soft_masks"]


def test_the_soft_mask_is_1_where_all_readers_and_0_where_none_marked(tmp_path: Path) -> None:
    soft = soft_masks([GOOD], 1, tmp_path, print)[GOOD.case_id]
    assert soft[GOOD.readers_RJI.all(0)].min() == 1
    assert soft[:5].max() == 0


def test_what_is_rejected_is_left_out_and_counted(tmp_path: Path) -> None:
    told: list[str] = []
    assert list(soft_masks([GOOD, EMPTY], 1, tmp_path, told.append)) == [GOOD.case_id]
    assert told[-1] == "1 of 2 soft masks rejected: 1 x mask.empty"


@pytest.mark.parametrize("change", ["scale", "image", "reader"])
def test_a_change_of_scale_pixel_or_outline_makes_them_anew(tmp_path: Path, change: str) -> None:
    other = {
        "scale": GOOD,
        "image": dataclasses.replace(GOOD, image_hu=GOOD.image_hu + np.int16(1)),
        "reader": dataclasses.replace(GOOD, readers_RJI=GOOD.readers_RJI[:3]),
    }[change]
    soft_masks([GOOD], 1, tmp_path, print)
    soft_masks([other], 2 if change == "scale" else 1, tmp_path, print)
    assert len(list(tmp_path.iterdir())) == 2
