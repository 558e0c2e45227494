"""TLS inwards: DCMTK and our own SCU as senders, and everybody who must not come in."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pacs_node.dimse import command, pacs, scp, scu
from pacs_node.dimse.pdu import COMMAND, p_data
from pacs_node.domain.patience import Patience
from pacs_node.errors import PeerTlsFailed, PeerUnreachable, TlsInvalid
from pacs_node.tls import Fault, client_context
from tests.support.certificates import PAST, Authority, Issued, peer_tls, scp_tls, self_signed
from tests.support.instances import a_file, an_instance, encoded
from tests.support.nodes import eventually
from tests.support.peers import ReceivingNode, dcmtk, receiving_node
from tests.support.wire import PDU_BYTES, an_association_request

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node_itself(authority: Authority) -> Issued:
    return authority.issue("node")


@pytest.fixture(scope="module")
def sender(authority: Authority) -> Issued:
    return authority.issue("sender")


@pytest.fixture
def node(tmp_path: Path, authority: Authority, node_itself: Issued) -> Iterator[ReceivingNode]:
    """A node that receives from whoever has a certificate of the authority."""
    with receiving_node(tmp_path / "archive", tls=scp_tls(authority, node_itself)) as running:
        yield running


def refusals(node: ReceivingNode) -> list[object]:
    """Codes of the connections that were refused, when none is left."""
    eventually(lambda: not node.sockets(), timeout_s=10, every_s=0.01)
    return [values["code"] for name, values in node.events if name == "connection_refused"]


def knock(node: ReceivingNode, context: ssl.SSLContext) -> None:
    """Make a handshake, and ask for an association as far as one gets."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", node.server.port), 10) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(an_association_request())
        assert secured.recv(1) == b""


