"""A dataset as a DICOM file: byte for byte what pydicom writes, in a fifth of its time.

pydicom looks for ambiguous VRs in all that lies below an item when it comes to that item, so once for every level, and
takes a new buffer and converts the character sets for every element. Here one buffer takes everything, and lengths are
filled in after. Values are written by pydicom's own functions, and whatever is not plainly of our own making, such as
what a scanner wrote, by pydicom altogether. Called from `composing`.

References
----------
PS3.5 section 7.1.2 (Explicit VR), 7.5 (sequences), A.2 (Explicit VR Little Endian).
"""

from __future__ import annotations

import struct

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import (
    correct_ambiguous_vr_element,
    dcmwrite,
    write_data_element,
    write_dataset,
    write_sequence_item,
    writers,
)
from pydicom.valuerep import AMBIGUOUS_VR, CUSTOMIZABLE_CHARSET_VR, EXPLICIT_VR_LENGTH_32

_CHARACTER_SET = 0x0008_0005
_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
_SHORT, _LONG = struct.Struct("<HH2sH"), struct.Struct("<HH2sHL")
_UINT16, _UINT32 = struct.Struct("<H"), struct.Struct("<L")


def file_bytes(dataset: Dataset) -> bytes:
    """The DICOM file of a dataset with complete file meta information that says Explicit VR Little Endian.

    Elements whose VR depends on others get it for good, as pydicom does it.
    """
    out, head = DicomBytesIO(), Dataset()
    head.file_meta = dataset.file_meta
    dcmwrite(out, head, enforce_file_format=True)
    _write_dataset(out, [dataset], [default_encoding])
    content: bytes = out.getvalue()
    return content


def _write_dataset(out: DicomBytesIO, ancestors: list[Dataset], encodings: list[str]) -> None:
    """Write the first of `ancestors`, which lead from it to the root."""
    elements = sorted([(int(element.tag), element) for element in ancestors[0].values()])
    if any(element.is_raw for _, element in elements):
        write_dataset(out, ancestors[0], encodings)
        return
    for tag, element in elements:
        if tag == _CHARACTER_SET:
            encodings = convert_encodings(element.value)
        if tag & 0xFFFF or tag >> 16 <= 6:  # other group lengths are retired (PS3.5 section 7.2)
            _write_element(out, element, ancestors, encodings)


def _write_element(out: DicomBytesIO, element: DataElement, ancestors: list[Dataset], encodings: list[str]) -> None:
    if element.VR in AMBIGUOUS_VR:
        correct_ambiguous_vr_element(element, ancestors[0], is_little_endian=True, ancestors=ancestors)
    start, vr, tag = out.tell(), element.VR, int(element.tag)
    if vr not in writers or len(vr) != 2 or element.is_undefined_length or element.is_buffered:
        write_data_element(out, element, encodings)
        return
    is_long = vr in EXPLICIT_VR_LENGTH_32
    header = (tag >> 16, tag & 0xFFFF, vr.encode(), 0)
    out.write(_LONG.pack(*header, 0) if is_long else _SHORT.pack(*header))
    first = out.tell()
    if vr == "SQ":
        for item in element.value:
            _write_item(out, [item, *ancestors], encodings)
    elif not element.is_empty:
        _write_value(out, element, encodings)
    if is_long or out.tell() - first <= 0xFFFF:
        _fill_in(out, first, _UINT32 if is_long else _UINT16)
    else:  # no such length can be said: pydicom warns and takes another VR
        out.seek(start)
        write_data_element(out, element, encodings)


def _write_item(out: DicomBytesIO, ancestors: list[Dataset], encodings: list[str]) -> None:
    if ancestors[0].is_undefined_length_sequence_item:
        write_sequence_item(out, ancestors[0], encodings)
        return
    out.write(_ITEM)
    first = out.tell()
    _write_dataset(out, ancestors, encodings)
    _fill_in(out, first, _UINT32)


def _write_value(out: DicomBytesIO, element: DataElement, encodings: list[str]) -> None:
    write, form = writers[element.VR]
    if element.VR in CUSTOMIZABLE_CHARSET_VR:
        write(out, element, encodings=encodings)
    elif form is not None:
        write(out, element, form)
    else:
        write(out, element)


def _fill_in(out: DicomBytesIO, first: int, number: struct.Struct) -> None:
    """Write the length of what begins at `first`, in front of it."""
    end = out.tell()
    out.seek(first - number.size)
    out.write(number.pack(end - first))
    out.seek(end)
