"""The figures that go into a contract: each with its patient-level interval, its baseline and what it was measured on.

Called from `training.systems.jnsc.judging`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from training.evaluation.slices import STRATA_MM
from training.labels.malignancy import Label, LabelRule
from training.metrics.froc import ScanCase, cpm, false_per_scan, sensitivity, sensitivity_allowing, sensitivity_at
from training.metrics.statistics import Figure, area_under_roc, figure, mean
from training.metrics.surface import SurfaceDistance
from training.systems.jnsc.patches import PatchCase
from training.systems.jnsc.phantoms import PhantomCase

DATA = "LUNA16 nodules, patches of 50 mm, validation patients; findings in nodules of 1-2 readers count false"
FALSE_PER_SCAN = 1.0
"""False findings per scan on phantoms that the operating point is set to; on real CTs there are more."""


def operating_score(cases: Sequence[PhantomCase], rate: float = FALSE_PER_SCAN) -> float:
    """The lowest score, in steps of 0.01, with at most `rate` false findings per scan."""
    scans = [case.scan for case in cases]
    allowed = (number / 100 for number in range(5, 100) if false_per_scan(scans, number / 100) <= rate)
    return next(allowed, 0.99)


def patch_report(cases: Sequence[PatchCase], score: float) -> dict[str, Any]:
    """Figures over real validation patients at a score."""
    by_patient = _by_patient(cases)
    figures: dict[str, Figure] = {
        "sensitivity": figure(by_patient, lambda some: mean([case.score >= score for case in some])),
        "sensitivity_6mm": figure(by_patient, lambda some: _sensitivity_from(some, score, 6.0)),
        "sensitivity_at_1_per_1000_cm3": figure(by_patient, _sensitivity_at_1_per_1000_cm3),
        "false_per_cm3": figure(by_patient, lambda some: _false_per_cm3(some, score)),
        "dice_of_found": figure(by_patient, lambda some: mean([c.dice for c in some if c.score >= score])),
        "iou_of_found": figure(by_patient, lambda some: mean([c.iou for c in some if c.score >= score])),
        "hausdorff_mm_of_found": figure(by_patient, lambda some: _surface(some, score, lambda s: s.hausdorff_mm)),
        "average_surface_distance_mm_of_found": figure(
            by_patient, lambda some: _surface(some, score, lambda s: s.average_mm)
        ),
        "malignancy_auc": figure(by_patient, _auc_of_model),
        "malignancy_auc_by_diameter_alone": figure(by_patient, _auc_of_diameter),
    }
    return {
        "data": DATA,
        "operating_score": score,
        "nodules": len(cases),
        **{name: value.to_json() for name, value in figures.items()},
    }


def malignancy_report(cases: Sequence[PatchCase]) -> dict[str, Any]:
    """Malignancy beside the diameter alone, also within strata of diameter; uncertain nodules are left out."""
    rated = [case for case in cases if case.nodule.label is not Label.UNCERTAIN]
    strata = {f"{low:g}-{high:g}": [c for c in rated if low <= c.nodule.diameter_mm < high] for low, high in STRATA_MM}
    return {
        "label_rule": LabelRule.MEDIAN.value,
        **_beside_diameter(rated),
        "within_diameters_mm": {name: _beside_diameter(some) for name, some in strata.items()},
    }


def _beside_diameter(cases: Sequence[PatchCase]) -> dict[str, Any]:
    by_patient = _by_patient(cases)
    counts = {"nodules": len(cases), "malignant": sum(case.nodule.label is Label.MALIGNANT for case in cases)}
    if not 0 < counts["malignant"] < len(cases):
        return counts
    figures = {
        "auc": figure(by_patient, _auc_of_model),
        "auc_by_diameter_alone": figure(by_patient, _auc_of_diameter),
        "auc_gain_over_diameter": figure(by_patient, lambda some: _auc_of_model(some) - _auc_of_diameter(some)),
    }
    return {**counts, **{name: value.to_json() for name, value in figures.items()}}


def case_list(cases: Sequence[PatchCase]) -> dict[str, Any]:
    """What came of each nodule, so that two runs can be compared nodule by nodule; see `evaluation.slices.case_list`.

    A nodule that is not found has a Dice of 0 and counts benign.
    """
    ordered = sorted(cases, key=lambda case: case.nodule.nodule_id)
    patients = sorted({case.nodule.patient_id for case in ordered})
    said: dict[Label, float | None] = {Label.BENIGN: 0.0, Label.MALIGNANT: 1.0, Label.UNCERTAIN: None}
    return {
        "sha256": hashlib.sha256("\n".join(case.nodule.nodule_id for case in ordered).encode()).hexdigest(),
        "patient": [patients.index(case.nodule.patient_id) for case in ordered],
        "dice": [round(case.dice, 4) for case in ordered],
        "malignancy": [round(case.malignancy, 4) for case in ordered],
        "is_malignant": [said[case.nodule.label] for case in ordered],
        "diameter_mm": [round(case.nodule.diameter_mm, 4) for case in ordered],
    }


def phantom_report(everything: Sequence[PhantomCase], served: Sequence[PhantomCase], score: float) -> dict[str, Any]:
    """Figures over unseen phantoms at a score.

    Parameters
    ----------
    everything : what is found with all asked, for figures over all scores
    served : what is found at the score, as it is served
    """
    at_score, at_all = ({case.scan.name: [case] for case in cases} for cases in (served, everything))
    scans = _scans(everything)
    figures = {
        "sensitivity_solid_6mm": figure(at_score, lambda some: sensitivity(_scans(some), score)),
        "false_per_scan": figure(at_score, lambda some: false_per_scan(_scans(some), score)),
        "dice_of_found": figure(at_score, lambda some: mean([value for case in some for value in case.dices])),
        "cpm": figure(at_all, lambda some: cpm(_scans(some))),
    }
    return {
        "data": "synthetic phantom: seeds and nodule shapes that were not trained on",
        "operating_score": score,
        "nodules": sum(len(scan.hit_scores) for scan in scans),
        **{name: value.to_json() for name, value in figures.items()},
        "sensitivity_at_false_per_scan": {str(rate): round(sensitivity_at(scans, rate), 4) for rate in (1.0, 4.0, 8.0)},
    }


def _by_patient(cases: Sequence[PatchCase]) -> dict[str, list[PatchCase]]:
    groups: dict[str, list[PatchCase]] = {}
    for case in cases:
        groups.setdefault(case.nodule.patient_id, []).append(case)
    return groups


def _scans(cases: Sequence[PhantomCase]) -> list[ScanCase]:
    return [case.scan for case in cases]


def _sensitivity_from(cases: Sequence[PatchCase], score: float, diameter_mm: float) -> float:
    return mean([case.score >= score for case in cases if case.nodule.diameter_mm >= diameter_mm])


def _sensitivity_at_1_per_1000_cm3(cases: Sequence[PatchCase]) -> float:
    """At the score with one false finding per 1,000 cm3 of patch without known nodules."""
    allowed = sum(case.background_cm3 for case in cases) / 1000.0
    return sensitivity_allowing([c.score for c in cases], [s for c in cases for s in c.false_scores], allowed)


def _surface(cases: Sequence[PatchCase], score: float, distance_mm: Callable[[SurfaceDistance], float]) -> float:
    return mean([distance_mm(case.surface) for case in cases if case.surface and case.score >= score])


def _false_per_cm3(cases: Sequence[PatchCase], score: float) -> float:
    return sum(value >= score for case in cases for value in case.false_scores) / sum(c.background_cm3 for c in cases)


def _auc_of_model(cases: Sequence[PatchCase]) -> float:
    return _auc(cases, [case.malignancy for case in cases])


def _auc_of_diameter(cases: Sequence[PatchCase]) -> float:
    return _auc(cases, [case.nodule.diameter_mm for case in cases])


def _auc(cases: Sequence[PatchCase], values: Sequence[float]) -> float:
    """Malignant against benign nodules by the median rule; uncertain ones are left out."""
    rated = [(value, case.nodule.label) for case, value in zip(cases, values, strict=True)]
    certain = [(value, label is Label.MALIGNANT) for value, label in rated if label is not Label.UNCERTAIN]
    return area_under_roc([value for value, _ in certain], [positive for _, positive in certain])
