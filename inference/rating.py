"""Malignancy by a 2-D model, in place of that of the detector's head. Called from `inference.pipeline`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from inference.contract import Contract
from inference.findings import CroppedMask, Outline
from inference.predictor import Predictor
from inference.roi import images_hu, images_of, roi_around
from inference.slices import answer
from inference.volume import Volume

MALIGNANCY = "malignancy"
"""What models for malignancy call their answer: one probability per image."""


def rated(
    outlines: Sequence[Outline], volume: Volume, chain: Sequence[Contract], predictor: Predictor
) -> list[Outline]:
    """The outlines with the malignancy that a 2-D model sees in the slice where each mask is largest.

    That is the slice that the models are trained on; of several the first.

    Parameters
    ----------
    chain : see `inference.slices.answer`

    Raises
    ------
    ContractInvalid : the contract does not say which images the model takes
    PredictorUnavailable, InputRefused, ModelNotFound, ModelOutputInvalid : see `inference.predictor`
    """
    if not outlines:
        return []
    images, ct = images_of(chain[-1]), volume.grid
    pixels = []
    for outline in outlines:
        k = largest_slice_k(outline.mask)
        roi = roi_around(outline.proposal.candidate.centre_lps, (k, k + 1), ct, images)
        pixels.append(images_hu(roi, volume.volume_hu))
    malignancies = answer(chain, np.concatenate(pixels), predictor, [MALIGNANCY])[MALIGNANCY]
    return [
        dataclasses.replace(outline, proposal=dataclasses.replace(outline.proposal, malignancy=float(value)))
        for outline, (value,) in zip(outlines, malignancies, strict=True)
    ]


def largest_slice_k(mask: CroppedMask) -> int:
    """The slice of the CT in which a mask has most voxels; of several the first."""
    return mask.start_kji[0] + int(np.argmax(np.count_nonzero(mask.voxels, axis=(1, 2))))
