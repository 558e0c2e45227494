"""The benchmark of inference runs, and tells findings that are the same from others."""

from __future__ import annotations

import dataclasses

import numpy as np

from inference.findings import CroppedMask, Finding
from tests.benchmarks import phantoms
from tests.benchmarks.inference import as_served, likeness, reading
from tests.support.results import a_case


def cut(finding: Finding) -> Finding:
    """The same finding without the first slice of its mask."""
    k, j, i = finding.mask.start_kji
    mask = CroppedMask(start_kji=(k + 1, j, i), voxels=finding.mask.voxels[1:])
    return dataclasses.replace(finding, mask=mask, score=finding.score - 0.1)


def test_the_detector_is_measured() -> None:
    measured = reading(as_served)
    assert min(measured.load_s, measured.window_s, measured.peak_mb) > 0


def test_findings_are_compared_by_their_masks() -> None:
    first, second = a_case().result.findings[:2]
    assert (likeness([first, second], [second, first]).changed, likeness([first], [first]).dice) == (0, 1.0)
    assert likeness([first, second], [first]).changed == 1
    assert likeness([first], [second]).changed == 2
    whole, part = int(first.mask.voxels.sum()), int(cut(first).mask.voxels.sum())
    assert likeness([first], [cut(first)]).dice == np.float64(2 * part / (whole + part))
    assert "scores within 0.100" in likeness([first], [cut(first)]).text


def test_what_is_shipped_is_measured_on_whole_phantoms() -> None:
    figures = phantoms.found(seeds=[phantoms.SEEDS[0]], threads=1)
    assert "nodules of 1 SYNTHETIC phantoms, all findings: sensitivity_solid_6mm" in figures
    assert "nodules of 1 SYNTHETIC phantoms, as served: sensitivity_solid_6mm" in figures
