"""How well the shipped pipeline finds the nodules of phantoms that it was not trained on. Synthetic, and labelled so.

Called from `training.systems.jnsc.judging`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import numpy as np

from inference.contract import Contract
from inference.findings import Attenuation, Finding
from inference.pipeline import Pipeline, run
from inference.predictor import Predictor
from training.data import phantom
from training.data.phantom import Phantom, TrueNodule
from training.metrics.froc import ScanCase
from training.metrics.overlap import dice

RELEVANT_MM = 6.0
"""Solid nodules below 6 mm need no routine follow-up (Fleischner Society, MacMahon et al., Radiology 2017;284:228)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PhantomCase:
    """What came of one phantom: its case for FROC, and the Dice of each relevant nodule that was found."""

    scan: ScanCase
    dices: tuple[float, ...]


def evaluate(
    seeds: Iterable[int],
    detector: Contract,
    head: Contract,
    predictor: Predictor,
    tell: Callable[[str], None],
    *,
    score: float = 0.0,
) -> list[PhantomCase]:
    """One case per seed; findings from this score on are kept."""
    assert detector.detection is not None
    detection = dataclasses.replace(detector.detection, operating_score=score)
    pipeline = Pipeline(name="jnsc", detector=dataclasses.replace(detector, detection=detection), head=head)
    cases = []
    for seed in seeds:
        tell(f"phantom {seed}")
        made = phantom.make(seed)
        cases.append(_case(made, run(made.volume, pipeline, predictor).findings))
    return cases


def is_relevant(nodule: TrueNodule) -> bool:
    """Solid and at least 6 mm; others count neither as missed nor, if found, as false."""
    return nodule.attenuation is Attenuation.SOLID and nodule.diameter_mm >= RELEVANT_MM


def _case(made: Phantom, findings: tuple[Finding, ...]) -> PhantomCase:
    hits = {n.number: [f for f in findings if _is_hit(f, n)] for n in made.nodules}
    relevant = [nodule for nodule in made.nodules if is_relevant(nodule)]
    best = {n.number: max(hits[n.number], key=lambda f: f.score, default=None) for n in relevant}
    hitting = {finding.number for found in hits.values() for finding in found}
    return PhantomCase(
        scan=ScanCase(
            name=f"phantom-{made.seed}",
            hit_scores=tuple(found.score if found else 0.0 for found in best.values()),
            false_scores=tuple(finding.score for finding in findings if finding.number not in hitting),
        ),
        dices=tuple(_dice(made, n, found) for n in relevant if (found := best[n.number]) is not None),
    )


def _is_hit(finding: Finding, nodule: TrueNodule) -> bool:
    return math.dist(finding.centre_lps, nodule.centre_lps) <= nodule.diameter_mm / 2


def _dice(made: Phantom, nodule: TrueNodule, finding: Finding) -> float:
    masks = []
    for part in (nodule.mask, finding.mask):
        mask = np.zeros(made.grid.shape_kji, bool)
        axes = zip(part.start_kji, part.voxels.shape, strict=True)
        mask[tuple(slice(start, start + length) for start, length in axes)] = part.voxels
        masks.append(mask)
    return dice(masks[0], masks[1])
