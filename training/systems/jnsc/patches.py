"""How well the network finds, outlines and classifies the real nodules of validation patients, patch by patch.

A patch is 50 mm; it is continued by reflection to the window of 64 mm, and findings are counted inside the patch only.
LUNA16's patches do not mark nodules of one or two readers; where such a one is found it counts as false here.
Called from `training.systems.jnsc.judging`.
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
from inference.predictor import FloatTensor, Predictor
from inference.search import probability
from inference.volume import BoolArray
from training.data.luna16 import EDGE, Nodule
from training.metrics.overlap import counts
from training.metrics.surface import SurfaceDistance, surface_distance
from training.systems.jnsc.contracts import ROI
from training.systems.jnsc.inputs import MARGIN, continued, normalised

AT_1MM = Grid(
    shape_kji=(ROI,) * 3,
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
    truth, found : shape (64, 64, 64), the mask and that finding; the latter is empty if there is none
    dice, iou : of the two
    surface : distances of the two; None if there is no finding
    malignancy : of that finding; 0 if there is none (undetected counts benign, paper 4)
    false_scores : scores of all findings in the patch that touch no known nodule
    background_cm3 : volume of the patch without known nodules
    """

    nodule: Nodule
    score: float
    truth: BoolArray
    found: BoolArray
    dice: float
    iou: float
    surface: SurfaceDistance | None
    malignancy: float
    false_scores: tuple[float, ...]
    background_cm3: float


def evaluate(nodules: Iterable[Nodule], detector: Contract, head: Contract, predictor: Predictor) -> list[PatchCase]:
    """One case per nodule; findings of every score are kept."""
    return [_case(nodule, detector, head, predictor) for nodule in nodules]


def _case(nodule: Nodule, detector: Contract, head: Contract, predictor: Predictor) -> PatchCase:
    assert detector.detection is not None
    open_end = dataclasses.replace(detector.detection, operating_score=0.0)
    values = normalised(continued(nodule).volume_hu).numpy()
    found = _findings(values, open_end, (detector, head), predictor)
    truth = np.pad(nodule.mask, MARGIN)
    known = np.pad(nodule.mask | nodule.others, MARGIN)
    centre = np.argwhere(truth).mean(0)
    best = next((p for p in found if math.dist(p.centre_kji, centre) <= nodule.diameter_mm / 2), None)
    mask = _mask(best) if best else np.zeros_like(truth)
    overlap = counts(mask, truth)
    false = [p.candidate.score for p in found if _inside(p) and not (_mask(p) & known).any()]
    return PatchCase(
        nodule=nodule,
        score=best.candidate.score if best else 0.0,
        truth=truth,
        found=mask,
        dice=overlap.dice,
        iou=overlap.iou,
        surface=surface_distance(mask, truth, AT_1MM.spacing_mm),
        malignancy=(best.malignancy or 0.0) if best else 0.0,
        false_scores=tuple(false),
        background_cm3=float((~(nodule.mask | nodule.others)).sum()) / 1000.0,
    )


def _findings(
    values: np.ndarray, detection: Detection, models: tuple[Contract, Contract], predictor: Predictor
) -> list[Proposal]:
    """Findings by the functions that serve, the most certain one first."""
    detector, head = models

    def ask(windows: FloatTensor) -> FloatTensor:
        answer = predictor.infer(detector.model, detector.version, {"window": windows}, ["probability"])
        return answer["probability"][:, 0]

    found = probability(values, ((0, 0, 0),), detection, ask, lambda share: None)
    proposals = propose(found, np.ones(values.shape, bool), AT_1MM, detection)
    verdicts = classify(proposals, values, ((0, 0, 0),), detector, head, predictor) if proposals else []
    return select([judged(p, v.nodule, v.malignancy) for p, v in zip(proposals, verdicts, strict=True)], detection)


def _inside(proposal: Proposal) -> bool:
    return all(MARGIN <= index < MARGIN + EDGE for index in proposal.centre_kji)


def _mask(proposal: Proposal) -> BoolArray:
    mask = np.zeros((ROI,) * 3, bool)
    part = proposal.component
    axes = zip(part.start_kji, part.voxels.shape, strict=True)
    mask[tuple(slice(start, start + length) for start, length in axes)] = part.voxels
    return mask
