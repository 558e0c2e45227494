"""Networks that others use, trained on the same slices as the published systems, for the comparison tables.

Binary cross entropy + Dice, Adam, a falling rate; no ideas of any of the papers. They are measured as if they were
served, and never published. Shape suffixes: B batch, J row, I column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

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
)
from training.evaluation.outcome import Outcome
from training.evaluation.slices import evaluate
from training.labels.consensus import HALF, TWO_THIRDS
from training.labels.malignancy import LabelRule
from training.losses.overlap import dice_loss, logit_cross_entropy
from training.networks.baselines import BASELINES
from training.schedule import poly
from training.served import Served
from training.sources import Sources
from training.system import Losses, Memory, Modules, Phase, Settings, System, Turn
from training.systems.mt_net import HEADLINE_READERS, Choice, mean_dice

NETWORK = "network"
MAXIMUM_BATCH = 16
THRESHOLD, MARGIN_MM, WARM_UP = 0.5, 5.0, 0.02
RULE = LabelRule.MEAN_ROUNDED
"""Of labels that nothing here is trained on or asked for."""

Place = Literal["luna16", "lidc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecipe:
    """A training of one network.

    Parameters
    ----------
    network : its name in `training.networks.baselines`
    place : "luna16": HR-MPF's slices, the largest of each nodule; "lidc": MT-Net's slices and its 2/3 consensus
    epochs, batch, rate : how often each slice is shown, in which portions, and the highest learning rate
    """

    name: str
    network: str
    place: Place
    epochs: int = 24
    batch: int = 16
    rate: float = 2e-3
    settings: Settings = Settings()
    parity: float = 1e-4

    @property
    def share(self) -> float:
        """Of the readers who must have a pixel."""
        return TWO_THIRDS if self.place == "lidc" else HALF

    def system(self, sources: Sources) -> System:
        """One phase."""
        train, validation = self._sides(sources)
        samples, held_back = (samples_of(side, share=self.share, rule=RULE) for side in (train, validation))
        epoch = steps_per_epoch(samples, self.batch, Variation())
        phase = Phase(
            name="supervised",
            steps=self.epochs * epoch,
            epoch=epoch,
            turns=(Turn(optimiser=NETWORK, losses=losses),),
            batch=drawing(samples, self.batch, Variation(), self.settings.seed),
            rate=lambda share: poly(share, WARM_UP),
            validate_every=4,
        )
        return System(
            build=lambda: nn.ModuleDict({NETWORK: BASELINES[self.network]()}),
            optimisers=lambda model: {NETWORK: torch.optim.Adam(model.parameters(), self.rate)},
            phases=(phase,),
            validate=lambda model: _validated(model, held_back),
            served=self.served,
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """On the same slices as the published system's headline."""
        slices = [
            s for s in self._sides(sources)[1] if self.place == "luna16" or len(s.readers_RJI) >= HEADLINE_READERS
        ]
        data = {
            "luna16": "largest slice of each LUNA16 nodule of the validation patients, 0.7 mm",
            "lidc": f"LIDC slices of validation patients, {HEADLINE_READERS} readers or more",
        }[self.place]
        tell(f"{len(slices)} slices: {data}")
        return evaluate(slices, self.served(model), share=self.share, rule=RULE, data=data)

    def served(self, model: Modules) -> tuple[Served, ...]:
        """The network with a sigmoid."""
        low, high = WINDOW_HU
        spacing_mm = SPACING_MM if self.place == "luna16" else None
        contract = Contract(
            model=self.name,
            version=1,
            kind="slice-model",
            file="1/model.onnx",
            sha256="",
            inputs=(TensorSpec(name="image", shape=(1, CROP, CROP)),),
            outputs=(TensorSpec(name="probability", shape=(1, CROP, CROP)),),
            system="baselines",
            roles=("segmentation",),
            intensity=Intensity(window_hu=WINDOW_HU, mean_hu=low, sd_hu=high - low),
            roi=RoiSlices(size_ji=(CROP, CROP), pixel_spacing_mm=spacing_mm, margin_mm=MARGIN_MM, threshold=THRESHOLD),
            label_rule=f"pixels that a share of {self.share:.2f} of the readers marked",
            trained_on={"sources": [f"{self.place} slices (LIDC-IDRI, CC BY 3.0)"]},
        )
        return (Served(contract=contract, module=_Probability(model[NETWORK]), maximum_batch=MAXIMUM_BATCH),)

    def _sides(self, sources: Sources) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
        """The slices that are trained on and those that are validated on."""
        split = sources.lidc_split if self.place == "lidc" else sources.luna16_split
        splits.guard(split.train, split.validation)
        if self.place == "lidc":
            return Choice().slices(sources, split.train), Choice().slices(sources, split.validation)
        return sources.luna16_slices_to_learn(split.train), sources.luna16_slices(split.validation)


class _Probability(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_B1JI: Tensor) -> Tensor:
        return torch.sigmoid(self.network(image_B1JI))


def losses(model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
    """Binary cross entropy and Dice, one to one."""
    logits_B1JI = model[NETWORK](batch.image_B1JI)
    return {
        "pixels": logit_cross_entropy(logits_B1JI, batch.mask_B1JI),
        "dice": dice_loss(torch.sigmoid(logits_B1JI.float()), batch.mask_B1JI),
    }


def _validated(model: Modules, samples: Samples) -> dict[str, float]:
    images_N1JI = torch.from_numpy(middle(samples.images_NJI)[:, None])
    parts = [torch.sigmoid(model[NETWORK](part)) for part in torch.split(images_N1JI, MAXIMUM_BATCH)]
    return {"dice": mean_dice(torch.cat(parts), middle(samples.masks_NJI) >= THRESHOLD)}


def baseline_smoke() -> BaselineRecipe:
    """Seconds, for tests: a U-Net."""
    return BaselineRecipe(name="baseline_smoke", network="unet", place="luna16", epochs=15, rate=1e-2)


def _baseline(name: str, network: str, place: Place) -> Callable[[], BaselineRecipe]:
    def make() -> BaselineRecipe:
        return BaselineRecipe(name=name, network=network, place=place)

    make.__doc__ = f"{network} on the slices of {'HR-MPF' if place == 'luna16' else 'MT-Net'}, BCE + Dice."
    return make


RECIPES: dict[str, Callable[[], BaselineRecipe]] = {
    **{f"baseline_{network}": _baseline(f"baseline_{network}", network, "luna16") for network in BASELINES},
    **{f"baseline_{network}_lidc": _baseline(f"baseline_{network}_lidc", network, "lidc") for network in BASELINES},
    "baseline_smoke": baseline_smoke,
}
