"""TLS outwards: C-STORE to DCMTK, STOW-RS to an HTTPS server, and servers that must not be believed."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pacs_node.config import Destination, PeerTls
from pacs_node.dicomweb import stow
from pacs_node.dimse import scu
from pacs_node.errors import PeerRefused, PeerTlsFailed, PeerUnreachable, TlsInvalid
from pacs_node.node import peer_of, server_of
from pacs_node.tls import ADVICE, Fault
from tests.support.certificates import PAST, Authority, Issued, encrypted, peer_tls, self_signed
from tests.support.instances import a_file, an_instance
from tests.support.peers import scripted, storescp

WANTED = (
    ADVICE[Fault.NO_CERTIFICATE],
    ADVICE[Fault.REFUSED],
    "the peer closed the connection after the TLS handshake; it may not accept our certificate",
)
"""What may become of us at a peer that wants a certificate: with TLS 1.3 its alert may be lost to a reset."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Issued:
    return authority.issue("theirs")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Issued:
    return authority.issue("ours")


def echo(peer: scu.Peer, timeout_s: float = 10) -> None:
    scu.echo(peer, calling_ae_title="PULMONODE", timeout_s=timeout_s)


def refusal(peer: scu.Peer) -> str:
    with pytest.raises(PeerTlsFailed) as caught:
        echo(peer)
    return str(caught.value).removeprefix("no secure connection: ")


