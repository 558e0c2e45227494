"""PS3.2 A.8 and its annexes: what is analysed, what results hold, and every code in them."""

from __future__ import annotations

from collections.abc import Iterator

from inference import coverage, eligibility
from inference.eligibility.content import CT_CLASSES
from inference.errors import InferenceError
from inference.series import DECODABLE
from pacs_node.config import Config
from pacs_node.conformance.markdown import table
from pacs_node.dimse.catalogue import name_of, storage_classes
from pacs_node.errors import NodeError
from pacs_node.report import codes

TEMPLATES = (
    ("1204", "Language of Content Item and Descendants", "report, Chest CAD SR"),
    ("1002, 1004", "Observer Context, Device Observer Identifying Attributes", "report"),
    ("1500", "Measurement Report", "report"),
    ("1411", "Volumetric ROI Measurements and Qualitative Evaluations", "report: segment and values of a nodule"),
    ("1501", "Measurement and Qualitative Evaluation Group", "report: long and short axis with coordinates"),
    ("4019", "Algorithm Identification", "report, Chest CAD SR"),
    ("4100, 4101, 4104, 4107", "Chest CAD Document and what it includes", "Chest CAD SR"),
    ("4015, 4017", "CAD Detections Performed", "Chest CAD SR"),
    ("1400", "Linear Measurement", "Chest CAD SR"),
    ("2010", "Key Object Selection", "rejection note"),
)


def content(config: Config) -> str:
    """What comes in and goes out, beyond its transport."""
    hydration = "OHIF turns into its own measurements" if config.report.ohif_hydration else 'read "Nodule 1" and so on'
    return f"""
## 5 Content

### 5.1 What is analysed

{", ".join(sorted(map(name_of, CT_CLASSES)))}: axial, in Hounsfield units, within the limits of the model
([operations](operations.md#why-a-series-is-not-analysed)). Pixels are decoded from these transfer syntaxes; everything
else is stored, and a decision says that it was not analysed.

{table(("transfer syntax", "UID"), sorted((name_of(uid), uid) for uid in DECODABLE))}

### 5.2 Results

SEG is BINARY, one segment for each nodule, on the grid of the CT; no two segments overlap, empty frames are left
out, and every
frame names its slice. The lungs are a SEG of their own, and so are soft masks (FRACTIONAL, OCCUPANCY). The report
holds one
group of measurements for each nodule and one with the coordinates of its axes; both and the segment share Tracking
Identifier and UID. The tracking identifiers {hydration}. A study without nodules gets a report that says so, one
that was not
analysed one that says why, and one that shows the lungs in part one that says so: in codes and in words.

UIDs derive from study, series, instances, pipeline, models and the version of this software: the same input gives
the same
objects, a changed model gives a new series. The report of a superseding result names its predecessor.

{table(("TID", "template", "where"), TEMPLATES)}

### 5.3 Coded terms

Every code that results hold, beside those that patient and study attributes of the CT bring along.

{table(("code", "scheme", "meaning"), sorted(_terms()))}

### 5.4 Private scheme

`{codes.PRIVATE_SCHEME}` ("PulmoNode codes") is declared by each object that uses it. No private attributes and no
private SOP
classes are used. Beside the concepts above it has these values; the meaning of each is the code itself, and the
report has
the sentence for it.

{table(("concept", "values"), _private_values())}

## Annex A: Storage SOP classes that are accepted

{table(("SOP class", "UID"), ((name_of(uid), uid) for uid in storage_classes()))}
"""


def _terms() -> Iterator[tuple[str, str, str]]:
    for code in set(codes.every_code()):
        yield code.value, code.scheme_designator, code.meaning


def _private_values() -> Iterator[tuple[str, str]]:
    errors = {kind.code for root in (InferenceError, NodeError) for kind in _kinds(root)}
    reasons = sorted({*eligibility.CODES, *errors})
    yield codes.NOT_ANALYSED_REASON.value, ", ".join(f"`{code}`" for code in reasons)
    yield codes.LIMIT.value, ", ".join(f"`{code}`" for code in coverage.CODES)


def _kinds(root: type[InferenceError] | type[NodeError]) -> Iterator[type[InferenceError] | type[NodeError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
