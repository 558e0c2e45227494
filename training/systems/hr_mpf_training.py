"""HR-MPF (paper 1): outline and malignancy of a nodule from one slice, trained against a critic.

Each step has two turns: the network (pixels, boundary, malignancy, and to deceive the critic), then the critic on the
same prediction.
Differences from the paper: patients apart instead of augmented images apart (`split`); no lung mask, as the nodules
come as patches; nodules rated between 2.5 and 3.5 are outlined too, their malignancy is not trained.
Called from `training.systems.hr_mpf`, which has the recipes.
Shape suffixes: B batch, N samples, J row, I column, 1 and 2 channels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from pytorch_optimizer import AdaBelief
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer, RMSprop

from inference.contract import Contract, Intensity, RoiSlices, TensorSpec
from training.data import splits
from training.data.slices import (
    CROP,
    SPACING_MM,
    WINDOW_HU,
    Samples,
    Slice,
    SliceBatch,
    Variation,
    drawing,
    middle,
    samples_of,
    steps_per_epoch,
    turned,
)
from training.data.splits import SplitRule
from training.evaluation.outcome import Outcome
from training.evaluation.slices import evaluate
from training.labels.malignancy import LabelRule
from training.losses.adversarial import Gan, clamp_weights, critic_loss, deceiving_loss
from training.losses.boundary import boundary_loss
from training.losses.overlap import dice_loss
from training.losses.two_class import label_cross_entropy, pixel_cross_entropy
from training.metrics.overlap import dice
from training.metrics.statistics import mean
from training.networks.hr_mpf import Critic, HrMpf, HrMpfConfig
from training.networks.turned import Turned
from training.served import Served
from training.sources import Sources
from training.system import Losses, Memory, Modules, Phase, Settings, System, Turn, constant

MODEL = "hr_mpf"
SHARE = 0.5
RULE = LabelRule.MEAN_ROUNDED
MARGIN_MM = 5.0
MAXIMUM_BATCH = 16
THRESHOLD = 0.5

PAPER_TURNS = (0, 1, 2, 3, 4, 5, 7)
"""As it is, quarter turns, transposed, upside down, mirrored (section 4.1); of the eight all but the other diagonal."""

TESTED = 877 / 5845
"""Share of the images that the paper tests on."""

PREDICTION = "prediction"
"""What the network's turn leaves to the critic's in the memory; gone when the step ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """The paper's lambda 1, 2 and 3 (section 4.3); the pixels' cross entropy has weight 1. 0 = without that loss.

    Parameters
    ----------
    dice : of the soft Dice loss, which the paper does not have
    """

    adversarial: float = 0.1
    boundary: float = 1.0
    malignancy: float = 0.1
    dice: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Optimisation, by default that of section 4.2: AdaBelief for the network, RMSprop for the critic.

    Parameters
    ----------
    network, critic : learning rates
    epsilon : AdaBelief adds it to the variance in every step, so that the square root settles at (epsilon / 0.001) **
        0.5 at least: 0.03 for the paper's 1e-6. Where gradients are smaller than that it is plain gradient descent
    limit : that a Wasserstein critic's weights are clamped to
    is_falling : from the highest rate to 0, as half a cosine; the paper names no schedule
    """

    network: float = 2.5e-4
    critic: float = 2e-3
    epsilon: float = 1e-6
    limit: float = 0.01
    is_falling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HrMpfRecipe:
    """A complete training.

    Parameters
    ----------
    name, settings, parity : see `training.system.Recipe`
    network : its size
    epochs, batch, variation : how often an epoch is shown, in which portions, how varied
    drawn : slices of a nodule that are trained on at most: the largest, and others evenly over its height
    weights, rates : of the losses and optimisers
    gan, critic_width : what the critic minimises, and channels of its first convolution; "none" = there is no critic
    split : as printed, the turned images are dealt to both sides, whoever they are of
    is_turned : whether the served model answers with the mean over the eight ways to put a slice
    """

    name: str
    network: HrMpfConfig
    epochs: int
    settings: Settings = Settings()
    parity: float = 1e-4
    batch: int = 16
    variation: Variation = Variation(shift=0, turns=PAPER_TURNS, is_exhaustive=True)
    drawn: int = 1
    weights: LossWeights = LossWeights()
    gan: Gan = "wgan_clip"
    critic_width: int = 64
    rates: Rates = Rates()
    split: SplitRule = SplitRule.PATIENT
    is_turned: bool = False

    def system(self, sources: Sources) -> System:
        """What is trained, with its data."""
        train, validation, _ = sides(self, sources)
        samples = samples_of(train, share=SHARE, rule=RULE)
        epoch = steps_per_epoch(samples, self.batch, self.variation)
        phase = Phase(
            name="adversarial" if self.gan != "none" else "supervised",
            steps=self.epochs * epoch,
            epoch=epoch,
            turns=turns(self),
            batch=drawing(samples, self.batch, self.variation, self.settings.seed),
            rate=falling if self.rates.is_falling else constant,
        )
        return System(
            build=partial(built, self),
            optimisers=partial(optimisers, self),
            phases=(phase,),
            validate=partial(validated, samples_of(validation, share=SHARE, rule=RULE)),
            served=partial(served, self),
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """Measure a trained network on the other side's nodules."""
        _, validation, remarks = sides(self, sources)
        tell(f"{len(validation)} slices")
        data = ", ".join(("largest slice of each LUNA16 nodule of the other side, 0.7 mm", *remarks))
        return evaluate(validation, served(self, model), share=SHARE, rule=RULE, data=data)


