"""DSNet (paper 5): a super-resolution teacher, then a segmenter that it lends its detail to, against a discriminator.

What a run does, in phases
1. "teacher": the teacher learns to enlarge slices of all training patients that were blurred and thinned out.
2. "teacher-gan": the same against a critic, as SRGAN. From then on it is frozen.
3. "dice" (not in the paper): the segmenter learns the binary masks, also of slices that fewer readers drew. Without it
   the L1 loss, whose median is background, was seen to push all pixels to 0 within 100 steps, and to leave them there.
4. "dsnet": it learns soft masks made from all readers of a slice, against a discriminator of pixels.

Rows of the paper's ablation leave out parts of it; without fusion there are no teacher phases. The binary truth is the
50 % consensus; on the enlarged grid each of its pixels is repeated. The answer is averaged back to the CT's own pixels.
Called from `training.systems.dsnet`, which has the recipes.
Which data the paper took the teacher's images from (whole slices of DeepLesion) does not fit 71 pixels: 64 are enlarged
from 16 or 32 here, where NETWORKS 5.2 has 96 from 24.
Shape suffixes: B batch, J row, I column, 1 channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from inference.contract import Contract, Intensity, RoiSlices, TensorSpec
from training.data.slices import (
    CROP,
    WINDOW_HU,
    Samples,
    SliceBatch,
    Variation,
    drawing,
    samples_of,
    steps_per_epoch,
)
from training.data.soft_masks import soft_masks
from training.data.splits import guard
from training.evaluation.outcome import Outcome
from training.evaluation.soft_masks import evaluate, validated
from training.losses.conditional_gan import passing, telling_apart
from training.losses.soft import DICE_ALONE, SoftWeights, supervised_losses
from training.losses.super_resolution import ADVERSARIAL, content_loss
from training.networks.dsnet import (
    DsNet,
    DsNetConfig,
    PixelDiscriminator,
    ServedDsNet,
    enlarged,
)
from training.networks.srgan import Critic, Generator, SrganConfig, degraded
from training.networks.turned import Turned
from training.schedule import poly
from training.served import Served
from training.sources import Sources
from training.system import Losses, Memory, Modules, Phase, Settings, System, Turn, constant

MODEL = "dsnet"
READERS = 4
"""Who must have drawn a slice at least, as in paper 5."""

CONSENSUS = 0.5
BETAS = (0.5, 0.999)
POLY = 0.9
"""Power of the falling rate (NETWORKS 5.5)."""

WARM_UP = 0.03
"""Share of the last phase in which the rate rises."""

MAXIMUM_BATCH = 16
MARGIN_MM = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """How the teacher is trained.

    Parameters
    ----------
    epochs : without and with its critic
    batch, learning_rate : of both; SRGAN: 16 and 1e-4
    """

    epochs: tuple[int, int]
    batch: int = 16
    learning_rate: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class DsNetRecipe:
    """A complete training.

    Parameters
    ----------
    name, settings, parity : see `training.system.Recipe`
    network, teacher : their sizes
    teaching : of the teacher
    dice_epochs, dice_readers : of the segmenter with Dice alone, at the highest rate, on slices that so many readers
        drew at least; the paper has none
    epochs, batch, learning_rate : of the segmenter; the rate is the highest, it falls to nothing
    weights : of the losses
    initial_sd : standard deviation of the first weights of segmenter and discriminator; None = as torch has them
    variation : of the crops
    is_turned : whether the served model answers with the mean over the eight ways to put a slice
    """

    name: str
    settings: Settings = Settings()
    parity: float = 1e-4
    network: DsNetConfig
    teacher: SrganConfig
    teaching: Teaching
    dice_epochs: int
    dice_readers: int = READERS
    epochs: int
    batch: int
    learning_rate: float = 2e-4
    weights: SoftWeights = SoftWeights()
    initial_sd: float | None = None
    variation: Variation = Variation()
    is_turned: bool = False

    def system(self, sources: Sources) -> System:
        """What is trained, with its data."""
        split = sources.lidc_split
        guard(split.train, split.validation)
        samples = _samples(self, sources)
        drawn = samples_of(sources.soft_slices_to_learn(split.train, readers=self.dice_readers), share=CONSENSUS)
        phases = _dsnet_phases(self, samples, drawn)
        if self.network.has_teacher:
            phases = _teacher_phases(self, samples_of(sources.soft_slices_to_learn(split.train))) + phases
        validation = samples_of(sources.soft_slices(split.validation, readers=READERS), share=CONSENSUS)
        return System(
            build=partial(_built, self),
            optimisers=partial(_optimisers, self),
            phases=tuple(phase for phase in phases if phase.steps),
            validate=lambda model: validated(validation, _network(model), _teacher(model)),
            served=partial(served, self),
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """Measure trained modules on slices of validation patients that four readers drew, or else of RECIST axes."""
        slices = sources.soft_slices(sources.lidc_split.validation, readers=READERS)
        soft = soft_masks(slices, self.network.factor, sources.cache, tell)
        return evaluate(slices, soft, served(self, model), _teacher(model))


def _samples(recipe: DsNetRecipe, sources: Sources) -> Samples:
    """The slices to learn from with their soft masks."""
    slices = sources.soft_slices_to_learn(sources.lidc_split.train, readers=READERS)
    soft = soft_masks(slices, recipe.network.factor, sources.cache, sources.tell)
    kept = [one for one in slices if one.case_id in soft]
    return samples_of(kept, share=CONSENSUS, soft=lambda one: soft[one.case_id])


def _teacher_phases(recipe: DsNetRecipe, samples: Samples) -> list[Phase]:
    made: list[Tensor] = []
    alone, against = recipe.teaching.epochs
    content = Turn(optimiser="teacher", losses=partial(_content, recipe.teacher.factor))
    game = (
        Turn(optimiser="teacher", losses=partial(_content_and_passing, recipe.teacher.factor, made)),
        Turn(optimiser="critic", losses=partial(_criticised, made)),
    )
    batch, seed = recipe.teaching.batch, recipe.settings.seed
    epoch = steps_per_epoch(samples, batch, recipe.variation)
    return [
        Phase(
            name=name,
            steps=epochs * epoch,
            epoch=epoch,
            turns=turns,
            batch=drawing(samples, batch, recipe.variation, seed + offset),
            rate=rate,
            validate_every=0,
        )
        for name, epochs, turns, rate, offset in (
            ("teacher", alone, (content,), constant, 1),
            ("teacher-gan", against, game, falling, 2),
        )
    ]


def _dsnet_phases(recipe: DsNetRecipe, samples: Samples, drawn: Samples) -> list[Phase]:
    made: list[Tensor] = []
    first = Turn(optimiser="dice", losses=partial(_segmented, DICE_ALONE, made))
    turns = [Turn(optimiser="segmenter", losses=partial(_segmented, recipe.weights, made))]
    if recipe.weights.adversarial:
        turns.append(Turn(optimiser="discriminator", losses=partial(_discriminated, made)))
    epoch = steps_per_epoch(samples, recipe.batch, recipe.variation)
    phase = Phase(
        name="dsnet",
        steps=recipe.epochs * epoch,
        epoch=epoch,
        turns=tuple(turns),
        batch=drawing(samples, recipe.batch, recipe.variation, recipe.settings.seed),
        rate=rising_and_falling,
        validate_every=4,
    )
    dice_epoch = steps_per_epoch(drawn, recipe.batch, recipe.variation)
    dice = Phase(
        name="dice",
        steps=recipe.dice_epochs * dice_epoch,
        epoch=dice_epoch,
        turns=(first,),
        batch=drawing(drawn, recipe.batch, recipe.variation, recipe.settings.seed),
        validate_every=0,
    )
    return [dice, phase]


def falling(share: float) -> float:
    """Poly: (1 - share) ** 0.9."""
    return poly(share, 0.0, POLY)


def rising_and_falling(share: float) -> float:
    """The same after a straight rise."""
    return poly(share, WARM_UP, POLY)


def _content(factor: int, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    made_B1JI, _ = model["teacher"](degraded(batch.image_B1JI, factor))
    return {"content": content_loss(made_B1JI, batch.image_B1JI)}


def _content_and_passing(factor: int, made: list[Tensor], model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """`made` keeps the enlarged images for the critic's turn of the same step."""
    made_B1JI, _ = model["teacher"](degraded(batch.image_B1JI, factor))
    made[:] = [made_B1JI.detach()]
    passed = passing(model["critic"](made_B1JI))
    return {"content": content_loss(made_B1JI, batch.image_B1JI), "passing": ADVERSARIAL * passed}


