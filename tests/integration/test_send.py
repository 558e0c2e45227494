"""Sending to real peers, and every way in which a peer can fail to take something."""

from __future__ import annotations

import json
import socket
import struct
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from pacs_node.demo.pacs import free_port
from pacs_node.dicomweb import stow
from pacs_node.dimse import pacs, scu
from pacs_node.errors import (
    InstanceUnreadable,
    NodeError,
    PeerRefused,
    PeerRefusedContext,
    PeerRefusedInstance,
    PeerTimeout,
    PeerUnreachable,
    StorageFailed,
)
from tests.support.instances import a_file, an_instance
from tests.support.peers import dcmtk, orthanc, scripted, storescp
from tests.support.wire import ABORT

EXPLICIT = str(ExplicitVRLittleEndian)


def send(peer: scu.Peer, *paths: Path, timeout_s: float = 10) -> tuple[scu.Sent, ...]:
    return scu.store(peer, paths, calling_ae_title="PULMONODE", timeout_s=timeout_s)


@contextmanager
def pynetdicom_scp(
    status: int = 0, *, contexts: tuple[str, ...] = (CTImageStorage,), **limits: int
) -> Iterator[scu.Peer]:
    """An SCP of the library that answers every C-STORE with this status."""
    entity = AE(ae_title="PYNETDICOM")
    for sop_class_uid in (*contexts, Verification):
        entity.add_supported_context(sop_class_uid, [EXPLICIT, str(ImplicitVRLittleEndian)])
    for name, value in limits.items():
        setattr(entity, name, value)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: status)])
    try:
        yield scu.Peer(name="scp", ae_title="PYNETDICOM", host="127.0.0.1", port=server.socket.getsockname()[1])
    finally:
        server.shutdown()


# --- peers that take what is sent ---


@pytest.mark.services
def test_orthanc_holds_what_was_sent(tmp_path: Path) -> None:
    paths = [a_file(tmp_path, an_instance(PatientID="1")) for _ in range(3)]
    with orthanc(tmp_path / "orthanc") as running:
        assert scu.echo(running.peer, calling_ae_title="PULMONODE").seconds < 10
        sent = send(running.peer, *paths)
        assert [item.status for item in sent] == [0, 0, 0]
        assert [item.status for item in send(running.peer, *paths)] == [0, 0, 0]
        with urllib.request.urlopen(f"{running.url}/instances?expand") as answer:
            held = {instance["MainDicomTags"]["SOPInstanceUID"] for instance in json.load(answer)}
    assert held == {item.sop_instance_uid for item in sent}


@pytest.mark.services
def test_storescp_with_default_settings_loses_no_response(tmp_path: Path) -> None:
    paths = [a_file(tmp_path, an_instance(PixelData=bytes(100_000))) for _ in range(200)]
    with storescp(tmp_path / "taken") as peer:
        sent = send(peer, *paths)
    assert [item.status for item in sent] == [0] * 200
    assert len(list((tmp_path / "taken").iterdir())) == 200


@pytest.mark.services
def test_a_compressed_file_is_sent_as_it_is(tmp_path: Path) -> None:
    plain, file = a_file(tmp_path, an_instance(PixelRepresentation=0)), tmp_path / "compressed.dcm"
    dcmtk("dcmcjpls", plain, file)
    with storescp(tmp_path / "taken", "+xt") as peer:
        send(peer, file)
    [taken] = [pydicom.dcmread(path) for path in (tmp_path / "taken").iterdir()]
    assert taken.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert taken == pydicom.dcmread(file)


@pytest.mark.services
@pytest.mark.parametrize(
    ("option", "syntax"),
    [("+xe", ExplicitVRLittleEndian), ("+xi", ImplicitVRLittleEndian)],
    ids=["explicit", "implicit"],
)
def test_a_peer_that_cannot_take_it_compressed_gets_the_same_pixels(tmp_path: Path, option: str, syntax: str) -> None:
    dataset = an_instance(PixelRepresentation=0)
    plain, file = a_file(tmp_path, dataset), tmp_path / "compressed.dcm"
    dcmtk("dcmcjpls", plain, file)
    with storescp(tmp_path / "taken", option) as peer:
        send(peer, file)
    [taken] = [pydicom.dcmread(path) for path in (tmp_path / "taken").iterdir()]
    assert taken.file_meta.TransferSyntaxUID == syntax
    assert taken.PixelData == dataset.PixelData
    assert taken.SOPInstanceUID == pydicom.dcmread(file).SOPInstanceUID


def test_pdus_are_as_short_as_the_peer_wants_them(tmp_path: Path) -> None:
    path = a_file(tmp_path, an_instance(PixelData=bytes(100_000)))
    with pynetdicom_scp(maximum_pdu_size=4096) as peer:
        assert send(peer, path)[0].status == 0


