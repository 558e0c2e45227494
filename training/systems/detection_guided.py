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
Branches and outputs are compared without the mean over turns that the served model may answer with.
The headline is measured on the largest slices of the validation patients' nodules; they are in none of the phases.
Figures on the clinical test lesions come from two patients: their intervals are wide, and with the synthetic look they
say nothing about real other scanners.

Beyond the paper: the malignancy answer (its loss runs over slices that show a nodule with a known label), crops of 64
instead of 128 pixels, because the patches end there, and for CPUs turned and shifted crops and a rate that falls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn
from torch.optim import Optimizer

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
from training.data.slices import Samples, Variation, drawing, steps_per_epoch
from training.evaluation.outcome import Outcome
from training.evaluation.slices import evaluate
from training.evaluation.variants import compared
from training.labels.malignancy import LabelRule
from training.networks.detection_guided import (
    DetectionGuided,
    DetectionGuidedConfig,
    Output,
    detection_guided_paper,
    detection_guided_reduced,
    detection_guided_tiny,
)
from training.networks.turned import Turned
from training.served import Served
from training.sources import Sources
from training.system import Memory, Modules, Phase, Settings, System, Turn, constant
from training.systems.detection_guided_branches import (
    PRETRAINED,
    TRANSFERRED,
    Block,
    Branch,
    losses,
    mean_dice,
    network_of,
    optimiser_of,
    served_as,
    served_branch,
)

BATCH = 10
DECAY, DECAY_EPOCHS = 0.75, 5
GENTLE = 0.3
"""Highest rate of the adaptation, as a share of the pre-training's."""

SHARE, RULE = 0.5, LabelRule.MEAN_ROUNDED
PLAIN = Output.PLAIN.value
FLIPS = (0, 2, 5, 7)
"""Of the eight ways to put a square: as it is, half a turn, and both flips (paper 3: "random flips")."""

