"""All figures of a trained JNSC, and its cases to look at. Called from `training.systems.jnsc.recipe`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.data.luna16 import Nodule
from training.evaluation.outcome import CasePicture, Outcome
from training.served import Served, TorchPredictor
from training.systems.jnsc import patches, phantoms, report
from training.systems.jnsc.contracts import INTENSITY
from training.systems.jnsc.inputs import continued
from training.systems.jnsc.patches import PatchCase

TUNING_SEEDS = tuple(range(9001, 9009))
"""Phantoms that the operating score is set on: unseen seeds, shapes of the training side."""

UNSEEN_SEEDS = (10_001, 10_002, 10_003, 10_004)


def evaluate(nodules: Sequence[Nodule], served: Sequence[Served], tell: Callable[[str], None]) -> Outcome:
    """Figures of real nodules and of unseen phantoms, both at the score that the tuning phantoms set."""
    detector, head = (one.contract for one in served)
    predictor = TorchPredictor(served)
    tuning, unseen = (
        phantoms.evaluate(seeds, detector, head, predictor, tell) for seeds in (TUNING_SEEDS, UNSEEN_SEEDS)
    )
    score = report.operating_score(tuning)
    tell(f"{len(nodules)} patches of validation patients")
    real = patches.evaluate(nodules, detector, head, predictor)
    figures = {
        "data": report.DATA,
        "real": report.patch_report(real, score),
        "malignancy": report.malignancy_report(real),
        "synthetic": report.phantom_report(unseen, score),
        "cases": report.case_list(real),
    }
    return Outcome(figures=figures, cases=tuple(_picture(case) for case in real))


def _picture(case: PatchCase) -> CasePicture:
    """The slice with most of the nodule."""
    k = int(case.truth.sum((1, 2)).argmax())
    low, high = INTENSITY.window_hu
    image = (continued(case.nodule).volume_hu[k] - low) / (high - low)
    return CasePicture(
        title=f"{case.nodule.diameter_mm:.0f} mm, Dice {case.dice:.2f} (3-D)",
        image_ji=np.clip(image, 0, 1).astype(np.float32),
        truth_ji=case.truth[k],
        found_ji=case.found[k],
        dice=case.dice,
    )