def test_the_small_pacs_keeps_files_by_their_uid(tmp_path: Path) -> None:
    dataset = an_instance("1.2.3", PixelRepresentation=0)
    server = pacs.start(tmp_path / "pacs", ae_title="PACS", port=0)
    peer = scu.Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=server.port)
    try:
        assert scu.echo(peer, calling_ae_title="PULMONODE").seconds < 10
        assert send(peer, a_file(tmp_path, dataset)) == (scu.Sent(sop_instance_uid="1.2.3", status=0),)
    finally:
        server.stop()
    assert [path.name for path in (tmp_path / "pacs").iterdir()] == ["1.2.3.dcm"]
    stored = pydicom.dcmread(tmp_path / "pacs" / "1.2.3.dcm")
    assert stored == pydicom.dcmread(a_file(tmp_path, dataset))
    assert stored.file_meta.TransferSyntaxUID == EXPLICIT


# --- what the peer answers ---


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB007, 0x0107, 0x0111])
def test_success_warning_and_duplicate_are_delivered(tmp_path: Path, status: int) -> None:
    paths = [a_file(tmp_path, an_instance()) for _ in range(2)]
    with pynetdicom_scp(status) as peer:
        assert [item.status for item in send(peer, *paths)] == [status, status]


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(0xA700, True), (0xA701, True), (0x0110, True), (0xA900, False), (0xC000, False)],
)
def test_a_failure_says_whether_to_try_again(tmp_path: Path, status: int, retryable: bool) -> None:
    path = a_file(tmp_path, an_instance())
    with pynetdicom_scp(status) as peer, pytest.raises(PeerRefusedInstance, match=f"0x{status:04X}") as caught:
        send(peer, path)
    assert caught.value.retryable is retryable


def test_a_class_that_the_peer_refuses_only_when_it_is_sent_is_refused_by_name(tmp_path: Path) -> None:
    instance = an_instance()
    with pynetdicom_scp(0x0122) as peer, pytest.raises(PeerRefusedContext) as caught:
        send(peer, a_file(tmp_path, instance))
    assert caught.value.sop_class_uid == instance.SOPClassUID


def test_a_class_that_the_peer_does_not_take_is_refused(tmp_path: Path) -> None:
    path = a_file(tmp_path, an_instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4"))
    with pynetdicom_scp() as peer, pytest.raises(PeerRefusedContext):
        send(peer, path)


def test_big_endian_is_sent_as_it_is_or_not_at_all(tmp_path: Path) -> None:
    path = a_file(tmp_path, an_instance(), ExplicitVRBigEndian)
    with pynetdicom_scp() as peer, pytest.raises(PeerRefusedContext):
        send(peer, path)


def test_a_peer_without_verification_refuses_echo() -> None:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_supported_context(CTImageStorage)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    peer = scu.Peer(name="scp", ae_title="PYNETDICOM", host="127.0.0.1", port=server.socket.getsockname()[1])
    try:
        with pytest.raises(PeerRefusedContext):
            scu.echo(peer, calling_ae_title="PULMONODE")
    finally:
        server.shutdown()


def test_a_rejection_is_passed_on_in_its_words(tmp_path: Path) -> None:
    with pynetdicom_scp(require_called_aet=True) as peer:
        other = scu.Peer(name="scp", ae_title="ANOTHER", host=peer.host, port=peer.port)
        with pytest.raises(PeerRefused, match="[Cc]alled AE title not recognised"):
            scu.echo(other, calling_ae_title="PULMONODE")


def test_a_file_that_is_not_dicom_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"x" * 500)
    with pytest.raises(InstanceUnreadable):
        send(scu.Peer(name="nobody", ae_title="NOBODY", host="127.0.0.1", port=free_port()), tmp_path / "x.dcm")


# --- peers that fail ---


def test_nobody_listening_is_unreachable() -> None:
    peer = scu.Peer(name="nobody", ae_title="NOBODY", host="127.0.0.1", port=free_port())
    with pytest.raises(PeerUnreachable):
        scu.echo(peer, calling_ae_title="PULMONODE")


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(PeerUnreachable):
        scu.echo(scu.Peer(name="x", ae_title="X", host="nowhere.invalid", port=104), calling_ae_title="PULMONODE")


