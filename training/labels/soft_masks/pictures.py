"""Pictures to look at: image with outline, trimap and alpha side by side, and sheets of many. Pure: arrays in and out.

Called from `training.data.soft_mask_folder`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from inference.volume import BoolArray, HuArray
from training.labels.soft_masks.making import SoftMask
from training.labels.soft_masks.matting import grey_from_hu

PictureArray = NDArray[np.uint8]

PANEL = 128
"""Edge of each of the three panels, in pixels of the picture."""

GAP, CAPTION_HEIGHT = 4, 14
COLUMNS, ROWS = 4, 10
PER_SHEET = COLUMNS * ROWS

_CONTEXT_PX = 6
_OUTLINE = (255, 60, 60)
_PAPER, _INK = 24, 230


def triptych(image_hu_ji: HuArray, soft: SoftMask) -> PictureArray:
    """The surroundings of a nodule: image with the outline of the binary mask, trimap, alpha.

    Parameters
    ----------
    image_hu_ji : shape (rows, columns), as given to matting

    Returns
    -------
    shape (PANEL, 3 PANEL + 2 GAP, 3), RGB
    """
    box = _square(soft.trimap_ji > 0.0)
    scale = soft.alpha_ji.shape[0] // soft.trimap_ji.shape[0]
    fine = (slice(box[0].start * scale, box[0].stop * scale), slice(box[1].start * scale, box[1].stop * scale))
    image = _panel(grey_from_hu(image_hu_ji)[box])
    image[_outline(_enlarged(soft.prior_ji[box].astype(np.float64)) > 0.5)] = _OUTLINE
    gap = np.full((PANEL, GAP, 3), _PAPER, np.uint8)
    return np.concatenate([image, gap, _panel(soft.trimap_ji[box]), gap, _panel(soft.alpha_ji[fine])], axis=1)


def sheet(pictures: Sequence[tuple[str, PictureArray]]) -> PictureArray:
    """Up to `PER_SHEET` triptychs in rows, each under its caption; RGB."""
    height, width = PANEL + CAPTION_HEIGHT + GAP, 3 * PANEL + 6 * GAP
    rows = -(-len(pictures) // COLUMNS)
    paper = Image.new("RGB", (width * min(COLUMNS, len(pictures)), height * rows), (_PAPER,) * 3)
    pen = ImageDraw.Draw(paper)
    for n, (caption, picture) in enumerate(pictures):
        left, top = n % COLUMNS * width + 2 * GAP, n // COLUMNS * height
        pen.text((left, top + 1), caption, fill=(_INK,) * 3)
        paper.paste(Image.fromarray(picture), (left, top + CAPTION_HEIGHT))
    return np.asarray(paper)


def _square(mask: BoolArray) -> tuple[slice, slice]:
    """The mask with some surroundings, as square as the image lets it be; all of the image if the mask is empty."""
    if not mask.any():
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
    edge = max(rows.stop - rows.start, columns.stop - columns.start) + 2 * _CONTEXT_PX
    starts = [max(0, (side.start + side.stop - edge) // 2) for side in (rows, columns)]
    return slice(starts[0], min(starts[0] + edge, mask.shape[0])), slice(
        starts[1], min(starts[1] + edge, mask.shape[1])
    )


def _panel(values: NDArray[np.floating]) -> PictureArray:
    grey = np.rint(255.0 * _enlarged(values)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _enlarged(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The nearest pixel, in a square of `PANEL`."""
    rows, columns = (np.arange(PANEL) * size // PANEL for size in values.shape)
    return values[np.ix_(rows, columns)]


def _outline(mask: BoolArray) -> BoolArray:
    edge: BoolArray = mask & ~ndimage.binary_erosion(mask)
    return edge
