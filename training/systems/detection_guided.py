"""Detection-guided (paper 3): pre-training on LUNA16, then a smoothing output and transfer to a small clinical set.

What a run does, in phases
1. "pre-training": the network, with a plain sigmoid as the paper has it, on slices in and next to LUNA16 nodules of the
   training patients without the seven clinical ones (`training.data.clinical`).
2. "adaptation" (not in the paper, which smooths only on the clinical set): copies of the network, one per `Branch`, go
   on for a few epochs on the same slices, each with its own output: plain sigmoid, or `Std` with or without the prior.
   They see the same batches in the same order: the outputs are compared within one run, each trained for itself.
3. "transfer": copies of the pre-trained network (or fresh ones: the paper's rows without transfer learning) go on with
   the clinical training lesions, at the paper's falling rate, some with frozen blocks.

One branch is served: for a node that sees all kinds of CTs an adapted one; in the paper's recipe the transferred one.
The headline is measured on the largest slices of the validation patients' nodules; they are in none of the phases.
Figures on the clinical test lesions come from two patients: their intervals are wide, and with the synthetic look they
say nothing about real other scanners.

Beyond the paper: the malignancy answer (its loss runs over slices that show a nodule with a known label), crops of 64
instead of 128 pixels, because the patches end there, and for CPUs turned and shifted crops and a rate that falls.
Shape suffixes: B batch, N samples, J I space, 1 channel.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
import torch
from torch import nn
from torch.optim import Adam, Optimizer

from inference.contract import Contract, Intensity, RoiSlices, TensorSpec
from training.data.clinical import (
    Look,
    Parting,
    around_all,
    clinical_set,
    looking,
    nodules_of,
    samples_with_presence,
    without_clinical,
)
from training.data.slices import (
    CROP,
    SPACING_MM,
    WINDOW_HU,
    Samples,
    SliceBatch,
    Variation,
    drawing,
    middle,
    steps_per_epoch,
)
from training.evaluation.outcome import Outcome
from training.evaluation.slices import evaluate
from training.evaluation.variants import compared
from training.labels.malignancy import LabelRule
from training.losses.detection_guided import known_cross_entropy, smooth_dice_loss
from training.losses.overlap import cross_entropy, logit_cross_entropy
from training.metrics.overlap import counts
from training.networks.detection_guided import (
    Answers,
    DetectionGuided,
    DetectionGuidedConfig,
    Evidence,
    Output,
    detection_guided_paper,
    detection_guided_reduced,
    detection_guided_tiny,
)
from training.served import Served
from training.sources import Sources
from training.system import Losses, Memory, Modules, Phase, Settings, System, Turn, constant

MODEL = "detection_guided"
BATCH, WEIGHT_DECAY = 10, 1e-8
DECAY, DECAY_EPOCHS = 0.75, 5
GENTLE = 0.3
"""Highest rate of the adaptation, as a share of the pre-training's."""

MARGIN_MM = 5.0
MAXIMUM_BATCH = 16
SHARE, RULE = 0.5, LabelRule.MEAN_ROUNDED
FLIPS = (0, 2, 5, 7)
"""Of the eight ways to put a square: as it is, half a turn, and both flips (paper 3: "random flips")."""

VALIDATIONS = 5
"""Of a phase."""

