"""Variants of a system on the same slices: figures of each, and by how much it is better than one of them.

Called from `training.systems`. The images go through the code that serves, see `training.evaluation.slices`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from training.data.slices import Slice
from training.evaluation.slices import Cases, SliceCase, case_list, judge, segmentation_figures
from training.labels.malignancy import LabelRule
from training.metrics.statistics import figure, mean
from training.served import Served


def compared(
    slices: Sequence[Slice], variants: Mapping[str, Served], against: str, *, share: float, rule: LabelRule
) -> dict[str, Any]:
    """Figures of each variant by name.

    Parameters
    ----------
    slices : some may show no nodule
    against : name of the variant that the others are set against, slice by slice
    share, rule : see `training.evaluation.slices.evaluate`

    Returns
    -------
    for each variant also the Dice of each slice that shows a nodule, see `training.evaluation.slices.case_list`
    """
    cases = {name: judge(slices, (one,), share=share, rule=rule) for name, one in variants.items()}
    figures = {name: {**_figures(some, share), **_gains(some, cases[against])} for name, some in cases.items()}
    return {"against": against, "variants": figures}


def _figures(cases: Cases, share: float) -> dict[str, Any]:
    """Those of slices with a nodule, and how often, and on how many pixels, something is found where there is none."""
    shown = [case for case in cases if case.truth.any()]
    empty = [case for case in cases if not case.truth.any()]
    figures: dict[str, Any] = {"slices": len(cases), "with_nodule": segmentation_figures(shown)}
    if empty:
        figures["without_nodule"] = {
            "slices": len(empty),
            "nothing_found": round(mean([float(not case.found.any()) for case in empty]), 4),
            "pixels_found": round(mean([float(case.found.sum()) for case in empty]), 2),
        }
    listed = case_list(shown, share)
    figures["cases"] = {column: listed[column] for column in ("sha256", "patient", "dice")}
    return figures


def _gains(cases: Cases, others: Cases) -> dict[str, Any]:
    """Mean differences of Dice, an empty slice counting 1 if nothing is found there and 0 otherwise."""
    pairs = list(zip(cases, others, strict=True))
    shown = [(case, other) for case, other in pairs if case.truth.any()]
    return {"dice_gain_with_nodule": _gain(shown), "dice_gain_of_all": _gain(pairs)}


def _gain(pairs: Sequence[tuple[SliceCase, SliceCase]]) -> dict[str, Any]:
    gains: dict[str, list[float]] = defaultdict(list)
    for case, other in pairs:
        gains[case.slice.patient_id].append(case.overlap.dice - other.overlap.dice)
    return figure(gains, mean).to_json()
