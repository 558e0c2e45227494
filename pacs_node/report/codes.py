"""Every coded concept that results carry, each with its source. Nothing else in the node spells a code.

SCT, DCM and UCUM codes as in PS3.16 (checked against pydicom's tables by the tests); CID is the context group.
No code of the retired SRT scheme, no meaning over 64 characters, nothing invented under SCT or DCM.
Called from `segmentation`, `measurements` and `structured`; `check` has its own table on purpose.
"""

from __future__ import annotations

from pydicom.sr.coding import Code

from inference.findings import Attenuation, Laterality

PRIVATE_SCHEME = "99PULMONODE"

# Segments: PS3.16 CID 7150 (category), CID 7159 and CID 7155 (type)
MORPHOLOGICALLY_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
NODULE = Code("27925004", "SCT", "Nodule")
LUNG = Code("39607008", "SCT", "Lung")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162

# Sides: CID 244
LATERALITY = {
    Laterality.RIGHT: Code("24028007", "SCT", "Right"),
    Laterality.LEFT: Code("7771000", "SCT", "Left"),
}

# Report: TID 1500, TID 1501; procedure CID 100
PROCEDURE_CT = Code("25045-6", "LN", "CT unspecified body region")
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
ONCOLOGY_MEASUREMENT_REPORT = Code("126001", "DCM", "Oncology Measurement Report")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
DEVICE = Code("121007", "DCM", "Device")
FINDING = Code("121071", "DCM", "Finding")
COMMENT = Code("121106", "DCM", "Comment")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")

# Rejection note: CID 7010
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")

# Presence: CID 240
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")

# Image quality: name PS3.16 annex D, value CID 7036
IMAGE_QUALITY = Code("111101", "DCM", "Image Quality")
NON_DIAGNOSTIC = Code("RID14", "RADLEX", "Non-diagnostic quality")

# Coverage: PS3.16 annex D; the value is of CID 6315, the only context group that has it
SERIES_QUALITY = Code("130550", "DCM", "Imaging Series Quality")
COVERAGE_INCOMPLETE = Code("130576", "DCM", "Anatomy coverage incomplete")

# Why a study was not analysed, and what limits an answer: no DICOM code says which, hence private
NOT_ANALYSED_REASON = Code("REASON", PRIVATE_SCHEME, "Reason for not analysing")
LIMIT = Code("LIMIT", PRIVATE_SCHEME, "Limit of the analysis")

# Measurements: CID 7469, CID 7470, CID 6141. "Long Axis" in this spelling: OHIF compares the meaning by case.
VOLUME = Code("118565006", "SCT", "Volume")
DIAMETER = Code("81827009", "SCT", "Diameter")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
MEAN_ATTENUATION = Code("112181", "DCM", "Mean Attenuation Coefficient")
SD_ATTENUATION = Code("112183", "DCM", "Standard Deviation of Attenuation Coefficient")
PROBABILITY_OF_CANCER = Code("111047", "DCM", "Probability of cancer")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")

# Units: UCUM, CID 83
CUBIC_MILLIMETRE = Code("mm3", "UCUM", "cubic millimeter")
MILLIMETRE = Code("mm", "UCUM", "mm")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT = Code("%", "UCUM", "Percent")

# Attenuation type: QIICR lidc2dicom, concepts_dict.json and values_dict.json; scheme spelled as in PS3.16 table 8-1
TEXTURE = Code("C41144", "NCIt", "Texture")
CALCIFICATION = Code("C3672", "NCIt", "Calcification")
_SOLID = Code("RID50151", "RADLEX", "solid pulmonary nodule")
TEXTURE_OF = {
    Attenuation.SOLID: _SOLID,
    Attenuation.PART_SOLID: Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    Attenuation.NON_SOLID: Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
    Attenuation.CALCIFIED: _SOLID,
}

# What a derived image was made from: CID 7202
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")

