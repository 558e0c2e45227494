"""The codes and units that a result may carry, as a table of its own, typed in from PS3.16, UCUM, RADLEX and NCIt.

Deliberately not the table that results are written with. Called from `check`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from pacs_node.report.check.problem import Problem
from pacs_node.report.check.tree import code_in

_PRIVATE = "99PULMONODE"
_EXAMINED = (
    "SegmentSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ContributingEquipmentSequence",
    "ConceptNameCodeSequence",
    "ContentSequence",
    "SourceImageSequence",
    "StructureSetROISequence",
    "RTROIObservationsSequence",
    "GraphicAnnotationSequence",
)
"""Where a result's own codes are; patient and study modules carry those of the source."""

_KNOWN = {
    "DCM": {
        "109101": "Acquisition Equipment",
        "109102": "Processing Equipment",
        "111000": "Algorithm Family",
        "111001": "Algorithm Name",
        "111002": "Algorithm Parameters",
        "111003": "Algorithm Version",
        "111010": "Center",
        "111012": "Certainty of Finding",
        "111017": "CAD Processing and Findings Summary",
        "111022": "Detection Performed",
        "111025": "Failed Detections",
        "111041": "Outline",
        "111047": "Probability of cancer",
        "111056": "Rendering Intent",
        "111059": "Single Image Finding",
        "111063": "Successful Detections",
        "111064": "Summary of Detections",
        "111065": "Summary of Analyses",
        "111101": "Image Quality",
        "111150": "Presentation Required: Rendering device is expected to present",
        "111222": "Succeeded",
        "111224": "Failed",
        "111225": "Not Attempted",
        "111241": "All algorithms succeeded; without findings",
        "111242": "All algorithms succeeded; with findings",
        "111245": "No algorithms succeeded; without findings",
        "112000": "Chest CAD Report",
        "112024": "Single Image Finding Modifier",
        "112033": "Abnormal opacity",
        "112039": "Tracking Identifier",
        "112040": "Tracking Unique Identifier",
        "112181": "Mean Attenuation Coefficient",
        "112183": "Standard Deviation of Attenuation Coefficient",
        "113001": "Rejected for Quality Reasons",
        "113012": "Key Object Description",
        "113076": "Segmentation",
        "121005": "Observer Type",
        "121007": "Device",
        "121012": "Device Observer UID",
        "121013": "Device Observer Name",
        "121014": "Device Observer Manufacturer",
        "121015": "Device Observer Model Name",
        "121016": "Device Observer Serial Number",
        "121049": "Language of Content Item and Descendants",
        "121055": "Path",
        "121058": "Procedure reported",
        "121071": "Finding",
        "121106": "Comment",
        "121191": "Referenced Segment",
        "121233": "Source Image for Segmentation",
        "121322": "Source image for image processing operation",
        "122405": "Algorithm Manufacturer",
        "123110": "Artificial Intelligence",
        "125007": "Measurement Group",
        "126000": "Imaging Measurement Report",
        "126001": "Oncology Measurement Report",
        "126010": "Imaging Measurements",
        "130550": "Imaging Series Quality",
        "130576": "Anatomy coverage incomplete",
    },
    "SCT": {
        "103339001": "Long Axis",
        "103340004": "Short Axis",
        "118565006": "Volume",
        "24028007": "Right",
        "260753009": "Source",
        "272519000": "Absent",
        "272741003": "Laterality",
        "276214006": "Finding category",
        "27925004": "Nodule",
        "363698007": "Finding Site",
        "373068000": "Undetermined",
        "39607008": "Lung",
        "49755003": "Morphologically Abnormal Structure",
        "52101004": "Present",
        "7771000": "Left",
        "81827009": "Diameter",
        "91723000": "Anatomical Structure",
    },
    "UCUM": {"mm3": "cubic millimeter", "mm": "mm", "[hnsf'U]": "Hounsfield unit", "%": "Percent"},
    "RADLEX": {
        "RID14": "Non-diagnostic quality",
        "RID50151": "solid pulmonary nodule",
        "RID50152": "part-solid pulmonary nodule",
        "RID50153": "non-solid pulmonary nodule",
    },
    "NCIt": {"C41144": "Texture", "C3672": "Calcification"},
    "UMLS": {"C0034375": "Qualitative Evaluations"},
    "LN": {"25045-6": "CT unspecified body region"},
    "RFC5646": {"en-US": "English (United States)"},
}


def code_problems(document: Dataset) -> Iterator[Problem]:
    """Codes that are unknown, have a wrong meaning, or use a private scheme that is not declared."""
    declared = {str(item.CodingSchemeDesignator) for item in document.get("CodingSchemeIdentificationSequence", ())}
    found = {(value, scheme, meaning) for keyword in _EXAMINED for value, scheme, meaning in _codes(document, keyword)}
    for value, scheme, meaning in sorted(found):
        if scheme == _PRIVATE:
            if _PRIVATE not in declared or not 0 < len(meaning) <= 64:
                yield _problem(f"The private code {value} is not declared or has no meaning.")
        elif _KNOWN.get(scheme, {}).get(value) != meaning:
            yield _problem(f"({value}, {scheme}) with this meaning is not a code of results.")


def _codes(document: Dataset, keyword: str) -> Iterator[tuple[str, str, str]]:
    pending = list(document.get(keyword, ()))
    while pending:
        item = pending.pop()
        if "CodeMeaning" in item or "CodeValue" in item:
            yield (*code_in(item), str(item.get("CodeMeaning", "")))
        for element in item:
            if element.VR == "SQ":
                pending.extend(element.value)


def _problem(text: str) -> Problem:
    return Problem(code="codes.known", text=text)
