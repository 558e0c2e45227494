"""The real CT of the demo, which no training has seen: its nodule is found, and outlined as its readers did."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from inference import eligibility
from inference.findings import Result
from inference.geometry import Grid
from inference.onnx import OnnxPredictor
from inference.pipeline import run
from inference.registry import ModelRepository
from inference.series import find_files, load, read_headers
from pacs_node.steps.offline import pipeline_named
from tests.support.lidc import consensus

ROOT = Path(__file__).parents[2]
CT = ROOT / "../shared/data/ct/LIDC-IDRI-0001"
NODULE_LPS = (56.2, 86.3, -115.9)
"""of the nodule of 23.4 mm, from the list of LUNA16"""
MOST_FALSE_FINDINGS = 8

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not CT.exists(), reason="the real CT of ../shared/data is not on this machine"),
]


@pytest.fixture(scope="module")
def analysis() -> tuple[Grid, Result]:
    """The whole scan through the shipped models."""
    models = ModelRepository(ROOT / "model_repository")
    pipeline = pipeline_named(models, "jnsc")
    assert pipeline.detector.limits is not None
    (header,) = read_headers(find_files(CT))
    verdict = eligibility.judge(header, pipeline.detector.limits)
    assert verdict.grid is not None
    return verdict.grid, run(load(verdict.slices, verdict.grid), pipeline, OnnxPredictor(models, threads=2))


def test_the_nodule_is_found(analysis: tuple[Grid, Result]) -> None:
    _, result = analysis
    assert min(math.dist(finding.centre_lps, NODULE_LPS) for finding in result.findings) < 23.4 / 2


def test_its_outline_agrees_with_the_readers(analysis: tuple[Grid, Result]) -> None:
    grid, result = analysis
    finding = min(result.findings, key=lambda f: math.dist(f.centre_lps, NODULE_LPS))
    mask = np.zeros(grid.shape_kji, bool)
    box = tuple(slice(a, a + n) for a, n in zip(finding.mask.start_kji, finding.mask.voxels.shape, strict=True))
    mask[box] = finding.mask.voxels
    readers = consensus("LIDC-IDRI-0001", grid)
    assert 2 * (mask & readers).sum() / (mask.sum() + readers.sum()) >= 0.6


def test_few_other_places_are_reported(analysis: tuple[Grid, Result]) -> None:
    _, result = analysis
    false = [f for f in result.findings if math.dist(f.centre_lps, NODULE_LPS) > 23.4 / 2]
    assert len(false) <= MOST_FALSE_FINDINGS
