"""From a probability per voxel to candidates: components, where they are, how sure the detector is, which ones stay.

Paper 4 (section II): threshold, components, centre of mass, non-maximum suppression, at least 3 mm. Here the smallest
ones go before the suppression, so that a speck never suppresses a nodule. Called from `inference.pipeline`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from inference.contract import Detection
from inference.findings import Candidate, CroppedMask, Proposal
from inference.geometry import Grid, Point
from inference.predictor import FloatTensor
from inference.volume import BoolArray

PLEURA_MM = 5.0
"""A centre may lie this far outside the lungs, or as far as its radius: then the nodule still touches the lung."""

NEIGHBOURS = np.ones((3, 3, 3), bool)


def propose(probability_kji: FloatTensor, lungs_kji: BoolArray, grid: Grid, detection: Detection) -> list[Proposal]:
    """Components of the thresholded probability that are large enough, certain enough and at the lungs.

    The score is the highest probability inside. What is below the operating score already goes, as a head can only
    lower it.

    Parameters
    ----------
    probability_kji, lungs_kji : shape of the grid
    """
    labels, _ = ndimage.label(probability_kji >= detection.threshold, NEIGHBOURS)
    proposals = []
    for number, (k, j, i) in enumerate(ndimage.find_objects(labels), start=1):
        voxels = labels[k, j, i] == number
        score = float(probability_kji[k, j, i][voxels].max())
        proposal = _proposal(CroppedMask(start_kji=(k.start, j.start, i.start), voxels=voxels), grid, score)
        is_large = proposal.candidate.diameter_mm >= detection.minimum_diameter_mm
        if is_large and score >= detection.operating_score and _touches(lungs_kji, proposal, grid):
            proposals.append(proposal)
    return proposals


def judged(proposal: Proposal, nodule: float, malignancy: float) -> Proposal:
    """The proposal after the head: its score multiplied by the probability that it is a nodule, 0..1 (paper 4)."""
    candidate = dataclasses.replace(proposal.candidate, score=proposal.candidate.score * nodule)
    return dataclasses.replace(proposal, candidate=candidate, malignancy=malignancy)


def select(proposals: Iterable[Proposal], detection: Detection) -> list[Proposal]:
    """Those above the operating score without weaker neighbours closer than `nms_mm`, the most certain one first.

    Of equal scores the larger one comes first, then the one that is first in index order.
    """
    chosen: list[Proposal] = []
    for proposal in sorted(proposals, key=_rank):
        centre = proposal.candidate.centre_lps
        apart = all(math.dist(centre, other.candidate.centre_lps) >= detection.nms_mm for other in chosen)
        if apart and proposal.candidate.score >= detection.operating_score:
            chosen.append(proposal)
    return chosen


def _rank(proposal: Proposal) -> tuple[float, float, Point]:
    return -proposal.candidate.score, -proposal.candidate.diameter_mm, proposal.centre_kji


def _proposal(component: CroppedMask, grid: Grid, score: float) -> Proposal:
    voxels = np.argwhere(component.voxels)
    k, j, i = (float(value) for value in voxels.mean(axis=0) + component.start_kji)
    x, y, z = (float(value) for value in grid.lps_from_kji((k, j, i)))
    diameter_mm = (6.0 / math.pi * len(voxels) * grid.voxel_mm3) ** (1.0 / 3.0)
    candidate = Candidate(centre_lps=(x, y, z), diameter_mm=diameter_mm, score=score)
    return Proposal(candidate=candidate, component=component, centre_kji=(k, j, i))


def _touches(lungs_kji: BoolArray, proposal: Proposal, grid: Grid) -> bool:
    """Whether a voxel of lung lies within reach of the centre."""
    reach_mm = max(PLEURA_MM, proposal.candidate.diameter_mm / 2.0)
    centre, spacing = np.asarray(proposal.centre_kji), np.asarray(grid.spacing_mm)
    start = np.clip(np.floor(centre - reach_mm / spacing).astype(int), 0, None)
    stop = np.ceil(centre + reach_mm / spacing).astype(int) + 1
    near = np.argwhere(lungs_kji[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]) + start
    return bool((((near - centre) * spacing) ** 2).sum(axis=1).min(initial=np.inf) <= reach_mm**2)
