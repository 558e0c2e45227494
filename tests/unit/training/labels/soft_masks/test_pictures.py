"""Pictures to look at, checked pixel by pixel where it matters."""

from __future__ import annotations

import numpy as np

from tests.unit.training.labels.soft_masks.discs import disc, image_hu
from training.labels.soft_masks import from_mask, from_readers
from training.labels.soft_masks.pictures import CAPTION_HEIGHT, COLUMNS, GAP, PANEL, sheet, triptych


def test_a_triptych_shows_image_trimap_and_alpha() -> None:
    soft = from_readers(image_hu(disc(7.0)), np.array([disc(6.0), disc(8.0)]), scale=4)
    picture = triptych(image_hu(disc(7.0)), soft)
    assert picture.shape == (PANEL, 3 * PANEL + 2 * GAP, 3)
    image, trimap, alpha = (picture[:, start : start + PANEL] for start in (0, PANEL + GAP, 2 * (PANEL + GAP)))
    middle = PANEL // 2
    assert 180 < image[middle, middle, 0] < 195
    assert (image[0, 0] < 45).all()
    assert (image == (255, 60, 60)).all(axis=-1).any()
    assert set(np.unique(trimap)) == {0, 128, 255}
    assert alpha[middle, middle].tolist() == [255, 255, 255]
    assert alpha[0, 0].tolist() == [0, 0, 0]


def test_an_empty_mask_shows_the_whole_image_without_an_outline() -> None:
    image = image_hu(disc(7.0))
    picture = triptych(image, from_mask(image, np.zeros_like(disc(7.0))))
    assert not (picture == (255, 60, 60)).all(axis=-1).any()


def test_a_sheet_fills_rows_from_the_left() -> None:
    white = np.full((PANEL, 3 * PANEL + 2 * GAP, 3), 255, np.uint8)
    page = sheet([("", white)] * (COLUMNS + 1))
    height, width = PANEL + CAPTION_HEIGHT + GAP, 3 * PANEL + 6 * GAP
    assert page.shape == (2 * height, COLUMNS * width, 3)
    assert (page[height + CAPTION_HEIGHT + 5, 2 * GAP : 2 * GAP + PANEL] == 255).all()
    assert (page[height:, width:] == 24).all()