@contextmanager
def tls_peer(
    issued: Issued, tls: PeerTls, change: Callable[[ssl.SSLContext], None] | None = None
) -> Iterator[scu.Peer]:
    """A peer that makes the handshake with each connection, reads a little and closes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    if change is not None:
        change(context)

    def script(connection: socket.socket) -> None:
        connection.settimeout(10)
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with scripted(script) as peer:
        yield replace(peer, tls=tls)


# --- peers that are who they say ---


@pytest.mark.services
def test_dcmtk_takes_instances_over_tls_and_sees_our_certificate(
    tmp_path: Path, authority: Authority, theirs: Issued, ours: Issued
) -> None:
    path = a_file(tmp_path, an_instance("1.2.3"))
    options = ("+tls", theirs.key, theirs.certificate, "+cf", authority.certificate, "--require-peer-cert")
    with storescp(tmp_path / "received", *map(str, options), tls=peer_tls(authority, ours)) as peer:
        assert scu.store(peer, [path], calling_ae_title="PULMONODE") == (scu.Sent(sop_instance_uid="1.2.3", status=0),)
        assert len(list((tmp_path / "received").iterdir())) == 1
        assert refusal(replace(peer, tls=peer_tls(authority))) in WANTED
        with pytest.raises((PeerUnreachable, PeerRefused)):
            echo(replace(peer, tls=None))


def test_the_name_in_the_certificate_may_be_configured(authority: Authority, ours: Issued, tmp_path: Path) -> None:
    elsewhere = Authority(tmp_path, "elsewhere")
    named = elsewhere.issue("named", host="pacs.example")
    with tls_peer(named, peer_tls(elsewhere, server_name="pacs.example")) as peer:
        with pytest.raises(PeerTlsFailed, match="after the TLS handshake"):
            echo(peer)
        assert refusal(replace(peer, tls=peer_tls(elsewhere, server_name="other.example"))) == ADVICE[Fault.OTHER_NAME]


# --- peers that are not ---


def test_a_certificate_for_another_host_is_refused(authority: Authority, theirs: Issued) -> None:
    with tls_peer(theirs, peer_tls(authority, server_name="pacs.example")) as peer:
        assert refusal(peer) == ADVICE[Fault.OTHER_NAME]


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    with tls_peer(authority.issue("old", days=PAST), peer_tls(authority)) as peer:
        assert refusal(peer) == ADVICE[Fault.EXPIRED]


def test_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    with tls_peer(Authority(tmp_path, "another").issue("theirs"), peer_tls(authority)) as peer:
        assert refusal(peer) == ADVICE[Fault.UNKNOWN_AUTHORITY]


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_it_is_itself_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    alone = self_signed(tmp_path, "alone")
    with tls_peer(alone, peer_tls(authority)) as peer:
        assert refusal(peer) == ADVICE[Fault.UNKNOWN_AUTHORITY]
        with pytest.raises(PeerTlsFailed, match="after the TLS handshake"):
            echo(replace(peer, tls=PeerTls(authorities=alone.certificate)))


def test_the_authorities_of_the_system_do_not_vouch_for_ours(theirs: Issued, authority: Authority) -> None:
    with tls_peer(theirs, PeerTls()) as peer:
        assert refusal(peer) == ADVICE[Fault.UNKNOWN_AUTHORITY]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_older_versions_are_refused(authority: Authority, theirs: Issued, version: ssl.TLSVersion) -> None:
    def change(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version

    with tls_peer(theirs, peer_tls(authority), change) as peer:
        assert refusal(peer) == ADVICE[Fault.OLD_VERSION]


def test_cipher_suites_without_forward_secrecy_are_refused(authority: Authority, theirs: Issued) -> None:
    def change(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES256-SHA384")  # CBC: forward secrecy, but no authenticated encryption

    with tls_peer(theirs, peer_tls(authority), change) as peer:
        assert refusal(peer) == ADVICE[Fault.REFUSED]


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_peer_that_wants_a_certificate_says_so(authority: Authority, theirs: Issued, maximum: ssl.TLSVersion) -> None:
    def change(context: ssl.SSLContext) -> None:
        context.maximum_version = maximum
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.certificate)

    with tls_peer(theirs, peer_tls(authority), change) as peer:
        assert refusal(peer) in WANTED


@pytest.mark.parametrize(
    "answer", [b"", b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_a_peer_without_tls_is_told_nothing_but_a_handshake(authority: Authority, answer: bytes) -> None:
    received: list[bytes] = []

    def script(connection: socket.socket) -> None:
        received.append(connection.recv(65536))
        connection.sendall(answer)

    with scripted(script) as peer:
        assert refusal(replace(peer, tls=peer_tls(authority))) == ADVICE[Fault.NOT_TLS]
    assert received[0][0] == 0x16
    assert b"PULMONODE" not in received[0]


def test_a_handshake_that_drips_ends_in_time(authority: Authority) -> None:
    is_over = threading.Event()

    def script(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")
        with suppress(OSError):
            while not is_over.wait(0.05):
                connection.sendall(b"\x02")

    with scripted(script) as peer:
        try:
            with pytest.raises(PeerTlsFailed, match="took too long"):
                echo(replace(peer, tls=peer_tls(authority)), timeout_s=0.3)
        finally:
            is_over.set()


# --- our own files ---


def test_an_encrypted_key_needs_its_passphrase(
    tmp_path: Path, authority: Authority, ours: Issued, theirs: Issued
) -> None:
    locked = encrypted(ours, "open sesame")
    tls = peer_tls(authority, locked, key_passphrase="open sesame")
    with tls_peer(theirs, tls) as peer:
        with pytest.raises(PeerTlsFailed, match="after the TLS handshake"):
            echo(peer)
        for wrong in ("", "close sesame"):
            with pytest.raises(TlsInvalid) as caught:
                echo(replace(peer, tls=replace(tls, key_passphrase=wrong)))
            assert "key_passphrase does not open the key" in str(caught.value)
            assert "sesame" not in str(caught.value)


def test_a_key_that_everybody_can_read_is_refused(authority: Authority) -> None:
    careless = authority.issue("careless")
    careless.key.chmod(0o644)
    peer = scu.Peer(name="x", ae_title="X", host="127.0.0.1", port=1, tls=peer_tls(authority, careless))
    with pytest.raises(TlsInvalid, match="everybody on this machine can read this private key"):
        echo(peer)


@pytest.mark.parametrize("name", ["certificate", "key", "authorities"])
def test_a_file_that_cannot_be_used_is_named(authority: Authority, ours: Issued, tmp_path: Path, name: str) -> None:
    rubbish, absent = tmp_path / "rubbish.pem", tmp_path / "absent.pem"
    rubbish.write_text("rubbish")
    rubbish.chmod(0o600)
    for path in (rubbish, absent):
        tls = replace(peer_tls(authority, ours), **{name: path})
        with pytest.raises(TlsInvalid, match=str(path)):
            echo(scu.Peer(name="x", ae_title="X", host="127.0.0.1", port=1, tls=tls))


# --- STOW-RS ---


@contextmanager
def https_server(issued: Issued, authority: Authority | None = None) -> Iterator[str]:
    """An HTTPS server that finds nothing, and asks for a certificate if it has an authority."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_stow_believes_the_authorities_of_the_destination_only(
    authority: Authority, theirs: Issued, ours: Issued, tmp_path: Path
) -> None:
    another = Authority(tmp_path, "another")
    with https_server(theirs, authority) as url:
        stow.reach(stow.Server(url=url, tls=peer_tls(authority, ours)))
        for tls in (PeerTls(), peer_tls(another, ours), peer_tls(authority, ours, server_name="pacs.example")):
            with pytest.raises(PeerTlsFailed):
                stow.reach(stow.Server(url=url, tls=tls))


def test_stow_without_a_certificate_of_ours_is_refused_by_a_server_that_wants_one(
    authority: Authority, theirs: Issued
) -> None:
    with https_server(theirs, authority) as url, pytest.raises(PeerTlsFailed):
        stow.reach(stow.Server(url=url, tls=peer_tls(authority)))


def test_stow_refuses_an_expired_certificate(authority: Authority) -> None:
    old = authority.issue("old-web", days=PAST)
    with https_server(old) as url, pytest.raises(PeerTlsFailed, match="has expired"):
        stow.reach(stow.Server(url=url, tls=peer_tls(authority)))


def test_the_tls_of_a_destination_reaches_both_doors(authority: Authority, ours: Issued) -> None:
    tls = peer_tls(authority, ours)
    assert peer_of(Destination(name="a", ae_title="A", host="h", port=104, tls=tls)).tls == tls
    assert server_of(Destination(name="b", url="https://h/", tls=tls)).tls == tls
