"""The SCU: C-ECHO and C-STORE to a peer. Called through `node` and the checks."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs_node.dimse import command
from pacs_node.dimse.requestor import MOST_CONTEXTS, Peer, Requestor
from pacs_node.domain.status import SOP_CLASS_NOT_SUPPORTED, is_delivered, is_retryable
from pacs_node.errors import (
    InstanceUnreadable,
    PeerRefused,
    PeerRefusedContext,
    PeerRefusedInstance,
    PeerUnreachable,
    StorageFailed,
)

__all__ = ["EchoReport", "Peer", "Sent", "echo", "store"]

_VERIFICATION = "1.2.840.10008.1.1"
UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_GROUP_2_AT = 132 + 12
"""Where the group begins whose length (0002,0000) gives: after preamble, prefix and that element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoReport:
    """How long an association with one C-ECHO took."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An instance that the peer holds now; `status` is 0x0000, a warning, or that it had it before."""

    sop_instance_uid: str
    status: int


def echo(peer: Peer, *, calling_ae_title: str, timeout_s: float = 10.0) -> EchoReport:
    """Verify that the peer answers.

    Raises
    ------
    PeerUnreachable, PeerTimeout : no connection, or no answer
    PeerRefused : it rejects the association or answers with a failure
    PeerRefusedContext : it does not support Verification
    """
    started_s = time.monotonic()
    proposed = [(_VERIFICATION, [str(ImplicitVRLittleEndian)])]
    with Requestor(peer, calling_ae_title, proposed, timeout_s) as association:
        if not association.contexts:
            raise PeerRefusedContext("the peer does not support C-ECHO")
        response = association.exchange(1, command.echo_request(1, _VERIFICATION))
    if command.number(response, command.STATUS) != 0:
        raise PeerRefused("the peer answered C-ECHO with a failure")
    return EchoReport(seconds=time.monotonic() - started_s)


def accepted(
    peer: Peer, sop_class_uids: Sequence[str], *, calling_ae_title: str, timeout_s: float = 10.0
) -> dict[str, str]:
    """Ask the peer which SOP classes it takes, without sending anything.

    Returns
    -------
    the transfer syntax that it chose for each class that it takes

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused
    """
    proposed = [(uid, list(UNCOMPRESSED)) for uid in sop_class_uids]
    with Requestor(peer, calling_ae_title, proposed, timeout_s) as association:
        return {context.sop_class_uid: context.transfer_syntax_uid for context in association.contexts.values()}


def store(peer: Peer, paths: Sequence[Path], *, calling_ae_title: str, timeout_s: float = 30.0) -> tuple[Sent, ...]:
    """Store files at the peer, as they are if it takes their transfer syntax, else uncompressed.

    Parameters
    ----------
    paths : DICOM files; all go over one association
    timeout_s : for connecting, and for every answer

    Returns
    -------
    one for each path, in order; all are delivered

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused
    PeerRefusedContext : the peer does not take this SOP class in any transfer syntax that we can write
    PeerRefusedInstance : the peer answered with a failure; what was sent before is delivered
    InstanceUnreadable : a file is not DICOM
    StorageFailed : a file cannot be read
    """
    files = [_read(path) for path in paths]
    if not files:
        return ()
    with Requestor(peer, calling_ae_title, _proposed(files), timeout_s) as association:
        try:
            return tuple(_store(association, file, number % 0xFFFF + 1) for number, file in enumerate(files))
        except (PeerUnreachable, PeerRefused) as error:
            error.is_met = True
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_at: int


def _read(path: Path) -> _File:
    try:
        meta = read_file_meta_info(path)
        return _File(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            dataset_at=_GROUP_2_AT + meta.FileMetaInformationGroupLength,
        )
    except FileNotFoundError as error:
        raise InstanceUnreadable("a file to be sent is gone") from error
    except OSError as error:
        raise StorageFailed("the disk does not give a file to be sent") from error
    except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
        raise InstanceUnreadable("a file to be sent cannot be read as DICOM") from error


def _proposed(files: Sequence[_File]) -> list[tuple[str, list[str]]]:
    """A context for each transfer syntax as it is, and one for each class to convert to."""
    as_is = [(uid, [syntax]) for uid, syntax in dict.fromkeys((f.sop_class_uid, f.transfer_syntax_uid) for f in files)]
    converted = [(uid, list(UNCOMPRESSED)) for uid in dict.fromkeys(f.sop_class_uid for f in files)]
    return (as_is + converted)[:MOST_CONTEXTS]


def _store(association: Requestor, file: _File, message_id: int) -> Sent:
    context_id, transfer_syntax_uid = _chosen(association, file)
    dataset = _dataset(file, transfer_syntax_uid)
    request = command.store_request(message_id, file.sop_class_uid, file.sop_instance_uid)
    response = association.exchange(context_id, request, dataset)
    status = command.number(response, command.STATUS)
    if status is None:
        raise PeerRefused("the peer answered C-STORE without a status")
    if status == SOP_CLASS_NOT_SUPPORTED:
        raise PeerRefusedContext(sop_class_uid=file.sop_class_uid)
    if not is_delivered(status):
        raise PeerRefusedInstance(f"the peer answered C-STORE with 0x{status:04X}", retryable=is_retryable(status))
    return Sent(sop_instance_uid=file.sop_instance_uid, status=status)


def _chosen(association: Requestor, file: _File) -> tuple[int, str]:
    """The context that takes the file as it is, or else one to convert to."""
    accepted = {
        context.transfer_syntax_uid: number
        for number, context in association.contexts.items()
        if context.sop_class_uid == file.sop_class_uid
    }
    is_convertible = file.transfer_syntax_uid != ExplicitVRBigEndian  # pydicom does not swap the bytes of pixels
    for syntax in (file.transfer_syntax_uid, *(UNCOMPRESSED if is_convertible else ())):
        if syntax in accepted:
            return accepted[syntax], syntax
    raise PeerRefusedContext(sop_class_uid=file.sop_class_uid)


def _dataset(file: _File, transfer_syntax_uid: str) -> bytes | memoryview:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise StorageFailed("the disk does not give a file to be sent") from error
    if transfer_syntax_uid == file.transfer_syntax_uid:
        return memoryview(content)[file.dataset_at :]
    try:
        return _converted(content, transfer_syntax_uid)
    except (InvalidDicomError, AttributeError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise InstanceUnreadable("a file to be sent cannot be read or decompressed") from error


def _converted(content: bytes, transfer_syntax_uid: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    if dataset.file_meta.TransferSyntaxUID.is_compressed and "PixelData" in dataset:
        dataset.decompress(generate_instance_uid=False)
    encoded = DicomBytesIO()
    encoded.is_implicit_VR = transfer_syntax_uid == ImplicitVRLittleEndian
    encoded.is_little_endian = True
    write_dataset(encoded, dataset)
    return bytes(encoded.getvalue())
