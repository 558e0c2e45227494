"""What a result says in words, once for all documents that people read.

Called from `structured`, and from what draws or prints a report. English, ASCII, and nothing of the patient.
"""

from __future__ import annotations

from collections.abc import Iterator

from inference.findings import Finding, Result
from pacs_node.report.request import ReportRequest
from pacs_node.report.stamp import RESEARCH_USE, ascii_text

DEFINITIONS = (
    "Diameter: of the sphere that has the volume of the segment. Long axis: largest in-plane distance between outline "
    "points over all axial slices. Short axis: longest chord perpendicular to it on that slice."
)


def headline(request: ReportRequest) -> str:
    """The answer in one sentence, which never says more than what was covered."""
    if request.result is None:
        return "Not analysed."
    number = len(request.findings)
    found = {0: "No nodule found", 1: "1 nodule found"}.get(number, f"{number} nodules found")
    return f"{found} in the part of the lungs that was covered." if request.result.limits else f"{found}."


def finding_lines(request: ReportRequest) -> tuple[str, ...]:
    """Every finding in one line, with the numbers of the measurement groups."""
    return tuple(_line(finding) for finding in request.findings)


def remarks(request: ReportRequest) -> tuple[str, ...]:
    """What a reader must know beside the values: reasons, limits, definitions, and at last that it is research."""
    return tuple(dict.fromkeys(ascii_text(text) for text in (*_remarks(request), RESEARCH_USE)))


def models(request: ReportRequest) -> tuple[str, ...]:
    """Every use of a model, with version and hash."""
    uses = request.result.models if request.result is not None else ()
    return tuple(ascii_text(f"{use.name} version {use.version} ({use.role}), SHA-256 {use.sha256}") for use in uses)


def _line(finding: Finding) -> str:
    side = "near the midline" if finding.laterality is None else f"{finding.laterality} lung"
    facts = [
        f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm (long x short axis)",
        f"diameter {finding.equivalent_diameter_mm:.1f} mm",
        f"volume {finding.volume_mm3:.1f} mm3",
        f"{finding.attenuation}, mean {finding.mean_hu:.1f} HU",
        f"certainty {100.0 * finding.score:.1f} %",
    ]
    if finding.malignancy is not None:
        facts.append(f"probability of cancer {100.0 * finding.malignancy:.1f} %")
    return f"Nodule {finding.number}: {side}, {', '.join(facts)}."


def _remarks(request: ReportRequest) -> Iterator[str]:
    for reason in request.reasons:
        yield f"Not analysed: {reason.text}"
    for limit in request.result.limits if request.result is not None else ():
        yield f"Limited: {limit.text}."
    if request.result is not None and request.findings:
        yield DEFINITIONS
        yield from _explanations(request.result)


def _explanations(result: Result) -> Iterator[str]:
    """What the probabilities mean, and which outlines are not by the model that the pipeline names for them."""
    if result.malignancy_labels:
        yield f"Probability of cancer: as learned from these labels: {result.malignancy_labels}."
    outliners = [use.name for use in result.models if use.role in ("detector", "segmentation")]
    for finding in result.findings:
        if finding.outlined_by != outliners[-1]:
            why = f"{outliners[-1]} marked nothing there, or cannot see the whole of it"
            yield f"Nodule {finding.number}: outlined by {finding.outlined_by}, because {why}."