VALIDATIONS = 5
"""Of a phase."""


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
    transfer_share : highest rate of the transfer, as a share of the pre-training's
    is_turned : whether the served model answers with the mean over the eight ways to put a slice
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
    transfer_share: float = 1.0
    is_turned: bool = False
    parting: Parting = Parting.BY_PATIENT
    look: Look = Look.LOW_DOSE_SHARP

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All networks of the system."""
        return (PRETRAINED, *self.adaptations, *self.transfers)

    @property
    def plain(self) -> Branch:
        """The adapted network with a plain sigmoid, that the others are set against; else the pre-trained one."""
        return next((branch for branch in self.adaptations if branch.output is Output.PLAIN), PRETRAINED)

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
                _phase(self, "transfer", transfer, clinical, self.transfers),
                rate=lambda share: self.transfer_share * fallen(share, transfer),
            ),
        )
        validation = samples_with_presence(sources.luna16_slices(sources.luna16_split.validation))
        return System(
            build=partial(_built, self),
            optimisers=partial(_optimisers, self),
            phases=tuple(phase for phase in phases if phase.steps),
            validate=partial(_validated, self, validation),
            served=self.served,
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """The headline on the largest slices of validation patients; outputs and branches set against each other there,
        on slices with and without nodules; and what the transfer does to the clinical test lesions.
        """
        patients = sources.luna16_split.validation
        tell("largest slices of validation patients")
        data = "LUNA16 nodules of validation patients, largest slice, 0.7 mm"
        outcome = evaluate(sources.luna16_slices(patients), self.served(model), share=SHARE, rule=RULE, data=data)
        tell("outputs and branches on slices in and next to the nodules of validation patients")
        slices = around_all(nodules_of(sources.nodules, patients), drawn=3, empty=2)
        more = {
            "outputs_of_the_served_weights": compared(slices, _outputs(model, self), PLAIN, share=SHARE, rule=RULE),
            "branches": compared(slices, _branches(model, self), self.plain.name, share=SHARE, rule=RULE),
        }
        tell("clinical test lesions")
        more["clinical"] = _clinical(self, sources, model)
        return Outcome(figures={**outcome.figures, **more}, cases=outcome.cases)

    def served(self, model: Modules) -> tuple[Served, ...]:
        """The one branch that is exported."""
        one = served_branch(model, self.serves)
        return (dataclasses.replace(one, module=Turned(one.module)) if self.is_turned else one,)


def fallen(share: float, epochs: int) -> float:
    """The paper's rate of the transfer: times 0.75 every five epochs."""
    return float(DECAY ** (int(share * epochs + 1e-6) // DECAY_EPOCHS))


def cosine(share: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


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


def _optimisers(recipe: DetectionGuidedRecipe, model: Modules) -> dict[str, Optimizer]:
    return {branch.name: optimiser_of(model, branch, recipe.learning_rate) for branch in recipe.branches}


def _built(recipe: DetectionGuidedRecipe) -> Modules:
    """Fresh modules. Not in channels_last, a fifth faster on CPUs: the tiny network's backward pass aborts with it."""
    return nn.ModuleDict(
        {
            branch.name: DetectionGuided(dataclasses.replace(recipe.network, combine=branch.combine))
            for branch in recipe.branches
        }
    )


def _hand_on(recipe: DetectionGuidedRecipe, model: Modules, memory: Memory) -> None:
    """Give the pre-trained weights to the branches that start from them; they wait with these until their phase."""
    for branch in recipe.branches:
        if branch.is_pretrained:
            model[branch.name].load_state_dict(model[PRETRAINED.name].state_dict())


def _validated(recipe: DetectionGuidedRecipe, samples: Samples, model: Modules) -> dict[str, float]:
    """Mean Dice over validation patients' largest slices: of the served branch, and of the others by name."""
    figures = {"dice": mean_dice(model, recipe.serves, samples)}
    others = [branch for branch in recipe.branches if branch != recipe.serves]
    return figures | {f"dice_{branch.name}": mean_dice(model, branch, samples) for branch in others}


def _outputs(model: Modules, recipe: DetectionGuidedRecipe) -> dict[str, Served]:
    """The served weights with each of the outputs."""
    return {output.value: served_as(network_of(model, recipe.serves), output) for output in Output}


def _branches(model: Modules, recipe: DetectionGuidedRecipe) -> dict[str, Served]:
    """Each branch with its own output."""
    return {branch.name: served_branch(model, branch) for branch in recipe.branches}


def _clinical(recipe: DetectionGuidedRecipe, sources: Sources, model: Modules) -> dict[str, object]:
    lesions = clinical_set(nodules_of(sources.nodules, sources.luna16_split.train), recipe.parting).test
    slices = looking(around_all(lesions), recipe.look)
    return {
        "patients": len({lesion.patient_id for lesion in lesions}),
        "lesions": len(lesions),
        "look": recipe.look.value,
        "parted": recipe.parting.value,
        **compared(slices, _branches(model, recipe), PRETRAINED.name, share=SHARE, rule=RULE),
    }


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
    """A sixteenth of the parameters on one CPU thread in 25 minutes; what is served.

    Other than the paper: all eight turns, a falling rate, a tenth of the rate for the transfer, and as answer the mean
    over the eight ways to put a slice.
    """
    adapted = Branch(name="adapted")
    return DetectionGuidedRecipe(
        name="detection_guided_cpu",
        network=detection_guided_reduced(),
        serves=adapted,
        epochs=(12, 2, 8),
        adaptations=(adapted, Branch(name="adapted_plain", output=Output.PLAIN)),
        transfers=(TRANSFERRED,),
        drawn=3,
        empty=1,
        variation=Variation(),
        rate="cosine",
        transfer_share=0.1,
        is_turned=True,
    )


def as_printed() -> DetectionGuidedRecipe:
    """The recipe that is served with the iteration of the smoothing sigmoid as the paper prints it."""
    recipe = cpu()
    network = dataclasses.replace(recipe.network, iteration="as_printed")
    return dataclasses.replace(recipe, name="detection_guided_as_printed", network=network)


def smoke() -> DetectionGuidedRecipe:
    """A minute, for tests: shows that all phases learn."""
    return dataclasses.replace(
        cpu(),
        name="detection_guided_smoke",
        network=detection_guided_tiny(),
        epochs=(2, 1, 1),
        drawn=1,
        empty=1,
        learning_rate=1e-2,
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
    "detection_guided_as_printed": as_printed,
    "detection_guided_smoke": smoke,
    "detection_guided_ablation": ablation,
    "detection_guided_freezing": freezing,
}