# Chest CAD: TID 4100 to 4107 and 4015 to 4017, summary CID 6047, status CID 6042, intent CID 6034; path TID 1400
CHEST_CAD_REPORT = Code("112000", "DCM", "Chest CAD Report")
CAD_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
SUCCEEDED_WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
SUCCEEDED_WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
NO_ALGORITHM_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")
SINGLE_IMAGE_FINDING = Code("111059", "DCM", "Single Image Finding")
SINGLE_IMAGE_FINDING_MODIFIER = Code("112024", "DCM", "Single Image Finding Modifier")
ABNORMAL_OPACITY = Code("112033", "DCM", "Abnormal opacity")
RENDERING_INTENT = Code("111056", "DCM", "Rendering Intent")
PRESENTATION_REQUIRED = Code("111150", "DCM", "Presentation Required: Rendering device is expected to present")
CENTRE = Code("111010", "DCM", "Center")
OUTLINE = Code("111041", "DCM", "Outline")
PATH = Code("121055", "DCM", "Path")
SUMMARY_OF_DETECTIONS = Code("111064", "DCM", "Summary of Detections")
SUMMARY_OF_ANALYSES = Code("111065", "DCM", "Summary of Analyses")
SUCCESSFUL_DETECTIONS = Code("111063", "DCM", "Successful Detections")
FAILED_DETECTIONS = Code("111025", "DCM", "Failed Detections")
DETECTION_PERFORMED = Code("111022", "DCM", "Detection Performed")
SUCCEEDED = Code("111222", "DCM", "Succeeded")
FAILED = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")

# Equipment: CID 7005
ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")


# Names that these templates prescribe, which highdicom writes by itself; the last is a derivation of CID 7203
PRESCRIBED = (
    Code("121049", "DCM", "Language of Content Item and Descendants"),
    Code("en-US", "RFC5646", "English (United States)"),
    Code("121005", "DCM", "Observer Type"),
    Code("121012", "DCM", "Device Observer UID"),
    Code("121013", "DCM", "Device Observer Name"),
    Code("121014", "DCM", "Device Observer Manufacturer"),
    Code("121015", "DCM", "Device Observer Model Name"),
    Code("121016", "DCM", "Device Observer Serial Number"),
    Code("125007", "DCM", "Measurement Group"),
    Code("112039", "DCM", "Tracking Identifier"),
    Code("112040", "DCM", "Tracking Unique Identifier"),
    Code("276214006", "SCT", "Finding category"),
    Code("363698007", "SCT", "Finding Site"),
    Code("272741003", "SCT", "Laterality"),
    Code("260753009", "SCT", "Source"),
    Code("121191", "DCM", "Referenced Segment"),
    Code("121233", "DCM", "Source Image for Segmentation"),
    Code("113012", "DCM", "Key Object Description"),
    Code("111000", "DCM", "Algorithm Family"),
    Code("111002", "DCM", "Algorithm Parameters"),
    Code("111003", "DCM", "Algorithm Version"),
    Code("122405", "DCM", "Algorithm Manufacturer"),
    Code("113076", "DCM", "Segmentation"),
)


def every_code() -> tuple[Code, ...]:
    """Every code above, for the tests and the conformance statement; those of reasons and limits are not among them."""
    values = [value for name, value in globals().items() if name.isupper()]
    spelled = [value for value in values if type(value) is Code]
    return (*spelled, *(code for table in values if isinstance(table, dict) for code in table.values()), *PRESCRIBED)


def reason_code(code: str) -> Code:
    """A reason or limit of the node as a private code, its own meaning (at most 64 characters, PS3.3 table 8.8-1a)."""
    return Code(code, PRIVATE_SCHEME, code[:64])


POOR_QUALITY_REASONS = frozenset({"series.gap", "series.irregular-spacing", "series.not-contiguous"})
"""Reasons that say the images themselves are not enough (codes of `inference.eligibility`)."""
