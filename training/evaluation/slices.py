"""How well a 2-D system outlines and judges the nodules of validation patients, slice by slice.

The images go through `inference.slices`, as when the models are served. Called from `training.systems`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.contract import Contract
from inference.slices import answer
from inference.volume import BoolArray
from training.data.slices import Slice, middle, normalised
from training.evaluation import agreement
from training.evaluation.outcome import CasePicture, Outcome
from training.labels.malignancy import LabelRule
from training.metrics.consistency import are_consistent, decisions
from training.metrics.overlap import Counts, counts, pooled
from training.metrics.statistics import area_under_roc, average_precision, figure, mean
from training.metrics.surface import SurfaceDistance, surface_distance
from training.served import Served, TorchPredictor

STRATA_MM = ((0.0, 4.0), (4.0, 8.0), (8.0, 15.0), (15.0, float("inf")))
"""Diameters within which malignancy is judged again: ratings follow size, so that a ruler does well over all sizes."""

MEASURED_TRUTH = "masks made of RECIST axes by GrabCut and matting; nobody drew them"

DECIDED = 0.5
"""Probability of malignancy from which a nodule is called malignant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceCase:
    """What came of one slice.

    Parameters
    ----------
    truth, found : shape (64, 64)
    overlap, surface : of the two; no surface if one is empty
    malignancy : the model's probability; NaN if the system says nothing
    is_malignant : 1, 0, or NaN where the readers do not say
    """

    slice: Slice
    truth: BoolArray
    found: BoolArray
    overlap: Counts
    surface: SurfaceDistance | None
    malignancy: float
    is_malignant: float


Cases = Sequence[SliceCase]


def evaluate(slices: Sequence[Slice], served: Sequence[Served], *, share: float, rule: LabelRule, data: str) -> Outcome:
    """Figures and pictures of a system.

    Parameters
    ----------
    slices : of validation patients
    served : the models of the system
    share : of the readers who must have a pixel
    rule : that makes labels of ratings
    data : in words, what the slices are
    """
    cases = judge(slices, served, share=share, rule=rule)
    figures: dict[str, Any] = {
        "data": data,
        "slices": len(cases),
        "patients": len({case.slice.patient_id for case in cases}),
        "consensus": round(share, 3),
        "segmentation": segmentation_figures(cases),
    }
    if all(one.is_measured for one in slices):
        figures["truth"] = MEASURED_TRUTH
    if agreed := agreement_figures(slices):
        figures["reader_agreement"] = agreed
    if any(not np.isnan(case.malignancy) and not np.isnan(case.is_malignant) for case in cases):
        figures["malignancy"] = {"label_rule": rule.value, **malignancy_figures(cases)}
    figures["cases"] = case_list(cases, share)
    return Outcome(figures=figures, cases=tuple(_picture(case) for case in cases))


def judge(slices: Sequence[Slice], served: Sequence[Served], *, share: float, rule: LabelRule) -> list[SliceCase]:
    """One case per slice."""
    predictor = TorchPredictor(served)
    contracts = [one.contract for one in served]
    images = np.stack([middle(s.image_hu) for s in slices]).astype(np.float32)
    chain = chain_of("segmentation", contracts)
    roi = chain[-1].roi
    assert roi is not None, "slice models have a region of interest"
    masks = answer(chain, images, predictor, ["probability"])["probability"][:, 0] >= roi.threshold
    if judges := chain_of("malignancy", contracts):
        malignancy = answer(judges, images, predictor, ["malignancy"])["malignancy"][:, 0]
    else:
        malignancy = np.full(len(slices), np.nan, np.float32)
    return [
        _case(s, middle(s.mask(share)), mask, float(score), s.is_malignant(rule))
        for s, mask, score in zip(slices, masks, malignancy, strict=True)
    ]


def chain_of(role: str, contracts: Sequence[Contract]) -> list[Contract]:
    """The model with a role after those that feed it, which come earlier among the contracts; empty without one."""
    last = next((contract for contract in contracts if role in contract.roles), None)
    feeders = {feed.model for feed in last.feeds} if last else set()
    return [c for c in contracts if c.model in feeders] + ([last] if last else [])


def segmentation_figures(cases: Cases) -> dict[str, Any]:
    """Means over slices with intervals over patients; Dice also with its spread and over all pixels together."""
    by_patient = _by_patient(cases)
    values: dict[str, Callable[[Cases], float]] = {
        "dice": lambda some: mean([case.overlap.dice for case in some]),
        "iou": lambda some: mean([case.overlap.iou for case in some]),
        "sensitivity": lambda some: mean([case.overlap.sensitivity for case in some]),
        "ppv": lambda some: mean([case.overlap.ppv for case in some]),
        "hausdorff_mm": lambda some: mean([case.surface.hausdorff_mm for case in some if case.surface]),
        "average_surface_distance_mm": lambda some: mean([case.surface.average_mm for case in some if case.surface]),
    }
    return {
        **{name: figure(by_patient, statistic).to_json() for name, statistic in values.items()},
        "dice_standard_deviation": round(float(np.std([case.overlap.dice for case in cases])), 4),
        "dice_of_all_pixels": round(pooled(case.overlap for case in cases).dice, 4),
        "nothing_found": sum(not case.found.any() for case in cases),
    }


