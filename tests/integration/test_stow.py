"""STOW-RS to Orthanc's DICOMweb plug-in, and to servers that behave badly."""

from __future__ import annotations

import dataclasses
import io
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from pacs_node.dicomweb import stow
from pacs_node.dimse import scu
from pacs_node.domain.document import DocumentRole
from pacs_node.errors import (
    InstanceUnreadable,
    PeerRefused,
    PeerRefusedContext,
    PeerRefusedInstance,
    PeerTimeout,
    PeerUnreachable,
)
from pacs_node.report import compose
from tests.support.peers import Orthanc, orthanc
from tests.support.requests import softened, superseding
from tests.support.results import a_case, a_request, an_identity, options, read_back

Handler = Callable[[BaseHTTPRequestHandler, bytes], None]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that refuses to overwrite."""
    with orthanc(tmp_path_factory.mktemp("orthanc"), OverwriteInstances=False) as running:
        yield running


@pytest.fixture(scope="module")
def documents() -> list[Dataset]:
    """A SEG and a report."""
    return read_back(compose(a_request(a_case())))


@pytest.fixture
def files(documents: list[Dataset], tmp_path: Path) -> list[Path]:
    """The same as files."""
    paths = [tmp_path / f"{document.Modality}.dcm" for document in documents]
    for document, path in zip(documents, paths, strict=True):
        document.save_as(path, enforce_file_format=True)
    return paths


@contextmanager
def server(
    on_post: Handler, on_get: Handler | None = None, read: Callable[[BaseHTTPRequestHandler], bytes] | None = None
) -> Iterator[stow.Server]:
    """A server that answers as it is told; given up on after a second."""

    class Scripted(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            on_post(self, read(self) if read else self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            (on_get or _status(404))(self, b"")

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield stow.Server(url=f"http://127.0.0.1:{listening.server_port}/dicom-web", timeout_s=1.0)
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def _status(status: int, body: bytes = b"", media_type: str = "application/dicom+json") -> Handler:
    def answer(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", media_type)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def _instance(path: Path) -> Handler:
    """One instance, as a server gives it back."""
    body = b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--xyz--\r\n"
    return _status(200, body, 'multipart/related; type="application/dicom"; boundary=xyz')


@pytest.mark.services
def test_orthanc_holds_what_was_stored_to_the_last_bit(web: Orthanc, files: list[Path]) -> None:
    target = stow.Server(url=f"{web.url}/dicom-web/")
    stow.reach(target)
    stow.store(target, files)
    stow.store(target, files)  # again: nothing is lost, and nothing wrong with it
    for path in files:
        ours = pydicom.dcmread(path)
        assert _held(target, ours) == ours


@pytest.mark.services
@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_orthanc_holds_every_kind_of_document_to_the_last_bit(web: Orthanc, way: str, tmp_path: Path) -> None:
    request = superseding(softened(a_request(a_case(), identity=an_identity(pipeline=way))), tmp_path)
    composed = compose(dataclasses.replace(request, options=options(objects=frozenset(DocumentRole))))
    assert {document.role for document in composed} == set(DocumentRole)
    sent = read_back(composed)
    paths = [tmp_path / f"{number}.dcm" for number in range(len(sent))]
    for path, dataset in zip(paths, sent, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    target = stow.Server(url=f"{web.url}/dicom-web/")
    if way == "C-STORE":
        scu.store(web.peer, paths, calling_ae_title="PULMONODE")
    else:
        stow.store(target, paths)
    assert [dataset.SOPClassUID for dataset in sent if _held(target, dataset) != dataset] == []


def _held(target: stow.Server, ours: Dataset) -> Dataset:
    place = f"studies/{ours.StudyInstanceUID}/series/{ours.SeriesInstanceUID}/instances/{ours.SOPInstanceUID}"
    headers = {"Accept": 'multipart/related; type="application/dicom"'}
    request = urllib.request.Request(f"{target.url}{place}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return pydicom.dcmread(io.BytesIO(_content(response.read())))


def _content(body: bytes) -> bytes:
    """The only part of a multipart body."""
    boundary = body.lstrip().split(b"\r\n", 1)[0]
    return body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n" + boundary, 1)[0]


def test_each_instance_is_posted_whole_and_in_order(files: list[Path]) -> None:
    bodies: list[bytes] = []

    def keep(request: BaseHTTPRequestHandler, body: bytes) -> None:
        assert request.path == "/dicom-web/studies"
        bodies.append(body)
        _status(200)(request, body)

    with server(keep) as target:
        stow.store(target, files)
    assert [_content(body) for body in bodies] == [path.read_bytes() for path in files]


def test_authorization_is_sent_and_never_printed(files: list[Path]) -> None:
    seen: list[str | None] = []

    def look(request: BaseHTTPRequestHandler, body: bytes) -> None:
        seen.append(request.headers["Authorization"])
        _status(200)(request, body)

    with server(look) as target:
        secret = stow.Server(url=target.url, authorization="Bearer SECRET")
        stow.store(secret, files[:1])
    assert seen == ["Bearer SECRET"]
    assert "SECRET" not in repr(secret)


def test_a_conflict_with_the_same_content_is_delivered(files: list[Path]) -> None:
    with server(_status(409), _instance(files[0])) as target:
        stow.store(target, files[:1])


@pytest.mark.parametrize("other", ["changed", "missing", "rubbish"])
def test_a_conflict_with_anything_else_is_refused(files: list[Path], tmp_path: Path, other: str) -> None:
    changed = pydicom.dcmread(files[0])
    changed.ContentDescription = "something else"
    changed.save_as(tmp_path / "changed.dcm")
    answers = {"changed": _instance(tmp_path / "changed.dcm"), "missing": _status(404), "rubbish": _status(200, b"?")}
    with server(_status(409), answers[other]) as target, pytest.raises(PeerRefusedInstance) as caught:
        stow.store(target, files[:1])
    assert not caught.value.retryable


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_server_that_cannot_say_what_it_has_is_asked_again(files: list[Path], status: int) -> None:
    with server(_status(409), _status(status)) as target, pytest.raises(PeerRefused) as caught:
        stow.store(target, files[:1])
    assert caught.value.retryable


def test_a_slow_server_may_take_longer_than_the_timeout_for_all_of_a_large_instance(
    files: list[Path], tmp_path: Path
) -> None:
    large = pydicom.dcmread(files[0])
    large.PixelData = bytes(40 << 20)  # more than the buffers of a connection hold
    large.save_as(tmp_path / "large.dcm")

    def slow(self: BaseHTTPRequestHandler) -> bytes:
        rest = int(self.headers["Content-Length"])
        while rest > 0:
            rest -= len(self.rfile.read(min(rest, 1 << 20)))
            threading.Event().wait(0.15)  # 40 times: 6 s in all, but never 3 s without progress
        return b""

    with server(_status(200), read=slow) as target:
        stow.store(stow.Server(url=target.url, timeout_s=3.0), [tmp_path / "large.dcm"])


def test_a_server_that_does_not_take_the_class_says_so(files: list[Path], documents: list[Dataset]) -> None:
    body = b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [290]}}]}}'
    with server(_status(409, body)) as target, pytest.raises(PeerRefusedContext) as caught:
        stow.store(target, files)
    assert caught.value.sop_class_uid == documents[0].SOPClassUID


def test_a_redirect_is_not_followed_with_what_is_secret(files: list[Path]) -> None:
    def away(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(307)
        request.send_header("Location", "http://127.0.0.1:9/elsewhere")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with server(away) as target, pytest.raises(PeerRefused, match="307; check url"):
        stow.store(target, files)


def test_a_server_that_does_not_answer_times_out(files: list[Path]) -> None:
    done = threading.Event()
    with server(lambda request, body: done.wait(10) and None) as target, pytest.raises(PeerTimeout):
        try:
            stow.store(target, files)
        finally:
            done.set()


def test_an_answer_that_never_ends_is_given_up(files: list[Path]) -> None:
    def drip(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000000")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(bytes(1 << 16))
            if threading.Event().wait(0.1):
                return

    with server(drip) as target, pytest.raises(PeerTimeout):
        stow.store(target, files)


def test_a_server_that_is_not_there_is_unreachable(files: list[Path]) -> None:
    with pytest.raises(PeerUnreachable):
        stow.store(stow.Server(url="http://127.0.0.1:9/dicom-web", timeout_s=2), files)


def test_a_name_that_nobody_knows_is_unreachable(files: list[Path]) -> None:
    with pytest.raises(PeerUnreachable):
        stow.store(stow.Server(url="http://nobody.invalid/dicom-web", timeout_s=2), files)


def test_a_file_that_is_not_dicom_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no DICOM")
    with server(_status(200)) as target, pytest.raises(InstanceUnreadable):
        stow.store(target, [tmp_path / "text"])


@pytest.mark.parametrize(("status", "well"), [(200, True), (204, True), (401, False), (404, False), (500, False)])
def test_reaching_a_server_says_whether_it_would_talk_to_us(status: int, well: bool) -> None:
    with server(_status(200), _status(status)) as target:
        if well:
            stow.reach(target)
        else:
            with pytest.raises(PeerRefused, match=str(status)):
                stow.reach(target)