def accept(connection: socket.socket) -> None:
    """Accept context 1 in Explicit VR Little Endian, whatever was proposed."""
    connection.recv(65536)
    syntax = EXPLICIT.encode()
    result = bytes([1, 0, 0, 0]) + struct.pack(">BxH", 0x40, len(syntax)) + syntax
    user = struct.pack(">BxHI", 0x51, 4, 16384) + struct.pack(">BxH", 0x52, 7) + b"1.2.3.4"
    items = struct.pack(">BxH", 0x10, 21) + b"1.2.840.10008.3.1.1.1"
    items += struct.pack(">BxH", 0x21, len(result)) + result + struct.pack(">BxH", 0x50, len(user)) + user
    body = struct.pack(">H2x", 1) + bytes(16) + b"PULMONODE".ljust(16) + bytes(32) + items
    connection.sendall(struct.pack(">BxI", 2, len(body)) + body)


def drain(connection: socket.socket) -> None:
    """Read until the other end closes."""
    while connection.recv(65536):
        pass


def silent(connection: socket.socket) -> None:
    drain(connection)


def silent_after_accepting(connection: socket.socket) -> None:
    accept(connection)
    drain(connection)


def half_an_answer(connection: socket.socket) -> None:
    accept(connection)
    connection.sendall(b"\x04\x00\x00\x00")
    drain(connection)


def dripping(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(struct.pack(">BxI", 2, 4096))
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def closing(connection: socket.socket) -> None:
    accept(connection)


def aborting(connection: socket.socket) -> None:
    accept(connection)
    connection.recv(65536)
    connection.sendall(ABORT)
    drain(connection)


def speaking_http(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    drain(connection)


def accepting_garbage(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(struct.pack(">BxI", 2, 80) + b"\xff" * 80)
    drain(connection)


def answering_garbage(connection: socket.socket) -> None:
    accept(connection)
    connection.recv(65536)
    connection.sendall(struct.pack(">BxIIBB", 4, 8, 4, 1, 3) + b"ab")
    drain(connection)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (silent, PeerTimeout),
        (silent_after_accepting, PeerTimeout),
        (half_an_answer, PeerTimeout),
        (closing, PeerUnreachable),
        (aborting, PeerRefused),
        (speaking_http, PeerRefused),
        (accepting_garbage, PeerRefused),
        (answering_garbage, PeerRefused),
    ],
)
def test_a_peer_that_fails_ends_the_sending_in_time(
    tmp_path: Path, script: Callable[[socket.socket], None], expected: type[NodeError]
) -> None:
    path = a_file(tmp_path, an_instance())
    started_s = time.monotonic()
    with scripted(script) as peer, pytest.raises(expected) as caught:
        send(peer, path, timeout_s=0.5)
    assert caught.value.retryable
    assert time.monotonic() - started_s < 5


def test_a_peer_that_drips_is_given_up_in_time(tmp_path: Path) -> None:
    path = a_file(tmp_path, an_instance())
    with scripted(dripping) as peer, pytest.raises(PeerTimeout):
        send(peer, path, timeout_s=0.5)


def test_a_peer_that_stops_reading_is_given_up_in_time(tmp_path: Path) -> None:
    path = a_file(tmp_path, an_instance(PixelData=bytes(30_000_000)))
    done: list[bool] = []

    def stops_reading(connection: socket.socket) -> None:
        accept(connection)
        while not done:
            time.sleep(0.02)

    with scripted(stops_reading) as peer:
        try:
            with pytest.raises(PeerTimeout):
                send(peer, path, timeout_s=0.5)
        finally:
            done.append(True)


def test_a_release_that_is_not_answered_does_not_undo_the_delivery(tmp_path: Path) -> None:
    """The peer answers the C-STORE with success and vanishes."""
    path = a_file(tmp_path, an_instance())
    answer = struct.pack("<HHI", 0, 0x0100, 2) + struct.pack("<H", 0x8001)
    answer += struct.pack("<HHIH", 0, 0x0120, 2, 1) + struct.pack("<HHIH", 0, 0x0800, 2, 0x0101)
    answer += struct.pack("<HHIH", 0, 0x0900, 2, 0)

    def script(connection: socket.socket) -> None:
        accept(connection)
        connection.recv(65536)
        connection.sendall(struct.pack(">BxIIBB", 4, len(answer) + 6, len(answer) + 2, 1, 3) + answer)

    with scripted(script) as peer:
        assert [item.status for item in send(peer, path)] == [0]


@pytest.mark.parametrize(
    "store",
    [
        lambda path: send(scu.Peer(name="p", ae_title="P", host="127.0.0.1", port=1), path),
        lambda path: stow.store(stow.Server(url="http://127.0.0.1:1"), [path]),
    ],
    ids=["C-STORE", "STOW-RS"],
)
def test_a_result_that_the_disk_does_not_give_may_be_sent_later(store: Callable[[Path], object]) -> None:
    with pytest.raises(StorageFailed) as failed:
        store(Path("/proc/self/mem"))  # which can be opened, and is an I/O error to whoever reads it
    assert failed.value.retryable
    with pytest.raises(InstanceUnreadable):
        store(Path("/proc/self/gone"))
