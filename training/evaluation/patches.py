"""How well the network finds, outlines and classifies the real nodules of validation patients, patch by patch.

A patch is 50 mm; it is continued by reflection to the window of 64 mm, and findings are counted inside the patch only.
LUNA16's patches do not mark nodules of one or two readers; where such a one is found it counts as false here.
Called from `training.evaluation.report`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from inference.candidates import judged, propose, select
from inference.classify import classify
from inference.contract import Contract, Detection
from inference.findings import Proposal
from inference.geometry import Grid
from inference.predictor import Predictor
from inference.volume import BoolArray
from training.data.bank import target_of
from training.data.luna16 import EDGE, Nodule
from training.data.windows import cut
from training.inputs import normalised
from training.metrics.overlap import dice

MARGIN = 7
SIZE = EDGE + 2 * MARGIN
AT_1MM = Grid(
    shape_kji=(SIZE,) * 3,
    spacing_mm=(1.0, 1.0, 1.0),
    origin_lps=(0.0, 0.0, 0.0),
    directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCase:
    """What came of one nodule.

    Parameters
    ----------
    nodule : the reference
    score : of the best finding that hits it, 0 if none does
    dice : of that finding with the mask, 0 if there is none
    malignancy : of that finding; 0 if there is none (undetected counts benign, paper 4)
    false_scores : scores of all findings in the patch that touch no known nodule
    background_cm3 : volume of the patch without known nodules
    """

    nodule: Nodule
    score: float
    dice: float
    malignancy: float
    false_scores: tuple[float, ...]
    background_cm3: float


def evaluate(nodules: Iterable[Nodule], detector: Contract, head: Contract, predictor: Predictor) -> list[PatchCase]:
    """One case per nodule; findings of every score are kept."""
    return [_case(nodule, detector, head, predictor) for nodule in nodules]


def _case(nodule: Nodule, detector: Contract, head: Contract, predictor: Predictor) -> PatchCase:
    assert detector.detection is not None
    open_end = dataclasses.replace(detector.detection, operating_score=0.0)
    window = cut(nodule.patch_hu, target_of(nodule), (-MARGIN,) * 3, SIZE)
    values = normalised(window.volume_hu).numpy()
    found = _findings(values, open_end, (detector, head), predictor)
    truth = np.pad(nodule.mask, MARGIN)
    known = np.pad(nodule.mask | nodule.others, MARGIN)
    centre = np.argwhere(truth).mean(0)
    best = next((p for p in found if math.dist(p.centre_kji, centre) <= nodule.diameter_mm / 2), None)
    false = [p.candidate.score for p in found if _inside(p) and not (_mask(p) & known).any()]
    return PatchCase(
        nodule=nodule,
        score=best.candidate.score if best else 0.0,
        dice=dice(_mask(best), truth) if best else 0.0,
        malignancy=(best.malignancy or 0.0) if best else 0.0,
        false_scores=tuple(false),
        background_cm3=float((~(nodule.mask | nodule.others)).sum()) / 1000.0,
    )


def _findings(
    values: np.ndarray, detection: Detection, models: tuple[Contract, Contract], predictor: Predictor
) -> list[Proposal]:
    """Findings by the functions that serve, the most certain one first."""
    detector, head = models
    answer = predictor.infer(detector.model, detector.version, {"window": values[None, None]}, ["probability"])
    proposals = propose(answer["probability"][0, 0], np.ones(values.shape, bool), AT_1MM, detection)
    verdicts = classify(proposals, values, ((0, 0, 0),), detector, head, predictor) if proposals else []
    return select([judged(p, v.nodule, v.malignancy) for p, v in zip(proposals, verdicts, strict=True)], detection)


def _inside(proposal: Proposal) -> bool:
    return all(MARGIN <= index < MARGIN + EDGE for index in proposal.centre_kji)


def _mask(proposal: Proposal) -> BoolArray:
    mask = np.zeros((SIZE,) * 3, bool)
    part = proposal.component
    axes = zip(part.start_kji, part.voxels.shape, strict=True)
    mask[tuple(slice(start, start + length) for start, length in axes)] = part.voxels
    return mask
