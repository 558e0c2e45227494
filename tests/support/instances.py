"""Single instances for tests of the network and of the archive: small, valid, in any encoding.

    an_instance(sop_instance_uid="1.2.3")            # CT, 8 x 8 pixels
    encoded(an_instance(), JPEGLSLossless)           # the bytes that a C-STORE carries
    a_file(tmp_path, an_instance(), ImplicitVRLittleEndian)

Pixels of compressed transfer syntaxes are any bytes: whoever stores as received does not look at them.
"""

from __future__ import annotations

import itertools
import zlib
from copy import deepcopy
from pathlib import Path

from blake3 import blake3
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacs_node.dimse.header import Header
from pacs_node.domain.instance import StoreRequest

STUDY_UID, SERIES_UID = "1.2.826.0.1.77", "1.2.826.0.1.77.1"
PATIENT_NAME = "CANARY^INSTANCE"
NATIVE = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}

_numbers = itertools.count(1)


def a_uid() -> str:
    """A UID that no other call has given."""
    return f"1.2.826.0.1.77.1.{next(_numbers)}"


def an_instance(sop_instance_uid: str | None = None, **attributes: object) -> Dataset:
    """A CT slice; attributes by keyword, None deletes one."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = sop_instance_uid or a_uid()
    dataset.Modality = "CT"
    dataset.PatientName = PATIENT_NAME
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 8
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = bytes(range(128))
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def encoded(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """The dataset as a C-STORE in this transfer syntax carries it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = transfer_syntax_uid != ExplicitVRBigEndian
    buffer.is_implicit_VR = transfer_syntax_uid == ImplicitVRLittleEndian
    write_dataset(buffer, in_syntax(dataset, transfer_syntax_uid))
    content = bytes(buffer.getvalue())
    if transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        return content
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflate.compress(content) + deflate.flush()
    return deflated + bytes(len(deflated) % 2)


def hash_of(content: bytes) -> str:
    """Of a dataset as the node names it."""
    return f"blake3:{blake3(content).hexdigest()}"


def in_syntax(dataset: Dataset, transfer_syntax_uid: str) -> Dataset:
    """A copy that says that it has this transfer syntax, its pixels encapsulated where that asks for it."""
    copy = deepcopy(dataset)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = transfer_syntax_uid
    if transfer_syntax_uid not in NATIVE and "PixelData" in copy:
        copy.PixelData = encapsulate([bytes(copy.PixelData)])
        copy["PixelData"].VR = "OB"
        copy["PixelData"].is_undefined_length = True
    elif "PixelData" in copy:
        copy["PixelData"].VR = "OW"
    return copy


def a_file(folder: Path, dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> Path:
    """Write it as a DICOM file and say where."""
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    copy = in_syntax(dataset, transfer_syntax_uid)
    dcmwrite(path, copy, enforce_file_format=True)
    return path


def a_request(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> StoreRequest:
    """The C-STORE request that announces it."""
    return StoreRequest(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        transfer_syntax_uid=str(transfer_syntax_uid),
        calling_ae_title="CT1",
        called_ae_title="PULMONODE",
        peer_address="192.0.2.7",
    )


def header_of(dataset: Dataset) -> Header:
    """What a scan of its bytes has to find."""
    return Header(
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
    )
