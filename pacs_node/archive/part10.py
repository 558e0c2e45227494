"""The head of a stored file: preamble, file meta information, and a note about its receipt.

The note is the Private Information (0002,0102) of the file meta. It has a fixed length and stands last, so that it can
be filled in when the dataset is complete, and an index can be rebuilt from the first kilobytes of every file.
Called from `files` only.
"""

from __future__ import annotations

import json
import struct
from datetime import datetime
from functools import lru_cache
from typing import Any

from pacs_node.archive.content_hash import OLDER, checked
from pacs_node.domain.identifiers import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    InstanceUid,
    SeriesUid,
    StudyUid,
)
from pacs_node.domain.instance import Receipt, StoreRequest
from pacs_node.errors import InstanceUnreadable

NOTE_BYTES = 1024
"""Room for the note; three UIDs, three more of class and syntax, a hash and an address need half of it."""
HEAD_BYTES = 4096
"""No head that we write is longer."""

_PREAMBLE = bytes(128) + b"DICM"
_GROUP_LENGTH_AT = len(_PREAMBLE) + 8
_GROUP_AT = _GROUP_LENGTH_AT + 4
_LONG_FORM = {b"OB"}


def head(request: StoreRequest) -> bytes:
    """Everything before the dataset, with an empty note.

    References
    ----------
    PS3.10 section 7.1: preamble (zero), prefix, file meta information in Explicit VR Little Endian
    """
    before, after = _around(request.sop_class_uid, request.transfer_syntax_uid, request.calling_ae_title)
    group = before + _element(0x0003, b"UI", request.sop_instance_uid.encode("ascii")) + after
    return _PREAMBLE + _element(0x0000, b"UL", struct.pack("<I", len(group))) + group


@lru_cache(maxsize=64)
def _around(sop_class_uid: str, transfer_syntax_uid: str, calling_ae_title: str) -> tuple[bytes, bytes]:
    """What stands before and after the UID of the instance; the same for all instances of a series."""
    before = _element(0x0001, b"OB", b"\x00\x01") + _element(0x0002, b"UI", sop_class_uid.encode("ascii"))
    after = [
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION.encode("ascii")),
        _element(0x0016, b"AE", calling_ae_title.encode("ascii", "replace")),
        _element(0x0100, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0102, b"OB", bytes(NOTE_BYTES)),
    ]
    return before, b"".join(after)


def note(receipt: Receipt) -> bytes:
    """The note about a receipt; it takes the last `NOTE_BYTES` of the head."""
    values = {
        "study": receipt.study_instance_uid,
        "series": receipt.series_instance_uid,
        "instance": receipt.sop_instance_uid,
        "class": receipt.sop_class_uid,
        "syntax": receipt.transfer_syntax_uid,
        "bytes": receipt.size_bytes,
        "content_hash": receipt.content_hash,
        "from": receipt.calling_ae_title,
        "address": receipt.peer_address,
        "at": receipt.received_at.isoformat(),
    }
    return json.dumps(values, separators=(",", ":")).encode("ascii").ljust(NOTE_BYTES)


def read_receipt(start: bytes, file_key: str, file_bytes: int) -> Receipt:
    """The receipt of a stored file.

    Parameters
    ----------
    start : the first `HEAD_BYTES` of the file, or all of a shorter one
    file_key, file_bytes : its key and size

    Raises
    ------
    InstanceUnreadable : the file was not written by `files`, or not wholly
    """
    try:
        length = head_length(start)
        receipt = _receipt(json.loads(start[length - NOTE_BYTES : length]), file_key)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise InstanceUnreadable("a stored file has no note about its receipt") from error
    if length + receipt.size_bytes != file_bytes:
        raise InstanceUnreadable("a stored file is not as long as when it was received")
    return receipt


def head_length(start: bytes) -> int:
    """Where the dataset begins; ValueError if this is not the start of a stored file."""
    if not start.startswith(_PREAMBLE):
        raise ValueError("no preamble")
    return int(_GROUP_AT + struct.unpack_from("<I", start, _GROUP_LENGTH_AT)[0])


def _receipt(values: dict[str, Any], file_key: str) -> Receipt:
    return Receipt(
        study_instance_uid=StudyUid(values["study"]),
        series_instance_uid=SeriesUid(values["series"]),
        sop_instance_uid=InstanceUid(values["instance"]),
        sop_class_uid=values["class"],
        transfer_syntax_uid=values["syntax"],
        file_key=file_key,
        size_bytes=int(values["bytes"]),
        content_hash=checked(values["content_hash"] if "content_hash" in values else OLDER + values["sha256"]),
        calling_ae_title=values["from"],
        peer_address=values["address"],
        received_at=datetime.fromisoformat(values["at"]),
    )


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    length = struct.pack("<2xI" if vr in _LONG_FORM else "<H", len(value))
    return struct.pack("<HH", 0x0002, element) + vr + length + value
