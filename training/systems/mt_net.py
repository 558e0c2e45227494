"""MT-Net (paper 2) with its data, phases, served models and recipes.

One run trains three networks: the coarse one; with it frozen, the classifier; from its weights, the fine one.
`training.catalogue` knows the recipes by name. Shape suffixes: B batch, J row, I column.

Where the paper is silent or cannot be followed (NETWORKS section 2.8, MB-DCNN for the first four)
- learning rate falls as (1 - share)^0.9; a warm-up, because there are no pretrained weights
- the loss is counted on the image's own pixels, not on the enlarged ones, which hold no more information
- the coarse mask is the probability; `binarise` makes it 0 or 1 for the classifier
- an epoch shows each slice once, flipped, turned and shifted at random, instead of nine stored variants
- nodules of malignancy 3 are dropped for the classifier only, as their outlines are as good as any:
  `learns_uncertain=False` drops them everywhere, as printed
- a nodule is adopted if two readers drew it or more, it is 3 to 25 mm wide, and its consensus has a pixel
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.volume import BoolArray
from training.data.slices import (
    Samples,
    Slice,
    SliceBatch,
    Variation,
    drawing,
    middle,
    samples_of,
    steps_per_epoch,
)
from training.data.splits import guard
from training.evaluation import slices as judging
from training.evaluation.outcome import Outcome
from training.labels.consensus import TWO_THIRDS
from training.labels.malignancy import LabelRule
from training.losses.overlap import dice_loss, logit_cross_entropy
from training.losses.rank import rank_loss
from training.metrics.overlap import dice
from training.metrics.statistics import area_under_roc, figure, mean
from training.networks.deeplab import DeepLab
from training.networks.mt_net import ClassNet, MtNetConfig, mt_net_paper, mt_net_reduced, mt_net_tiny
from training.networks.pretrained import CLASS_NAMES, DEEPLAB_NAMES, load_pretrained
from training.schedule import poly
from training.served import Served
from training.sources import Sources
from training.system import Losses, Memory, Modules, Phase, Settings, System, Turn
from training.systems.mt_net_served import (
    CLASSIFIER,
    COARSE,
    FINE,
    MAXIMUM_BATCH,
    MODELS,
    ROI,
    Classifier,
    Segmenter,
    alone,
    binarised,
    served_model,
)

HEADLINE_READERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTerm:
    """The rank loss: its factor (the paper's gamma), K and margin."""

    factor: float = 0.02
    hardest: int = 20
    margin: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which slices count.

    Parameters
    ----------
    readers : fewest that drew it
    diameters_mm : narrowest and widest
    share : of the readers who must have a pixel
    rule : that makes labels of ratings
    """

    readers: int = 2
    diameters_mm: tuple[float, float] = (3.0, 25.0)
    share: float = TWO_THIRDS
    rule: LabelRule = LabelRule.MEAN_STRICT3

    def slices(self, sources: Sources, patients: Sequence[str]) -> tuple[Slice, ...]:
        """The slices of some patients that count."""
        low, high = self.diameters_mm
        drawn = sources.lidc_slices(patients, readers=self.readers)
        return tuple(s for s in drawn if low <= s.diameter_mm <= high and s.mask(self.share).any())


@dataclass(frozen=True, slots=True, kw_only=True)
class MtNetRecipe:
    """A training of MT-Net.

    Parameters
    ----------
    networks : sizes
    epochs : of the coarse network, the classifier and the fine network; the two latter are left out with 0
    batches : slices per step of the segmenters and of the classifier
    rate : highest learning rate
    warm_up : share of a phase in which the learning rate rises
    rank : of the segmentation loss
    binarise : probability from which the classifier's mask is 1, and 0 below; None = the probability itself
    has_prior : False = the fine network is given an empty mask, which shows what its longer training alone does
    learns_uncertain : whether the segmenters are trained on nodules of malignancy 3
    weights, class_weights : pretrained weights to start from, see `training.networks.pretrained`
    most_slices : of each side of the split, for tests; None = all
    """

    name: str
    networks: MtNetConfig
    epochs: tuple[int, int, int]
    batches: tuple[int, int] = (16, 32)
    rate: float = 1e-4
    warm_up: float = 0.02
    rank: RankTerm = RankTerm()
    binarise: float | None = None
    has_prior: bool = True
    learns_uncertain: bool = True
    choice: Choice = Choice()
    variation: Variation = Variation()
    weights: Path | None = None
    class_weights: Path | None = None
    validate_every: int = 4
    most_slices: int | None = None
    settings: Settings = Settings()
    parity: float = 1e-4

    def system(self, sources: Sources) -> System:
        """Networks, phases and what is served."""
        patients = sources.lidc_split
        guard(patients.train, patients.validation)
        known, held_back = (self._samples(sources, side) for side in (patients.train, patients.validation))
        rated = _kept(known, ~np.isnan(known.malignant_N))
        outlined = known if self.learns_uncertain else rated
        phases = (
            self._phase(COARSE, outlined, self._coarse_losses, self._start_coarse),
            self._phase(CLASSIFIER, rated, self._class_losses, self._start_classifier),
            self._phase(FINE, outlined, self._fine_losses, start_fine),
        )
        return System(
            build=self._build,
            optimisers=lambda model: {name: torch.optim.Adam(model[name].parameters(), self.rate) for name in MODELS},
            phases=tuple(phase for phase in phases if phase.steps),
            validate=lambda model: self._validate(model, held_back),
            served=self.served,
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """Figures of slices that three readers drew or more, and of all that two drew.

        Headline are the former: of two readers, two thirds are both, so that the mask is what the more timid one drew.
        """
        share, rule, served = self.choice.share, self.choice.rule, self.served(model)
        slices = self.choice.slices(sources, sources.lidc_split.validation)
        three = [s for s in slices if len(s.readers_RJI) >= HEADLINE_READERS]
        data = f"LIDC slices of validation patients, {HEADLINE_READERS} readers or more"
        outcome = judging.evaluate(three, served, share=share, rule=rule, data=data)
        tell(f"{len(three)} {data}")
        cases = judging.judge(slices, served, share=share, rule=rule)
        coarse = judging.judge(slices, [alone(served[0])], share=share, rule=rule)
        tell(f"{len(slices)} of two readers or more")
        pairs = list(zip(cases, coarse, strict=True))
        headline = [pair for pair in pairs if len(pair[0].slice.readers_RJI) >= HEADLINE_READERS]
        everything = {
            "slices": len(cases),
            "segmentation": judging.segmentation_figures(cases),
            **_beside_coarse(pairs),
        }
        if any(not np.isnan(case.malignancy) for case in cases):
            everything["malignancy"] = judging.malignancy_figures(cases)
        figures = {**outcome.figures, **_beside_coarse(headline), "two_readers_or_more": everything}
        return replace(outcome, figures=figures)

    def served(self, model: Modules) -> tuple[Served, ...]:
        """The coarse model, which feeds the two others, and those of these that are trained."""
        _, class_epochs, fine_epochs = self.epochs
        served = [served_model(COARSE, Segmenter(model[COARSE]), () if fine_epochs else ("segmentation",), fed=False)]
        if fine_epochs:
            served.append(served_model(FINE, Segmenter(model[FINE]), ("segmentation",), fed=self.has_prior))
        if class_epochs:
            judge = Classifier(model[CLASSIFIER], self.binarise)
            served.append(served_model(CLASSIFIER, judge, ("malignancy",), fed=self.networks.classifier.has_mask))
        return tuple(served)

    def _samples(self, sources: Sources, patients: Sequence[str]) -> Samples:
        slices = self.choice.slices(sources, patients)[: self.most_slices]
        return samples_of(slices, share=self.choice.share, rule=self.choice.rule)

    def _build(self) -> Modules:
        segmenter = self.networks.segmenter
        fine = DeepLab(replace(segmenter, has_prior=True))
        # not in channels_last: without AVX-512 the backward pass of small networks aborts in oneDNN (torch 2.13)
        return Modules({COARSE: DeepLab(segmenter), CLASSIFIER: ClassNet(self.networks.classifier), FINE: fine})

    def _phase(
        self,
        name: str,
        samples: Samples,
        losses: Callable[[Modules, SliceBatch, Memory], Losses],
        enter: Callable[[Modules, Memory], None],
    ) -> Phase:
        number = list(MODELS).index(name)
        batch = self.batches[name == CLASSIFIER]
        epoch = steps_per_epoch(samples, batch, self.variation)
        return Phase(
            name=name,
            steps=self.epochs[number] * epoch,
            epoch=epoch,
            turns=(Turn(optimiser=name, losses=losses),),
            batch=drawing(samples, batch, self.variation, self.settings.seed * 10 + number),
            rate=lambda share: poly(share, self.warm_up),
            enter=enter,
            validate_every=self.validate_every,
        )

    def _start_coarse(self, model: Modules, memory: Memory) -> None:
        if self.weights is not None:
            memory["coarse_weights"] = str(load_pretrained(model[COARSE], self.weights, DEEPLAB_NAMES))

    def _start_classifier(self, model: Modules, memory: Memory) -> None:
        if self.class_weights is not None:
            memory["class_weights"] = str(load_pretrained(model[CLASSIFIER], self.class_weights, CLASS_NAMES))

    def _coarse_losses(self, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
        return self._segmentation_losses(model[COARSE](batch.image_B1JI), batch)

    def _fine_losses(self, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
        coarse_B1JI = coarse_probability(model, batch.image_B1JI)
        return self._segmentation_losses(self._fine_logits(model, batch.image_B1JI, coarse_B1JI), batch)

    def _fine_logits(self, model: Modules, image_B1JI: Tensor, coarse_B1JI: Tensor) -> Tensor:
        result: Tensor = model[FINE](image_B1JI, coarse_B1JI if self.has_prior else torch.zeros_like(image_B1JI))
        return result

    def _segmentation_losses(self, logits_B1JI: Tensor, batch: SliceBatch) -> Losses:
        p_B1JI = torch.sigmoid(logits_B1JI.float())
        ranked = rank_loss(p_B1JI, batch.mask_B1JI, self.rank.hardest, self.rank.margin)
        return {"dice": dice_loss(p_B1JI, batch.mask_B1JI), "rank": self.rank.factor * ranked}

    def _class_losses(self, model: Modules, batch: SliceBatch, memory: Memory) -> Losses:
        mask_B1JI = binarised(coarse_probability(model, batch.image_B1JI), self.binarise)
        logits_B = model[CLASSIFIER](batch.image_B1JI, mask_B1JI)[:, 0]
        known_B = ~batch.malignant_B.isnan()
        return {"class": logit_cross_entropy(logits_B[known_B], batch.malignant_B[known_B])}

    @torch.no_grad()
    def _validate(self, model: Modules, samples: Samples) -> dict[str, float]:
        """Mean Dice of the segmenters and the classifier's area under ROC; of random weights before their phase."""
        _, class_epochs, fine_epochs = self.epochs
        parts = torch.split(torch.from_numpy(middle(samples.images_NJI)[:, None]), MAXIMUM_BATCH)
        truths_NJI = middle(samples.masks_NJI) >= ROI.threshold
        coarse = [coarse_probability(model, part) for part in parts]
        figures = {"dice_coarse": mean_dice(torch.cat(coarse), truths_NJI)}
        if fine_epochs:
            fine = [torch.sigmoid(self._fine_logits(model, *both)) for both in zip(parts, coarse, strict=True)]
            figures["dice_fine"] = mean_dice(torch.cat(fine), truths_NJI)
        if class_epochs:
            masks = [binarised(part, self.binarise) for part in coarse]
            scores = torch.cat([model[CLASSIFIER](*both)[:, 0] for both in zip(parts, masks, strict=True)]).numpy()
            known = ~np.isnan(samples.malignant_N)
            figures["auc"] = area_under_roc(scores[known], samples.malignant_N[known] == 1)
        return figures


def _beside_coarse(pairs: Sequence[tuple[judging.SliceCase, judging.SliceCase]]) -> dict[str, Any]:
    """Figures of the coarse network alone, and what the system gains over it; pairs of (system, coarse)."""
    gains: dict[str, list[float]] = {}
    for one, other in pairs:
        gains.setdefault(one.slice.patient_id, []).append(one.overlap.dice - other.overlap.dice)
    return {
        "coarse": judging.segmentation_figures([other for _, other in pairs]),
        "dice_gain_over_coarse": figure(gains, mean).to_json(),
    }


@torch.no_grad()
def coarse_probability(model: Modules, image_B1JI: Tensor) -> Tensor:
    """What the coarse network says of a batch; it learns nothing from it, neither weights nor batch statistics."""
    return torch.sigmoid(model[COARSE].eval()(image_B1JI).float())


def start_fine(model: Modules, memory: Memory) -> None:
    """Give the fine network the coarse one's weights; only its Fine-layer stays random (section 3.2.3)."""
    own = model[FINE].state_dict()
    model[FINE].load_state_dict(own | model[COARSE].state_dict())


def mean_dice(probability_N1JI: Tensor, truths_NJI: BoolArray) -> float:
    """Mean over slices, at a probability of a half."""
    found_NJI = probability_N1JI[:, 0].numpy() >= ROI.threshold
    return mean([dice(found, truth) for found, truth in zip(found_NJI, truths_NJI, strict=True)])


def _kept(samples: Samples, which_N: BoolArray) -> Samples:
    return Samples(
        images_NJI=samples.images_NJI[which_N],
        masks_NJI=samples.masks_NJI[which_N],
        soft_NJI=samples.soft_NJI[which_N],
        malignant_N=samples.malignant_N[which_N],
        patients=tuple(p for p, is_kept in zip(samples.patients, which_N, strict=True) if is_kept),
    )


def mt_net_paper_recipe() -> MtNetRecipe:
    """The paper's sizes and schedule, for a GPU: 54.7 and 20.8 M parameters, 100 epochs each."""
    return MtNetRecipe(name="mt_net_paper", networks=mt_net_paper(), epochs=(100, 100, 100), learns_uncertain=False)


def mt_net_cpu() -> MtNetRecipe:
    """A quarter of the width on one CPU thread in about 20 minutes; what is served."""
    return MtNetRecipe(name="mt_net_cpu", networks=mt_net_reduced(), epochs=(24, 24, 20), batches=(16, 16), rate=2e-3)


def mt_net_smoke() -> MtNetRecipe:
    """Seconds, for tests: shows that all three phases learn."""
    return MtNetRecipe(
        name="mt_net_smoke",
        networks=mt_net_tiny(),
        epochs=(20, 10, 10),
        batches=(16, 16),
        rate=1e-2,
        most_slices=64,
        validate_every=0,
    )


def _variant(purpose: str, change: Callable[[MtNetRecipe], MtNetRecipe]) -> Callable[[], MtNetRecipe]:
    """A row of an ablation: the CPU recipe with a change."""

    def make() -> MtNetRecipe:
        return change(mt_net_cpu())

    make.__doc__ = purpose
    return make


def _segmenters_only(recipe: MtNetRecipe) -> MtNetRecipe:
    coarse, _, fine = recipe.epochs
    return replace(recipe, epochs=(coarse, 0, fine))


def _classifier_only(recipe: MtNetRecipe) -> MtNetRecipe:
    coarse, classifier, _ = recipe.epochs
    return replace(recipe, epochs=(coarse, classifier, 0))


def _ranked(name: str, rank: RankTerm) -> Callable[[], MtNetRecipe]:
    purpose = f"Figures 7 and 8: rank loss with factor {rank.factor}, K = {rank.hardest}, margin {rank.margin}."
    return _variant(purpose, lambda recipe: replace(_segmenters_only(recipe), name=name, rank=rank))


def _no_mask(recipe: MtNetRecipe) -> MtNetRecipe:
    classifier = replace(recipe.networks.classifier, has_mask=False)
    networks = replace(recipe.networks, classifier=classifier)
    return replace(_classifier_only(recipe), name="mt_net_class_without_mask", networks=networks)


_SWEEPS = {
    **{f"mt_net_rank_k{k}": RankTerm(hardest=k) for k in (10, 30, 40, 50)},
    **{f"mt_net_rank_margin_{str(m).replace('.', '_')}": RankTerm(margin=m) for m in (0.1, 0.2, 0.4)},
    **{f"mt_net_rank_factor_{str(f).replace('.', '_')}": RankTerm(factor=f) for f in (0.0, 0.01, 0.05, 0.1)},
}

RECIPES: dict[str, Callable[[], MtNetRecipe]] = {
    "mt_net_paper": mt_net_paper_recipe,
    "mt_net_cpu": mt_net_cpu,
    "mt_net_smoke": mt_net_smoke,
    "mt_net_fine_without_prior": _variant(
        "Table 5's control: a fine network that is given an empty mask, and otherwise trained the same.",
        lambda recipe: replace(_segmenters_only(recipe), name="mt_net_fine_without_prior", has_prior=False),
    ),
    "mt_net_class_without_mask": _variant("Table 4, first row: a classifier without the coarse mask.", _no_mask),
    "mt_net_class_binary_mask": _variant(
        "A classifier whose mask is 0 or 1, instead of the coarse probability.",
        lambda recipe: replace(_classifier_only(recipe), name="mt_net_class_binary_mask", binarise=0.5),
    ),
    "mt_net_as_printed": _variant(
        "Nodules of malignancy 3 dropped for all three networks, as printed, and not for the classifier only.",
        lambda recipe: replace(recipe, name="mt_net_as_printed", learns_uncertain=False),
    ),
    **{name: _ranked(name, rank) for name, rank in _SWEEPS.items()},
}