def stranger(authority: Authority, issued: Issued | None = None) -> ssl.SSLContext:
    """A client that believes the node, and shows this certificate or none."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if issued is not None:
        context.load_cert_chain(issued.certificate, issued.key)
    return context


# --- who comes in ---


def test_instances_of_every_size_come_in_over_tls_and_are_stored_as_they_were(
    node: ReceivingNode, tmp_path: Path, authority: Authority, sender: Issued
) -> None:
    """Sizes around a TLS record (16 KiB) and our receive buffer (256 KiB)."""
    sizes = [0, 1, 16384, 16385, 262144 + 7, 3 * MEBIBYTE]
    datasets = [an_instance(PixelData=bytes(size + size % 2)) for size in sizes]
    peer = replace(node.peer, tls=peer_tls(authority, sender))
    paths = [a_file(tmp_path, dataset) for dataset in datasets]
    assert [sent.status for sent in scu.store(peer, paths, calling_ae_title="CT1")] == [0] * len(sizes)
    for dataset in datasets:
        assert node.stored(str(dataset.SOPInstanceUID)) == encoded(dataset)
    eventually(lambda: not node.sockets(), timeout_s=10)
    [ended] = [values for name, values in node.events if name == "association_ended"]
    assert (ended["outcome"], ended["instances"]) == ("released", len(sizes))


def test_a_pdu_longer_than_the_receive_buffer_is_read_to_its_end(
    node: ReceivingNode, authority: Authority, sender: Issued
) -> None:
    """The rest of its last record (from 256 KiB on) is decrypted when nothing more arrives at the socket."""
    dataset = an_instance(PixelData=bytes(268_000))
    request = command.store_request(1, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    with (
        socket.create_connection(("127.0.0.1", node.server.port), 10) as connection,
        client_context(peer_tls(authority, sender)).wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(an_association_request())
        assert secured.recv(16384)[:1] == b"\x02"
        for pdu in (*p_data(1, COMMAND, request, PDU_BYTES), *p_data(1, 0, encoded(dataset), MEBIBYTE)):
            secured.sendall(pdu)
        assert secured.recv(16384)[:1] == b"\x04"
    assert node.stored(str(dataset.SOPInstanceUID)) == encoded(dataset)


@pytest.mark.services
def test_dcmtk_sends_over_tls(node: ReceivingNode, tmp_path: Path, authority: Authority, sender: Issued) -> None:
    path = a_file(tmp_path, an_instance("1.2.3", PixelData=bytes(MEBIBYTE)))
    tls = ("+tls", sender.key, sender.certificate, "+cf", authority.certificate)
    dcmtk("storescu", *tls, *node.address, path)
    assert node.receiver.flush()
    assert [receipt.sop_instance_uid for receipt in node.receipts] == ["1.2.3"]


def test_without_required_certificates_everybody_comes_in_but_wrong_ones_are_refused(
    tmp_path: Path, authority: Authority, node_itself: Issued, sender: Issued
) -> None:
    tls = scp_tls(authority, node_itself, is_required=False)
    with receiving_node(tmp_path / "archive", tls=tls) as node:
        for own in (None, sender):
            scu.echo(replace(node.peer, tls=peer_tls(authority, own)), calling_ae_title="CT1")
        knock(node, stranger(authority, self_signed(tmp_path, "alone")))
        assert refusals(node) == [Fault.UNKNOWN_AUTHORITY]


# --- who does not ---


def _old_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize(
    ("who", "fault"),
    [
        ("nobody", Fault.NO_CERTIFICATE),
        ("old", Fault.EXPIRED),
        ("another", Fault.UNKNOWN_AUTHORITY),
        ("alone", Fault.UNKNOWN_AUTHORITY),
    ],
)
def test_a_sender_whose_certificate_is_worth_nothing_is_refused(
    node: ReceivingNode, authority: Authority, tmp_path: Path, who: str, fault: Fault, maximum: ssl.TLSVersion
) -> None:
    shown: dict[str, Callable[[], Issued | None]] = {
        "nobody": lambda: None,
        "old": lambda: authority.issue("old", days=PAST),
        "another": lambda: Authority(tmp_path, "another").issue("sender"),
        "alone": lambda: self_signed(tmp_path, "alone"),
    }
    context = stranger(authority, shown[who]())
    context.maximum_version = maximum
    knock(node, context)
    assert refusals(node) == [fault]
    assert [name for name, _ in node.events] == ["connection_refused"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_older_versions_are_refused(
    node: ReceivingNode, authority: Authority, sender: Issued, version: ssl.TLSVersion
) -> None:
    context = stranger(authority, sender)
    _old_version(context, version)
    knock(node, context)
    assert refusals(node) == [Fault.OLD_VERSION]


@pytest.mark.parametrize(
    "words",
    [an_association_request(), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(4096)],
    ids=["dicom", "http", "almost", "zeros"],
)
def test_there_is_no_plain_port_any_more(node: ReceivingNode, words: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", node.server.port), 10)) as connection, suppress(OSError):
        connection.sendall(words)
        assert connection.recv(1) in (b"", b"\x15")  # nothing, or a TLS alert
    [code] = refusals(node)
    assert str(code).startswith("tls.")
    with pytest.raises(PeerUnreachable):
        scu.echo(node.peer, calling_ae_title="CT1")


def test_tls_to_a_plain_port_is_refused_and_leaves_nothing(
    tmp_path: Path, authority: Authority, sender: Issued
) -> None:
    with receiving_node(tmp_path / "archive") as node:
        with pytest.raises(PeerTlsFailed, match="does not speak TLS"):
            scu.echo(replace(node.peer, tls=peer_tls(authority, sender)), calling_ae_title="CT1")
        eventually(lambda: not node.sockets() and node.server.association_count == 0, timeout_s=10)
        scu.echo(node.peer, calling_ae_title="CT1")


def test_a_key_that_cannot_be_used_stops_the_start(authority: Authority, node_itself: Issued, tmp_path: Path) -> None:
    tls = replace(scp_tls(authority, node_itself), key=authority.issue("other").key)
    with pytest.raises(TlsInvalid, match="not a certificate and its key"), receiving_node(tmp_path, tls=tls):
        pass


# --- who takes long ---


def test_nobody_waits_for_the_handshakes_of_others(node: ReceivingNode, authority: Authority, sender: Issued) -> None:
    with ExitStack() as open_ones:
        for number in range(40):
            silent = open_ones.enter_context(socket.create_connection(("127.0.0.1", node.server.port), 10))
            silent.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        scu.echo(replace(node.peer, tls=peer_tls(authority, sender)), calling_ae_title="CT1", timeout_s=10)
        assert [name for name, _ in node.events if name == "connection_refused"] == []
    assert set(refusals(node)) == {Fault.NOT_TLS}


def test_a_handshake_that_never_ends_is_ended(tmp_path: Path, authority: Authority, node_itself: Issued) -> None:
    tls = scp_tls(authority, node_itself)
    with receiving_node(tmp_path / "archive", tls=tls, patience=Patience(handshake_s=0.2)) as node:
        with socket.create_connection(("127.0.0.1", node.server.port), 10) as silent:
            assert silent.recv(1) == b""
        assert refusals(node) == [Fault.TIMEOUT]


def test_connections_in_their_handshake_are_counted(tmp_path: Path, authority: Authority, node_itself: Issued) -> None:
    tls = scp_tls(authority, node_itself)
    with receiving_node(tmp_path / "archive", tls=tls, maximum_associations=1) as node, ExitStack() as open_ones:
        crowd = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", node.server.port), 10)) for _ in range(101)
        ]
        eventually(lambda: len(node.sockets()) == 101, timeout_s=10, every_s=0.02)
        with socket.create_connection(("127.0.0.1", node.server.port), 10) as one_more:
            assert one_more.recv(1) == b""
        crowd[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            crowd[0].recv(1)


def test_handshake_and_association_request_share_one_limit(
    tmp_path: Path, authority: Authority, node_itself: Issued, sender: Issued
) -> None:
    """The clock goes on by 20 s during the handshake and by 6 s after it; the limit is 25 s."""
    now_s = 0.0
    events: list[tuple[str, object]] = []
    settings = scp.ScpSettings(ae_title="NODE", host="127.0.0.1", port=0, tls=scp_tls(authority, node_itself))
    server = scp.serve(
        settings,
        pacs.Folder(tmp_path),
        lambda name, values: events.append((name, values.get("code"))),
        clock=lambda: now_s,
    )
    try:
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            eventually(lambda: server.handshake_count == 1, timeout_s=10, every_s=0.01)
            now_s = 20.0
            with client_context(peer_tls(authority, sender)).wrap_socket(
                connection, server_hostname="127.0.0.1"
            ) as secured:
                eventually(lambda: server.association_count == 1, timeout_s=10, every_s=0.01)
                now_s = 26.0
                assert secured.recv(16)[:1] in (b"", b"\x07")
        eventually(lambda: events, timeout_s=10, every_s=0.01)
        assert events == [("association_ended", "association.stalled")]
    finally:
        server.stop(grace_s=0.5)


def test_an_association_that_falls_silent_in_the_middle_of_a_record_ends(
    tmp_path: Path, authority: Authority, node_itself: Issued, sender: Issued
) -> None:
    """Reading half a record must not block the watchdog."""
    tls = scp_tls(authority, node_itself)
    patience = Patience(handshake_s=0.3)
    with receiving_node(tmp_path / "archive", tls=tls, patience=patience) as node:
        with socket.create_connection(("127.0.0.1", node.server.port), 10) as connection:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            engine = client_context(peer_tls(authority, sender)).wrap_bio(
                incoming, outgoing, server_hostname="127.0.0.1"
            )
            while True:
                try:
                    engine.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
            engine.write(an_association_request())
            connection.sendall(outgoing.read()[:-3])
            with suppress(OSError):
                while connection.recv(65536):
                    pass
        eventually(lambda: not node.sockets(), timeout_s=10)
        assert [values["code"] for _, values in node.events] == ["association.stalled"]
