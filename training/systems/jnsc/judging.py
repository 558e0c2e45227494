"""All figures of a JNSC, and its cases to look at. Called from `training.systems.jnsc.recipe`, and from `training.cli`
for a version that is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inference.contract import Contract
from inference.predictor import Predictor
from training.data.luna16 import Nodule
from training.evaluation.outcome import CasePicture, Outcome
from training.systems.jnsc import patches, phantoms, report
from training.systems.jnsc.contracts import INTENSITY
from training.systems.jnsc.inputs import continued
from training.systems.jnsc.patches import PatchCase
from training.systems.jnsc.phantoms import PhantomCase

TUNING_SEEDS = tuple(range(9001, 9009))
"""Phantoms that the operating score is set on: unseen seeds, shapes of the training side."""

UNSEEN_SEEDS = (10_001, 10_002, 10_003, 10_004)


def evaluate(
    nodules: Sequence[Nodule], detector: Contract, head: Contract, predictor: Predictor, tell: Callable[[str], None]
) -> Outcome:
    """Figures of real nodules and of unseen phantoms, both at the score that the tuning phantoms set.

    Below its operating score a detector is asked less than all (`inference.one_pass`), which moves what it finds a
    little. So the score is sought twice: with all asked, and then as it is served from there on.
    """

    def found(seeds: Sequence[int], score: float) -> list[PhantomCase]:
        return phantoms.evaluate(seeds, detector, head, predictor, tell, score=score)

    first = report.operating_score(found(TUNING_SEEDS, 0.0))
    score = max(first, report.operating_score(found(TUNING_SEEDS, first)))
    tell(f"operating score {score}; {first} with all asked")
    synthetic = report.phantom_report(found(UNSEEN_SEEDS, 0.0), found(UNSEEN_SEEDS, score), score)
    tell(f"{len(nodules)} patches of validation patients")
    real = patches.evaluate(nodules, detector, head, predictor)
    figures = {
        "data": report.DATA,
        "real": report.patch_report(real, score),
        "malignancy": report.malignancy_report(real),
        "synthetic": synthetic,
        "cases": report.case_list(real),
    }
    return Outcome(figures=figures, cases=tuple(_picture(case) for case in real))


def calibrated(detector: Contract, figures: Mapping[str, Any]) -> Contract:
    """The contract with the operating score that `evaluate` found."""
    assert detector.detection is not None
    detection = replace(detector.detection, operating_score=figures["real"]["operating_score"])
    return replace(detector, detection=detection)


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
