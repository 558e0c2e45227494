"""Losses of DSNet (paper 5, equations 2, 3 and 6) but for the adversarial one. Pure.

L = 0.5 L_Dice(prediction, binary mask) + 100 L1(prediction, soft mask) + 1 L_GAN. The paper thresholds the prediction
inside Dice, which has no gradient: the soft prediction takes its place. L1 is the mean over pixels, as in pix2pix,
where the weight of 100 comes from: a sum would drown the rest (NETWORKS 5.5).
Called from `training.systems.dsnet_training`. Shape suffixes: B batch, J row, I column, 1 channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from training.losses.overlap import dice_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftWeights:
    """Factors of the three terms; 0 leaves one out."""

    dice: float = 0.5
    soft: float = 100.0
    adversarial: float = 1.0


DICE_ALONE = SoftWeights(dice=1.0, soft=0.0, adversarial=0.0)
"""What the paper's rows before "+ soft mask loss" are trained with."""


def supervised_losses(
    found_B1JI: Tensor, mask_B1JI: Tensor, soft_B1JI: Tensor, weights: SoftWeights
) -> dict[str, Tensor]:
    """The weighted terms that compare with what readers drew, by name.

    Parameters
    ----------
    found_B1JI : the network's soft mask, 0..1
    mask_B1JI, soft_B1JI : binary mask and soft mask on the same grid
    """
    terms = {"dice": weights.dice * dice_loss(found_B1JI, mask_B1JI)}
    if weights.soft:
        terms["soft"] = weights.soft * soft_loss(found_B1JI, soft_B1JI)
    return terms


def soft_loss(found_B1JI: Tensor, soft_B1JI: Tensor) -> Tensor:
    """Mean absolute difference of two soft masks."""
    return (found_B1JI.float() - soft_B1JI.float()).abs().mean()
