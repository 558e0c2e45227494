"""Small datasets of the services beside storage, to bytes and back, without a word of the library about their values.

The library warns of values that are not as they should be, and quotes them; values from the network must not get into a
log. Called from `commitment`, `asking` and `query`.
"""

from __future__ import annotations

import io

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""Transfer syntaxes to propose."""


class DatasetInvalid(Exception):
    """The dataset is not what its message promises."""


def encoded(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """The bytes of a dataset in an uncompressed transfer syntax."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = _encoding(transfer_syntax_uid)
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def decoded(content: bytes, transfer_syntax_uid: str) -> Dataset:
    """The dataset in bytes of an uncompressed transfer syntax; raises DatasetInvalid."""
    try:
        return read_dataset(io.BytesIO(content), *_encoding(transfer_syntax_uid))
    except Exception as error:  # the library raises anything when it decodes what is malformed
        raise DatasetInvalid from error


def put_uid(dataset: Dataset, keyword: str, uid: str) -> None:
    """Add a UID as it is, with leading zeros too."""
    dataset.add(DataElement(keyword, "UI", uid, validation_mode=IGNORE))


def text_of(dataset: Dataset, keyword: str) -> str:
    """A value without padding, empty if it is absent; bytes beyond ASCII become "\ufffd"."""
    element = dataset.get_item(keyword)
    value = element.value if element is not None else b""
    return value.strip(b"\0 ").decode("ascii", "replace") if isinstance(value, bytes) else ""


def number_of(dataset: Dataset, keyword: str, otherwise: int) -> int:
    """A value of two bytes; something else for what is not just that, and for zero."""
    element = dataset.get_item(keyword)
    value = element.value if isinstance(element, RawDataElement) else None
    if not isinstance(value, bytes) or len(value) != 2:
        return otherwise
    return int.from_bytes(value, "little" if element.is_little_endian else "big") or otherwise


def _encoding(transfer_syntax_uid: str) -> tuple[bool, bool]:
    return transfer_syntax_uid == ImplicitVRLittleEndian, transfer_syntax_uid != ExplicitVRBigEndian