Block = Literal["s1", "s5", "s9", "c1", "fc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A network that is trained in one of the phases.

    Parameters
    ----------
    name : of its module
    output : it is trained and used with
    is_pretrained : starts from the pre-trained weights; False = from fresh ones
    frozen : block that neither learns nor follows the data with its normalisation
    combine : False = without feature combination blocks; such a branch starts from fresh weights
    """

    name: str
    output: Output = Output.STD_PRIOR
    is_pretrained: bool = True
    frozen: Block | None = None
    combine: bool = True


PRETRAINED = Branch(name="pretrained", output=Output.PLAIN, is_pretrained=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionGuidedRecipe:
    """A complete training.

    Parameters
    ----------
    name, settings, parity : see `training.system.Recipe`
    network : its size
    serves : the branch that is served
    epochs : of pre-training, adaptation and transfer
    adaptations, transfers : branches of these phases
    drawn, empty : how many slices of a LUNA16 nodule at most, and next to it; None as in `slices_around`
    variation : of the crops
    learning_rate : the highest one
    rate : of the pre-training; the paper's is constant
    parting, look : of the clinical set
    """

    name: str
    settings: Settings = Settings()
    parity: float = 1e-4
    network: DetectionGuidedConfig
    serves: Branch
    epochs: tuple[int, int, int]
    adaptations: tuple[Branch, ...] = ()
    transfers: tuple[Branch, ...] = ()
    drawn: int | None = None
    empty: int | None = None
    variation: Variation = Variation(shift=0, turns=FLIPS)
    learning_rate: float = 1e-3
    rate: Literal["constant", "cosine"] = "constant"
    parting: Parting = Parting.BY_PATIENT
    look: Look = Look.LOW_DOSE_SHARP

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All networks of the system."""
        return (PRETRAINED, *self.adaptations, *self.transfers)

    def system(self, sources: Sources) -> System:
        """What is trained, with its data."""
        pretraining, adaptation, transfer = self.epochs
        train = nodules_of(sources.nodules, sources.luna16_split.train)
        luna16 = samples_with_presence(around_all(without_clinical(train), drawn=self.drawn, empty=self.empty))
        lesions = clinical_set(train, self.parting).train
        clinical = samples_with_presence(looking(around_all(lesions), self.look))
        phases = (
            dataclasses.replace(
                _phase(self, "pre-training", pretraining, luna16, (PRETRAINED,)),
                rate=cosine if self.rate == "cosine" else constant,
                after_epoch=partial(_hand_on, self),
            ),
            dataclasses.replace(
                _phase(self, "adaptation", adaptation, luna16, self.adaptations),
                rate=lambda share: GENTLE * cosine(share),
            ),
            dataclasses.replace(
                _phase(self, "transfer", transfer, clinical, self.transfers), rate=partial(fallen, epochs=transfer)
            ),
        )
        validation = samples_with_presence(sources.luna16_slices(sources.luna16_split.validation))
        return System(
            build=partial(_built, self),
            optimisers=partial(_optimisers, self),
            phases=tuple(phase for phase in phases if phase.steps),
            validate=partial(_validated, self, validation),
            served=lambda model: (_served(model, self.serves),),
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """The headline on the largest slices of validation patients; outputs and branches set against each other there,
        on slices with and without nodules; and what the transfer does to the clinical test lesions.
        """
        patients = sources.luna16_split.validation
        tell("largest slices of validation patients")
        data = "LUNA16 nodules of validation patients, largest slice, 0.7 mm"
        served = _served(model, self.serves)
        outcome = evaluate(sources.luna16_slices(patients), (served,), share=SHARE, rule=RULE, data=data)
        tell("outputs and branches on slices in and next to the nodules of validation patients")
        slices = around_all(nodules_of(sources.nodules, patients), drawn=3, empty=2)
        outputs = compared(slices, _variants(model, self), Output.PLAIN.value, share=SHARE, rule=RULE)
        tell("clinical test lesions")
        return Outcome(
            figures={**outcome.figures, "outputs": outputs, "clinical": _clinical(self, sources, model)},
            cases=outcome.cases,
        )


def losses(branch: Branch, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """Dice + cross entropy of pixels + cross entropy of presence, each weighted 1 (paper 3, equation 7), + malignancy.

    Presence follows from the mask: a slice shows a nodule or it does not.
    """
    network = _network(model, branch)
    for block in _blocks(network, branch):
        block.eval()
    evidence: Evidence = network(batch.image_B1JI)
    probability_B1JI = network.probability(evidence, branch.output)
    present_B = batch.mask_B1JI.flatten(1).any(1)
    return {
        f"{branch.name}/dice": smooth_dice_loss(probability_B1JI, batch.mask_B1JI),
        f"{branch.name}/pixels": cross_entropy(probability_B1JI, batch.mask_B1JI),
        f"{branch.name}/presence": logit_cross_entropy(evidence.presence_B, present_B),
        f"{branch.name}/malignancy": known_cross_entropy(evidence.malignancy_B, batch.malignant_B),
    }


def fallen(share: float, epochs: int) -> float:
    """The paper's rate of the transfer: times 0.75 every five epochs."""
    return float(DECAY ** (int(share * epochs + 1e-6) // DECAY_EPOCHS))


def cosine(share: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


def served_as(network: DetectionGuided, output: Output) -> Served:
    """One network with one of the outputs."""
    low, high = WINDOW_HU
    image = (1, CROP, CROP)
    answers = {"probability": image, "malignancy": (1,), "presence": (1,)}
    contract = Contract(
        model=MODEL,
        version=1,
        kind="slice-model",
        file="1/model.onnx",
        sha256="",
        inputs=(TensorSpec(name="image", shape=image),),
        outputs=tuple(TensorSpec(name=name, shape=shape) for name, shape in answers.items()),
        system=MODEL,
        roles=("segmentation", "malignancy"),
        intensity=Intensity(window_hu=WINDOW_HU, mean_hu=low, sd_hu=high - low),
        roi=RoiSlices(size_ji=(CROP, CROP), pixel_spacing_mm=SPACING_MM, margin_mm=MARGIN_MM, threshold=0.5),
        label_rule="pixels of the reference mask of LUNA16 (nodules of three or more readers); malignant: mean of the "
        "readers' ratings 3.5 or more, benign: 2.5 or less, others not used; present: the mask is not empty",
        trained_on={"sources": ("LIDC-IDRI nodules of three or more readers through LUNA16 (CC BY 3.0)",)},
    )
    return Served(contract=contract, module=Answers(network, output), maximum_batch=MAXIMUM_BATCH)


def _phase(
    recipe: DetectionGuidedRecipe, name: str, epochs: int, samples: Samples, branches: Sequence[Branch]
) -> Phase:
    epoch = steps_per_epoch(samples, BATCH, recipe.variation)
    return Phase(
        name=name,
        steps=epochs * epoch if branches else 0,
        epoch=epoch,
        turns=tuple(Turn(optimiser=branch.name, losses=partial(losses, branch)) for branch in branches),
        batch=drawing(samples, BATCH, recipe.variation, recipe.settings.seed),
        validate_every=max(1, epochs // VALIDATIONS),
    )


def _built(recipe: DetectionGuidedRecipe) -> Modules:
    return nn.ModuleDict(
        {
            branch.name: DetectionGuided(dataclasses.replace(recipe.network, combine=branch.combine))
            for branch in recipe.branches
        }
    )


def _optimisers(recipe: DetectionGuidedRecipe, model: Modules) -> dict[str, Optimizer]:
    """One per branch, without what is frozen."""
    optimisers: dict[str, Optimizer] = {}
    for branch in recipe.branches:
        network = _network(model, branch)
        frozen = {id(parameter) for block in _blocks(network, branch) for parameter in block.parameters()}
        learnt = [parameter for parameter in network.parameters() if id(parameter) not in frozen]
        optimisers[branch.name] = Adam(learnt, recipe.learning_rate, weight_decay=WEIGHT_DECAY)
    return optimisers


def _hand_on(recipe: DetectionGuidedRecipe, model: Modules, memory: Memory) -> None:
    """Give the pre-trained weights to the branches that start from them; they wait with these until their phase."""
    for branch in recipe.branches:
        if branch.is_pretrained:
            model[branch.name].load_state_dict(model[PRETRAINED.name].state_dict())


def _validated(recipe: DetectionGuidedRecipe, samples: Samples, model: Modules) -> dict[str, float]:
    """Mean Dice over validation patients' largest slices: of the served branch, and of the others by name."""
    figures = {"dice": _dice(model, recipe.serves, samples)}
    others = [branch for branch in recipe.branches if branch != recipe.serves]
    return figures | {f"dice_{branch.name}": _dice(model, branch, samples) for branch in others}


def _dice(model: Modules, branch: Branch, samples: Samples) -> float:
    network = _network(model, branch)
    device = next(network.parameters()).device
    scores: list[float] = []
    for first in range(0, len(samples), MAXIMUM_BATCH):
        images_NJI, masks_NJI = (
            middle(a[first : first + MAXIMUM_BATCH]) for a in (samples.images_NJI, samples.masks_NJI)
        )
        evidence = network(torch.from_numpy(images_NJI[:, None]).to(device))
        found_NJI = (network.probability(evidence, branch.output)[:, 0] >= 0.5).cpu().numpy()
        scores += [counts(found, truth > 0).dice for found, truth in zip(found_NJI, masks_NJI, strict=True)]
    return float(np.mean(scores))


def _variants(model: Modules, recipe: DetectionGuidedRecipe) -> dict[str, Served]:
    """The served weights with each of the outputs, and each branch with its own."""
    weights = _network(model, recipe.serves)
    outputs = {output.value: served_as(weights, output) for output in Output}
    return outputs | {f"branch {branch.name}": _served(model, branch) for branch in recipe.branches}


def _clinical(recipe: DetectionGuidedRecipe, sources: Sources, model: Modules) -> dict[str, object]:
    lesions = clinical_set(nodules_of(sources.nodules, sources.luna16_split.train), recipe.parting).test
    slices = looking(around_all(lesions), recipe.look)
    variants = {branch.name: _served(model, branch) for branch in recipe.branches}
    return {
        "patients": len({lesion.patient_id for lesion in lesions}),
        "lesions": len(lesions),
        "look": recipe.look.value,
        "parted": recipe.parting.value,
        "branches": compared(slices, variants, PRETRAINED.name, share=SHARE, rule=RULE),
    }


def _served(model: Modules, branch: Branch) -> Served:
    return served_as(_network(model, branch), branch.output)


def _network(model: Modules, branch: Branch) -> DetectionGuided:
    return cast(DetectionGuided, model[branch.name])


def _blocks(network: DetectionGuided, branch: Branch) -> tuple[nn.Module, ...]:
    """The blocks that are frozen."""
    if branch.frozen is None:
        return ()
    owner = network.classifier if branch.frozen in ("c1", "fc") else network.segmenter
    return (getattr(owner, branch.frozen),)


TRANSFERRED = Branch(name="transferred")


def paper() -> DetectionGuidedRecipe:
    """The paper's network and schedule, for a GPU: 200 epochs on LUNA16, 50 on the clinical set."""
    return DetectionGuidedRecipe(
        name="detection_guided_paper",
        network=detection_guided_paper(),
        serves=TRANSFERRED,
        epochs=(200, 0, 50),
        transfers=(TRANSFERRED,),
        empty=2,
    )


def cpu() -> DetectionGuidedRecipe:
    """A sixteenth of the parameters on one CPU thread in 25 minutes; what is served."""
    adapted = Branch(name="adapted")
    return DetectionGuidedRecipe(
        name="detection_guided_cpu",
        network=detection_guided_reduced(),
        serves=adapted,
        epochs=(9, 2, 8),
        adaptations=(adapted, Branch(name="adapted_plain", output=Output.PLAIN)),
        transfers=(TRANSFERRED,),
        drawn=3,
        empty=2,
        variation=Variation(),
        rate="cosine",
    )


def smoke() -> DetectionGuidedRecipe:
    """A minute, for tests: shows that all phases learn."""
    return dataclasses.replace(
        cpu(),
        name="detection_guided_smoke",
        network=detection_guided_tiny(),
        epochs=(2, 1, 1),
        drawn=1,
        empty=1,
        learning_rate=4e-3,
    )


def ablation() -> DetectionGuidedRecipe:
    """The rows of the paper's Table 3, in one run on the same clinical batches; the last one is pre-trained."""
    scratch = Branch(name="std_prior", is_pretrained=False)
    rows = (
        dataclasses.replace(scratch, name="no_fcb", output=Output.PLAIN, combine=False),
        dataclasses.replace(scratch, name="no_std", output=Output.PLAIN),
        dataclasses.replace(scratch, name="std_no_prior", output=Output.STD),
        scratch,
        TRANSFERRED,
    )
    return dataclasses.replace(
        cpu(), name="detection_guided_ablation", serves=TRANSFERRED, adaptations=(), transfers=rows
    )


def freezing() -> DetectionGuidedRecipe:
    """The rows of the paper's Table 2, in one run on the same clinical batches."""
    blocks: tuple[Block, ...] = ("s1", "s5", "s9", "c1", "fc")
    rows = tuple(Branch(name=f"frozen_{block}", frozen=block) for block in blocks)
    return dataclasses.replace(
        cpu(), name="detection_guided_freezing", serves=TRANSFERRED, adaptations=(), transfers=(TRANSFERRED, *rows)
    )


RECIPES: dict[str, Callable[[], DetectionGuidedRecipe]] = {
    "detection_guided_paper": paper,
    "detection_guided_cpu": cpu,
    "detection_guided_smoke": smoke,
    "detection_guided_ablation": ablation,
    "detection_guided_freezing": freezing,
}