def sides(recipe: HrMpfRecipe, sources: Sources) -> tuple[tuple[Slice, ...], tuple[Slice, ...], tuple[str, ...]]:
    """The slices that are trained on, those that are validated on, and what must be said of their figures."""
    split = sources.luna16_split
    if recipe.split is SplitRule.PATIENT:
        train = sources.luna16_slices_to_learn(split.train, drawn=recipe.drawn)
        validation = sources.luna16_slices(split.validation)
    else:
        everyone = (*split.train, *split.validation, *split.unused)
        train, validation = _dealt(sources.luna16_slices(everyone), recipe.settings.seed)
    remarks = splits.guard({s.patient_id for s in train}, {s.patient_id for s in validation}, recipe.split)
    return train, validation, remarks


def _dealt(slices: Sequence[Slice], seed: int) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """The paper's split: every slice in all its turns, 4,968 of 5,845 to train on, so that most nodules are on both."""
    shown = [put(one, turn) for turn in PAPER_TURNS for one in slices]
    train, tested = splits.leaky(len(shown), TESTED, seed)
    return tuple(shown[n] for n in train), tuple(shown[n] for n in tested)


def put(one: Slice, turn: int) -> Slice:
    """A slice turned, with its outlines."""
    readers = np.stack([turned(mask, turn) for mask in one.readers_RJI])
    return dataclasses.replace(one, image_hu=turned(one.image_hu, turn), readers_RJI=readers)


def falling(share: float) -> float:
    """From 1 to 0 as half a cosine."""
    return (1 + math.cos(math.pi * share)) / 2


def built(recipe: HrMpfRecipe) -> Modules:
    """Fresh modules. Convolutions over channels that lie together are faster on CPUs; the numbers are the same."""
    model = nn.ModuleDict({"network": HrMpf(recipe.network)})
    if recipe.gan != "none":
        model["critic"] = Critic(recipe.critic_width)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def network_of(model: Modules) -> HrMpf:
    """The network among the modules."""
    return cast(HrMpf, model["network"])


def optimisers(recipe: HrMpfRecipe, model: Modules) -> Mapping[str, Optimizer]:
    """AdaBelief in its plain form for the network, RMSprop for the critic."""
    network = AdaBelief(
        model["network"].parameters(),
        lr=recipe.rates.network,
        betas=(0.5, 0.999),
        eps=recipe.rates.epsilon,
        weight_decouple=False,
        rectify=False,
    )
    if recipe.gan == "none":
        return {"network": network}
    return {"network": network, "critic": RMSprop(model["critic"].parameters(), lr=recipe.rates.critic, eps=1e-8)}