def malignancy_figures(cases: Cases) -> dict[str, Any]:
    """ROC and precision-recall areas beside those of the diameter alone, also within strata of diameter."""
    rated = [case for case in cases if not np.isnan(case.is_malignant)]
    by_patient = _by_patient(rated)
    at = decisions([case.malignancy for case in rated], [case.is_malignant == 1 for case in rated], DECIDED)
    return {
        "nodules": len(rated),
        "malignant": sum(case.is_malignant == 1 for case in rated),
        "auc": figure(by_patient, _auc).to_json(),
        "auc_by_diameter_alone": figure(by_patient, _auc_of_diameter).to_json(),
        "auc_gain_over_diameter": figure(by_patient, lambda some: _auc(some) - _auc_of_diameter(some)).to_json(),
        "average_precision": figure(by_patient, _average_precision).to_json(),
        "accuracy": round(at.accuracy, 4),
        "sensitivity": round(at.sensitivity, 4),
        "specificity": round(at.specificity, 4),
        "prevalence": round(at.prevalence, 4),
        "are_consistent": are_consistent(at),
        "within_diameters_mm": {f"{low:g}-{high:g}": _stratum(rated, low, high) for low, high in STRATA_MM},
    }


def case_list(cases: Cases, share: float) -> dict[str, Any]:
    """What came of each case, so that two runs can be compared case by case without their weights.

    Parameters
    ----------
    share : of the readers who must have a pixel, as the cases were judged

    Returns
    -------
    columns in the order of case ids; patients are numbered, ids are nowhere. Two lists with the same `sha256` are of
    the same cases, with the same outlines as truth
    """
    ordered = sorted(cases, key=lambda case: case.slice.case_id)
    patients = sorted({case.slice.patient_id for case in ordered})
    identity = "\n".join([f"{share:.3f}", *(case.slice.case_id for case in ordered)])
    listed: dict[str, Any] = {
        "sha256": hashlib.sha256(identity.encode()).hexdigest(),
        "patient": [patients.index(case.slice.patient_id) for case in ordered],
        "dice": [_rounded(case.overlap.dice) for case in ordered],
    }
    if any(not np.isnan(case.malignancy) for case in ordered):
        listed["malignancy"] = [_rounded(case.malignancy) for case in ordered]
        listed["is_malignant"] = [_rounded(case.is_malignant) for case in ordered]
        listed["diameter_mm"] = [_rounded(case.slice.diameter_mm) for case in ordered]
    return listed


def agreement_figures(slices: Iterable[Slice]) -> dict[str, Any]:
    """How well readers agree on the same slices; empty where no slice has three of them."""
    agreed: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in slices:
        drawn = one.readers_RJI
        if len(drawn) >= agreement.FEWEST:
            agreed[one.patient_id].append((agreement.against_the_others(drawn), agreement.pairwise(drawn)))
    if not agreed:
        return {}
    return {
        "slices": sum(map(len, agreed.values())),
        "one_against_the_majority_of_the_others": figure(agreed, lambda some: mean([x for x, _ in some])).to_json(),
        "pairwise": figure(agreed, lambda some: mean([x for _, x in some])).to_json(),
    }


def _case(one: Slice, truth: BoolArray, found: BoolArray, malignancy: float, is_malignant: float) -> SliceCase:
    return SliceCase(
        slice=one,
        truth=truth,
        found=found,
        overlap=counts(found, truth),
        surface=surface_distance(found, truth, (one.pixel_spacing_mm, one.pixel_spacing_mm)),
        malignancy=malignancy,
        is_malignant=is_malignant,
    )


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _by_patient(cases: Cases) -> dict[str, list[SliceCase]]:
    groups: dict[str, list[SliceCase]] = defaultdict(list)
    for case in cases:
        groups[case.slice.patient_id].append(case)
    return groups


def _stratum(cases: Cases, low: float, high: float) -> dict[str, Any]:
    some = [case for case in cases if low <= case.slice.diameter_mm < high]
    by_patient = _by_patient(some)
    malignant = sum(case.is_malignant == 1 for case in some)
    if not 0 < malignant < len(some):
        return {"nodules": len(some), "malignant": malignant}
    return {
        "nodules": len(some),
        "malignant": malignant,
        "auc": figure(by_patient, _auc).to_json(),
        "auc_by_diameter_alone": figure(by_patient, _auc_of_diameter).to_json(),
    }


def _auc(cases: Cases) -> float:
    return area_under_roc([case.malignancy for case in cases], _truth(cases))


def _auc_of_diameter(cases: Cases) -> float:
    return area_under_roc([case.slice.diameter_mm for case in cases], _truth(cases))


def _average_precision(cases: Cases) -> float:
    return average_precision([case.malignancy for case in cases], _truth(cases))


def _truth(cases: Cases) -> NDArray[np.bool_]:
    return np.array([case.is_malignant == 1 for case in cases], bool)


def _picture(case: SliceCase) -> CasePicture:
    return CasePicture(
        title=f"{case.slice.diameter_mm:.0f} mm, Dice {case.overlap.dice:.2f}",
        image_ji=normalised(middle(case.slice.image_hu)),
        truth_ji=case.truth,
        found_ji=case.found,
        dice=case.overlap.dice,
    )
