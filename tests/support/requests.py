"""The CTs that results are shown on - phantom, positive, negative and ineligible - each with what answers it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from inference.eligibility import judge
from inference.findings import Finding, SoftMask
from inference.series import find_files, read_headers
from pacs_node.domain.rule import Reason
from pacs_node.report import ReportRequest, compose
from tests.support.headers import LIMITS
from tests.support.results import a_refusal, a_request, an_identity, case_of_masks, real_case
from training.data.phantom import SMALL, make
from training.data.phantom.dicomise import write

CTS = Path(__file__).parents[2] / "../shared/data/ct"
Build = Callable[[Path], ReportRequest]
"""Writes a CT into a folder and gives the request that answers it; a real CT stays where it is."""


def of_the_phantom(folder: Path) -> ReportRequest:
    """Its true nodules, with soft masks; nothing was found at first."""
    made = make(9, SMALL)
    paths = write(made, folder)
    (folder / "truth.json").unlink()
    return superseding(softened(a_request(case_of_masks(paths, [nodule.mask for nodule in made.nodules]))), folder)


def _positive(folder: Path) -> ReportRequest:
    """The nodule of 23.4 mm of LIDC-IDRI-0001, cut out by threshold, with a soft mask; nothing was found at first."""
    case = real_case(find_files(real_ct("LIDC-IDRI-0001")), centre_lps=(56.2, 86.3, -115.9), radius_mm=16.0)
    return superseding(softened(a_request(case)), folder)


def _negative(_: Path) -> ReportRequest:
    return a_request(case_of_masks(find_files(real_ct("C3N-00247")), []))


def _ineligible(_: Path) -> ReportRequest:
    """One of two studies, thick slices that overlap."""
    series = read_headers(find_files(real_ct("ACRIN-FLT-Breast_001")))[0]
    thin = dataclasses.replace(LIMITS, slice_thickness_mm=(0.5, 3.0))
    reasons = [Reason(code=item.code, text=item.text) for item in judge(series, thin).reasons]
    assert reasons
    source = tuple(dcmread(item.path, stop_before_pixels=True) for item in series.slices)
    return a_refusal(*reasons, source=source)


REAL: dict[str, Build] = {
    "of a real CT": _positive,
    "of a real CT without nodule": _negative,
    "of a real CT that is not eligible": _ineligible,
}


def real_ct(name: str) -> Path:
    """The folder of a real CT; skips the test where it is missing."""
    if not (CTS / name).exists():
        pytest.skip(f"no {name} in ../shared/data")
    return CTS / name


def softened(request: ReportRequest) -> ReportRequest:
    """The same with a soft mask of every finding: full where the mask is, half around it."""
    assert request.result is not None
    findings = tuple(dataclasses.replace(item, soft=_soft_mask(item)) for item in request.findings)
    return dataclasses.replace(request, result=dataclasses.replace(request.result, findings=findings))


def _soft_mask(finding: Finding) -> SoftMask:
    values = np.pad(np.where(finding.mask.voxels, 255, 120).astype(np.uint8), 1)
    k, j, i = finding.mask.start_kji
    return SoftMask(start_kji=(k - 1, j - 1, i - 1), values=values)


def superseding(request: ReportRequest, folder: Path) -> ReportRequest:
    """The same after nothing was found at first; the earlier report is written into the folder."""
    assert request.result is not None
    nothing = dataclasses.replace(request.result, findings=())
    earlier = compose(dataclasses.replace(request, result=nothing, identity=an_identity(input_digest="01")))
    folder.mkdir(exist_ok=True)
    for document in earlier:
        document.dataset.save_as(folder / f"earlier-{document.role}.dcm", enforce_file_format=True)
    return dataclasses.replace(request, predecessor=tuple(document.dataset for document in earlier))