def turns(recipe: HrMpfRecipe) -> tuple[Turn, ...]:
    """Of each step: the network's, then the critic's."""
    network = Turn(optimiser="network", losses=partial(network_losses, recipe))
    if recipe.gan == "none":
        return (network,)
    return network, Turn(optimiser="critic", losses=partial(critic_losses, recipe.gan), after=partial(_clamped, recipe))


def network_losses(recipe: HrMpfRecipe, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """Equation 6, term by term, each with its weight."""
    logits_B2JI, classes_B2 = network_of(model).logits(batch.image_B1JI)
    made_B1JI = torch.softmax(logits_B2JI.float(), 1)[:, 1:]
    losses = {"pixels": pixel_cross_entropy(logits_B2JI, batch.mask_B1JI)}
    if recipe.weights.boundary:
        losses["boundary"] = recipe.weights.boundary * boundary_loss(made_B1JI, batch.mask_B1JI)
    if recipe.weights.dice:
        losses["dice"] = recipe.weights.dice * dice_loss(made_B1JI, batch.mask_B1JI)
    if classes_B2 is not None:
        losses["malignancy"] = recipe.weights.malignancy * label_cross_entropy(classes_B2, batch.malignant_B)
    if recipe.gan != "none":
        losses["adversarial"] = recipe.weights.adversarial * deceiving_loss(_judged(model["critic"], made_B1JI))
        memory[PREDICTION] = made_B1JI.detach()
    return losses


def critic_losses(gan: Gan, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """Equation 7. Masks and predictions pass apart, so that each is normalised by its own statistics."""
    critic = model["critic"]
    return {"critic": critic_loss(critic(batch.mask_B1JI), critic(memory.pop(PREDICTION)), gan)}


def _judged(critic: nn.Module, made_B1JI: Tensor) -> Tensor:
    """The critic's answer with a gradient for the prediction only: its own weights have their turn later."""
    weights = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    result: Tensor = functional_call(critic, weights, (made_B1JI,))
    return result


def _clamped(recipe: HrMpfRecipe, model: Modules, memory: Memory) -> None:
    if recipe.gan == "wgan_clip":
        clamp_weights(model["critic"], recipe.rates.limit)


def validated(samples: Samples, model: Modules) -> dict[str, float]:
    """Mean Dice over the slices, of the 64 x 64 pixels in the middle."""
    images = torch.from_numpy(middle(samples.images_NJI)[:, None])
    truths = middle(samples.masks_NJI) >= THRESHOLD
    parts = torch.split(images, MAXIMUM_BATCH)
    logits = [network_of(model).logits(part)[0] for part in parts]
    found = (torch.softmax(torch.cat(logits), 1)[:, 1] >= THRESHOLD).numpy()
    return {"dice": mean([dice(one, truth) for one, truth in zip(found, truths, strict=True)])}


def served(recipe: HrMpfRecipe, model: Modules) -> tuple[Served, ...]:
    """One model: probability of nodule by pixel, and of malignancy if it classifies."""
    network = network_of(model)
    low, high = WINDOW_HU
    image = (1, CROP, CROP)
    answers = {"probability": image} | ({"malignancy": (1,)} if network.config.is_classifying else {})
    contract = Contract(
        model=MODEL,
        version=1,
        kind="slice-model",
        file="1/model.onnx",
        sha256="",
        inputs=(TensorSpec(name="image", shape=image),),
        outputs=tuple(TensorSpec(name=name, shape=shape) for name, shape in answers.items()),
        system=MODEL,
        roles=("segmentation", "malignancy")[: len(answers)],
        intensity=Intensity(window_hu=WINDOW_HU, mean_hu=low, sd_hu=high - low),
        roi=RoiSlices(size_ji=(CROP, CROP), pixel_spacing_mm=SPACING_MM, margin_mm=MARGIN_MM, threshold=THRESHOLD),
        label_rule="pixels of the reference mask; malignant: mean of the "
        "readers' ratings 3.5 or more, benign: 2.5 or less, others not used",
        trained_on={"sources": ("LIDC-IDRI nodules of three or more readers through LUNA16 (CC BY 3.0)",)},
    )
    module = Turned(network) if recipe.is_turned else network
    return (Served(contract=contract, module=module, maximum_batch=MAXIMUM_BATCH),)
