"""Recipes of DSNet (paper 5): the literal one, half its width, one for a CPU, and the rows of its ablation (table 3).

What is trained, on what and in which phases: `training.systems.dsnet_training`. Called from `training.catalogue`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from training.data.slices import CROP
from training.losses.soft import DICE_ALONE, SoftWeights
from training.networks.dsnet import Fusion, dsnet_32, dsnet_paper, dsnet_reduced
from training.networks.srgan import srgan_paper, srgan_reduced
from training.system import Settings
from training.systems.dsnet_training import DsNetRecipe, Teaching


def paper() -> DsNetRecipe:
    """The literal reading, pix2pix's defaults where the paper is silent; for a GPU."""
    return DsNetRecipe(
        name="dsnet_paper",
        network=dsnet_paper(),
        teacher=dataclasses.replace(srgan_paper(), edge=CROP),
        teaching=Teaching(epochs=(100, 20)),
        dice_epochs=0,
        epochs=60,
        batch=1,
        initial_sd=0.02,
    )


def half() -> DsNetRecipe:
    """Half the width and two epochs of Dice first, otherwise as the paper."""
    return dataclasses.replace(paper(), name="dsnet_32", network=dsnet_32(), dice_epochs=2)


def cpu() -> DsNetRecipe:
    """An eighth of the width over a grid of 128 pixels, with a small teacher; in about 20 minutes of one CPU thread.

    Other than the paper: batches of 4 with BatchNorm at a five times higher rate, which needs fewer epochs.
    """
    return DsNetRecipe(
        name="dsnet_cpu",
        network=dsnet_reduced(),
        teacher=srgan_reduced(),
        teaching=Teaching(epochs=(3, 1), learning_rate=1e-3),
        dice_epochs=2,
        epochs=14,
        batch=4,
        learning_rate=1e-3,
    )


def longer() -> DsNetRecipe:
    """Twice as long, slices of two readers first, a running mean of the weights, the mean over eight turns."""
    return dataclasses.replace(
        cpu(), name="dsnet_longer", settings=Settings(average=0.99), dice_readers=2, epochs=28, is_turned=True
    )


def smoke() -> DsNetRecipe:
    """Everything once, so small that it learns in seconds; at 1e-3 all pixels went to 0 with some seeds."""
    return dataclasses.replace(
        cpu(),
        name="dsnet_smoke",
        network=dataclasses.replace(dsnet_reduced(), detail=8, pixel_width=8),
        teacher=dataclasses.replace(srgan_reduced(), blocks=1, width=8, critic_width=4, critic_hidden=16),
        teaching=Teaching(epochs=(2, 1), batch=8, learning_rate=3e-3),
        dice_epochs=6,
        epochs=4,
        learning_rate=7e-4,
    )


def _row(name: str, fusion: Fusion, weights: SoftWeights = DICE_ALONE, *, is_improved: bool = True) -> DsNetRecipe:
    """Reduced: a few minutes each, hence with half the epochs of `cpu`, and a teacher without its critic."""
    recipe = cpu()
    factor = 1 if fusion == "image" else recipe.network.factor
    return dataclasses.replace(
        recipe,
        name=f"dsnet_t3_{name}",
        network=dataclasses.replace(recipe.network, fusion=fusion, is_improved=is_improved, factor=factor),
        weights=weights,
        teaching=dataclasses.replace(recipe.teaching, epochs=(2, 0)),
        dice_epochs=2,
        epochs=6,
    )


def t3_unet() -> DsNetRecipe:
    """Table 3, "orig.": a classic U-Net on the image itself, with Dice alone."""
    return _row("unet", "image", is_improved=False)


def t3_backbone() -> DsNetRecipe:
    """Table 3, "+ improve backbone": attention, residual blocks, convolutions in the place of pooling."""
    return _row("backbone", "image")


def t3_interpolated() -> DsNetRecipe:
    """Not in table 3: the same on an image enlarged by bicubic interpolation, which a teacher should surpass."""
    return _row("interpolated", "interpolated")


def t3_sr_input() -> DsNetRecipe:
    """Table 3, "+ SR input": the same on the image that the teacher enlarged."""
    return _row("sr_input", "super-resolved")


def t3_edrfm() -> DsNetRecipe:
    """Table 3, "+ EDRFM": both images and the teacher's features, fused by one convolution."""
    return _row("edrfm", "efficient")


def t3_sdrfm() -> DsNetRecipe:
    """Table 3, "+ SDRFM": the same, fused by weights per channel and branch."""
    return _row("sdrfm", "selective")


def t3_soft_loss() -> DsNetRecipe:
    """Table 3, "+ soft mask loss"."""
    return _row("soft_loss", "selective", SoftWeights(adversarial=0.0))


def t3_gan() -> DsNetRecipe:
    """Table 3, "+ GAN loss": everything."""
    return _row("gan", "selective", SoftWeights())


RECIPES: dict[str, Callable[[], DsNetRecipe]] = {
    "dsnet_paper": paper,
    "dsnet_32": half,
    "dsnet_cpu": cpu,
    "dsnet_longer": longer,
    "dsnet_smoke": smoke,
    "dsnet_t3_unet": t3_unet,
    "dsnet_t3_backbone": t3_backbone,
    "dsnet_t3_interpolated": t3_interpolated,
    "dsnet_t3_sr_input": t3_sr_input,
    "dsnet_t3_edrfm": t3_edrfm,
    "dsnet_t3_sdrfm": t3_sdrfm,
    "dsnet_t3_soft_loss": t3_soft_loss,
    "dsnet_t3_gan": t3_gan,
}
