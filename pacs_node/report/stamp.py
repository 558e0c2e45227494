"""The last touch on every document: whose it is, when it was made, by what, and how it is written.

highdicom builds documents of nobody with today's date; here they get the patient and study of their source, the time
of the request and fixed file meta information, so that the same request always gives the same bytes.
Called from `segmentation` and `structured`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone, tzinfo

from highdicom.base import SOPClass
from highdicom.sr.coding import CodedConcept
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from inference.findings import ModelUse
from pacs_node.domain.document import CLASS_UID, DocumentRole
from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from pacs_node.report import codes
from pacs_node.report.identity import VERSION, uid
from pacs_node.report.request import ReportRequest

MANUFACTURER = "PulmoNode"
MODEL_NAME = "PulmoNode"
RESEARCH_USE = "Research use only. Not for diagnosis or treatment."
_NAMES = ("PatientName", "ReferringPhysicianName")


def stamp(document: SOPClass, request: ReportRequest) -> None:
    """Give a document the patient, study, time, equipment and file meta information of its request, in place."""
    source = request.source[0]
    _copy_patient_and_study(document, source)
    _freeze_time(document, request.composed_at, source)
    document.ContributingEquipmentSequence = list(_contributing_equipment(source, request))
    document.file_meta = _file_meta(document)


def blank(
    request: ReportRequest, role: DocumentRole, *, modality: str, series: tuple[int, str], number: int = 1
) -> SOPClass:
    """A document with its UIDs, its series and our equipment, and nothing else yet; `stamp` finishes it.

    Parameters
    ----------
    series : number and description of the series that the documents of this role share
    number : of the document in its series, from 1
    """
    return SOPClass(
        study_instance_uid=request.source[0].StudyInstanceUID,
        series_instance_uid=uid(request.identity, f"{role}-series"),
        series_number=series[0],
        sop_instance_uid=uid(request.identity, role, number),
        sop_class_uid=CLASS_UID[role],
        instance_number=number,
        modality=modality,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=VERSION,
        device_serial_number=ascii_text(request.options.station)[:64],
        series_description=f"{MODEL_NAME} {series[1]} (research use)",
    )


def ascii_text(text: str) -> str:
    """Text that every Specific Character Set can hold; what we write ourselves never needs more."""
    return text.encode("ascii", "replace").decode("ascii")


def versions(uses: Iterable[ModelUse]) -> str:
    """The models with their versions, each once; the version of the node if there are none."""
    return ascii_text("; ".join(dict.fromkeys(f"{use.name} {use.version}" for use in uses)) or VERSION)


def _copy_patient_and_study(document: SOPClass, source: Dataset) -> None:
    """Copy the patient and study modules, those of clinical trials included, as they are in their character set."""
    header = Dataset()
    for group in (0x0008, 0x0010, 0x0012, 0x0020, 0x0032, 0x0038):
        header.update(copy.deepcopy(source.group_dataset(group)))  # elements are mutable and must not be shared
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, document.SOPInstanceUID
    if "SpecificCharacterSet" in source:
        document["SpecificCharacterSet"] = copy.copy(source["SpecificCharacterSet"])
    document.copy_patient_and_study_information(header)
    if "EthnicGroup" in header:
        document["EthnicGroup"] = header["EthnicGroup"]  # of the Patient module, but not in highdicom's table of it
    for keyword in _NAMES:
        _keep_bytes(document, source.get_item(keyword))


def _keep_bytes(document: Dataset, name: DataElement | RawDataElement | None) -> None:
    """Write a name as the scanner wrote it: decoding drops trailing delimiters and moves the escapes of ISO 2022."""
    if isinstance(name, RawDataElement) and name.value and b"\\" not in name.value:
        encodings = convert_encodings(document.get("SpecificCharacterSet"))
        document[name.tag] = DataElement(name.tag, "PN", PersonName(name.value.rstrip(b" \0"), encodings))


def _freeze_time(document: SOPClass, composed_at: datetime, source: Dataset) -> None:
    """Dates and times of the document, in the zone of the study if it names one (PS3.3 C.12.1.1.8), else in ours."""
    if "TimezoneOffsetFromUTC" in source:
        document["TimezoneOffsetFromUTC"] = copy.copy(source["TimezoneOffsetFromUTC"])
    local = composed_at.astimezone(_zone(source))
    document.ContentDate = document.InstanceCreationDate = local.strftime("%Y%m%d")
    document.ContentTime = document.InstanceCreationTime = local.strftime("%H%M%S")


def _zone(source: Dataset) -> tzinfo | None:
    offset = str(source.get("TimezoneOffsetFromUTC") or "")
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdecimal():
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    if minutes >= 24 * 60:
        return None
    return timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes))


def _contributing_equipment(source: Dataset, request: ReportRequest) -> Iterator[Dataset]:
    """The scanner, then one item per use of a model with its version and hash (PS3.3 C.12.1.1.5)."""
    scanner = Dataset()
    scanner.Manufacturer = ""
    for keyword in ("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName", "DeviceSerialNumber"):
        if source.get(keyword):
            scanner[keyword] = copy.copy(source[keyword])
    if scanner.Manufacturer:
        yield _with_purpose(scanner, codes.ACQUISITION_EQUIPMENT)
    for model in request.result.models if request.result is not None else ():
        yield _with_purpose(_model_equipment(model), codes.PROCESSING_EQUIPMENT)


def _model_equipment(model: ModelUse) -> Dataset:
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = ascii_text(model.name)[:64]
    item.SoftwareVersions = str(model.version)
    item.DeviceSerialNumber = model.sha256[:64]
    item.ContributionDescription = ascii_text(f"Neural network ({model.role}), SHA-256 {model.sha256}")
    return item


def _with_purpose(item: Dataset, purpose: Code) -> Dataset:
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item


def _file_meta(document: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = document.SOPClassUID
    meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta
