"""The networks that a detection-guided training has: what tells them apart, what each learns from, how it is served.

Called from `training.systems.detection_guided`. Shape suffixes: B batch, N samples, J I space, 1 channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import nn
from torch.optim import Adam

from inference.contract import Contract, Intensity, RoiSlices, TensorSpec
from training.data.slices import CROP, SPACING_MM, WINDOW_HU, Samples, SliceBatch, middle
from training.losses.detection_guided import known_cross_entropy, smooth_dice_loss
from training.losses.overlap import cross_entropy, logit_cross_entropy
from training.metrics.overlap import counts
from training.networks.detection_guided import Answers, DetectionGuided, Evidence, Output
from training.served import Served
from training.system import Losses, Memory, Modules

MODEL = "detection_guided"
WEIGHT_DECAY = 1e-8
MARGIN_MM = 5.0
MAXIMUM_BATCH = 16

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
TRANSFERRED = Branch(name="transferred")


def network_of(model: Modules, branch: Branch) -> DetectionGuided:
    """Its module."""
    return cast(DetectionGuided, model[branch.name])


def losses(branch: Branch, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """Dice + cross entropy of pixels + cross entropy of presence, each weighted 1 (paper 3, equation 7), + malignancy.

    Presence follows from the mask: a slice shows a nodule or it does not.
    """
    network = network_of(model, branch)
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


def optimiser_of(model: Modules, branch: Branch, learning_rate: float) -> Adam:
    """Of what is not frozen."""
    network = network_of(model, branch)
    frozen = {id(parameter) for block in _blocks(network, branch) for parameter in block.parameters()}
    learnt = [parameter for parameter in network.parameters() if id(parameter) not in frozen]
    return Adam(learnt, learning_rate, weight_decay=WEIGHT_DECAY)


def mean_dice(model: Modules, branch: Branch, samples: Samples) -> float:
    """Over the middles of the samples."""
    network = network_of(model, branch)
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


def served_branch(model: Modules, branch: Branch) -> Served:
    """A branch with its own output."""
    return served_as(network_of(model, branch), branch.output)


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
        label_rule="pixels of the reference mask; malignant: mean of the "
        "readers' ratings 3.5 or more, benign: 2.5 or less, others not used; present: the mask is not empty",
        trained_on={"sources": ("LIDC-IDRI nodules of three or more readers through LUNA16 (CC BY 3.0)",)},
    )
    return Served(contract=contract, module=Answers(network, output), maximum_batch=MAXIMUM_BATCH)


def _blocks(network: DetectionGuided, branch: Branch) -> tuple[nn.Module, ...]:
    """The blocks that are frozen."""
    if branch.frozen is None:
        return ()
    owner = network.classifier if branch.frozen in ("c1", "fc") else network.segmenter
    return (getattr(owner, branch.frozen),)