def _criticised(made: list[Tensor], model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    return {"critic": telling_apart(model["critic"](batch.image_B1JI), model["critic"](made[0]))}


def _segmented(weights: SoftWeights, made: list[Tensor], model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """`made` keeps the soft masks for the discriminator's turn of the same step, as pix2pix does."""
    network = _network(model)
    found_B1JI = network(batch.image_B1JI, _teacher(model))
    made[:] = [found_B1JI.detach()]
    mask_B1JI = repeated(batch.mask_B1JI, network.config.factor)
    losses = supervised_losses(found_B1JI, mask_B1JI, batch.soft_B1JI, weights)
    if weights.adversarial:
        image_B1JI = enlarged(batch.image_B1JI, network.config.factor)
        losses["passing"] = weights.adversarial * passing(model["discriminator"](image_B1JI, found_B1JI))
    return losses


def _discriminated(made: list[Tensor], model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    image_B1JI = enlarged(batch.image_B1JI, _network(model).config.factor)
    judge = model["discriminator"]
    return {"discriminator": telling_apart(judge(image_B1JI, batch.soft_B1JI), judge(image_B1JI, made[0]))}


def repeated(mask_B1JI: Tensor, factor: int) -> Tensor:
    """Each pixel factor * factor times."""
    return mask_B1JI.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _network(model: Modules) -> DsNet:
    return cast(DsNet, model["segmenter"])


def _teacher(model: Modules) -> Generator | None:
    """The teacher as it teaches: with the statistics that it has learnt; None in systems without one."""
    return cast(Generator, model["teacher"].eval()) if "teacher" in model else None


def _built(recipe: DsNetRecipe) -> Modules:
    segmenter: dict[str, nn.Module] = {"segmenter": DsNet(recipe.network)}
    if recipe.weights.adversarial:
        segmenter["discriminator"] = PixelDiscriminator(recipe.network)
    if recipe.initial_sd is not None:
        for module in segmenter.values():
            module.apply(partial(_initialise, recipe.initial_sd))
    teacher: dict[str, nn.Module] = {}
    if recipe.network.has_teacher:
        teacher = {"teacher": Generator(recipe.teacher), "critic": Critic(recipe.teacher)}
    return nn.ModuleDict(teacher | segmenter)


def _initialise(sd: float, module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, sd)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _optimisers(recipe: DsNetRecipe, model: Modules) -> dict[str, Optimizer]:
    """One for each module, and one of its own for the segmenter's first phase.

    With the small gradients of Dice in its memory Adam took such steps at the soft loss, whose gradients are a hundred
    times larger, that all pixels went to 0 for good.
    """
    teaching = {"teacher", "critic"}
    made: dict[str, Optimizer] = {
        name: Adam(module.parameters(), recipe.teaching.learning_rate)
        if name in teaching
        else Adam(module.parameters(), recipe.learning_rate, betas=BETAS)
        for name, module in model.items()
    }
    return made | {"dice": Adam(model["segmenter"].parameters(), recipe.learning_rate, betas=BETAS)}


def served(recipe: DsNetRecipe, model: Modules) -> tuple[Served, ...]:
    """The one model that is exported: image in, soft mask out, everything between inside."""
    contract = Contract(
        model=MODEL,
        version=1,
        kind="slice-model",
        file="model.onnx",
        sha256="",
        system="dsnet",
        roles=("segmentation",),
        inputs=(TensorSpec(name="image", shape=(1, CROP, CROP)),),
        outputs=(TensorSpec(name="probability", shape=(1, CROP, CROP)),),
        intensity=Intensity(window_hu=WINDOW_HU, mean_hu=WINDOW_HU[0], sd_hu=WINDOW_HU[1] - WINDOW_HU[0]),
        roi=RoiSlices(size_ji=(CROP, CROP), pixel_spacing_mm=None, margin_mm=MARGIN_MM, threshold=0.5),
        is_soft=True,
        label_rule="Soft masks by closed-form matting between what all readers and what any reader marked; "
        "binary truth: 50 % consensus of four readers or more.",
        trained_on={"data": "LIDC-IDRI, largest slices drawn by four readers or more, patients apart from validation"},
    )
    alone = ServedDsNet(_network(model), _teacher(model))
    module = Turned(alone) if recipe.is_turned else alone
    return (Served(contract=contract, module=module, maximum_batch=MAXIMUM_BATCH),)
