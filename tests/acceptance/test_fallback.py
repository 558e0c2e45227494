"""What a destination does not take falls back on the wire, and the node says so where people look.

One study is sent to two destinations: a PACS of the library that takes Enhanced SR and secondary captures only, and a
DICOMweb server that answers 0x0122 (SOP class not supported) for every SEG.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.config import Destination
from tests.support.ct_instances import uid
from tests.support.nodes import RunningNode, eventually, running_node
from tests.support.series import Ball, a_chest_series

pytestmark = pytest.mark.slow


@dataclass(slots=True, kw_only=True)
class Peer:
    """A destination, and what it was sent, in the order in which it came."""

    destination: Destination
    received: list[Dataset] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The SOP classes of what it holds, each once."""
        return list(dict.fromkeys(str(item.SOPClassUID) for item in self.received))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A study after its delivery to both."""

    node: RunningNode
    old: Peer
    web: Peer

    def deliveries(self) -> dict[str, Any]:
        """What the node says of them, by destination."""
        return {item["destination"]: item for item in self.node.asked("job", "show", "1")["deliveries"]}


@contextmanager
def old_pacs() -> Iterator[Peer]:
    """Takes Enhanced SR and secondary captures."""
    entity = AE("OLDPACS")
    for sop_class_uid in (EnhancedSRStorage, SecondaryCaptureImageStorage, Verification):
        entity.add_supported_context(sop_class_uid)

    def keep(event: evt.Event) -> int:
        peer.received.append(event.dataset)
        return 0x0000

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    port = server.socket.getsockname()[1]
    peer = Peer(destination=Destination(name="old", ae_title="OLDPACS", host="127.0.0.1", port=port))
    try:
        yield peer
    finally:
        server.shutdown()


@contextmanager
def web_without_seg() -> Iterator[Peer]:
    """Stores everything but SEG."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            dataset = dcmread(io.BytesIO(body.split(b"\r\n\r\n", 1)[1]))
            if dataset.SOPClassUID == SegmentationStorage:
                failed = {"00081155": _value("UI", dataset.SOPInstanceUID), "00081197": _value("US", 0x0122)}
                self._answer(409, json.dumps({"00081198": _value("SQ", failed)}).encode())
            else:
                peer.received.append(dataset)
                self._answer(200, b"{}")

        def do_GET(self) -> None:
            self._answer(200, b"[]")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    peer = Peer(destination=Destination(name="web", url=f"http://127.0.0.1:{server.server_port}/dicom-web"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _value(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    folder = tmp_path_factory.mktemp("fallback")
    ball = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
    paths = a_chest_series(folder / "ct", slices=20, spacing_mm=5.0, balls=[ball])
    with (
        old_pacs() as old,
        web_without_seg() as web,
        running_node(folder / "node", destinations=[old.destination, web.destination]) as node,
    ):
        node.send(paths)
        eventually(lambda: node.states(DELIVERIES) == {"delivered": 2}, timeout_s=120)
        yield Delivered(node=node, old=old, web=web)


def test_a_pacs_that_takes_only_enhanced_sr_and_captures_gets_these(delivered: Delivered) -> None:
    assert delivered.old.classes == [EnhancedSRStorage, SecondaryCaptureImageStorage]
    assert delivered.old.received[0].StudyInstanceUID == uid("1")
    assert len(delivered.old.received) == 1 + 2  # the page, and a picture of the nodule


def test_a_web_server_that_refuses_seg_by_its_failure_reason_gets_captures(delivered: Delivered) -> None:
    assert delivered.web.classes == [Comprehensive3DSRStorage, SecondaryCaptureImageStorage]
    assert len(delivered.web.received) == 1 + 2


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("old", ["captures take the place of seg", "sr is sent as enhanced SR"]),
        ("web", ["captures take the place of seg"]),
    ],
)
def test_the_delivery_says_in_its_history_what_was_replaced(
    delivered: Delivered, destination: str, said: list[str]
) -> None:
    (warning,) = [line for line in delivered.deliveries()[destination]["history"] if line["code"]]
    assert (warning["event"], warning["code"]) == ("accept", "delivery.fallback")
    assert [text for text in said if text in warning["text"]] == said
    assert ("sr is sent" in warning["text"]) == (destination == "old")


@pytest.mark.parametrize("command", [("job", "show", "1"), ("study", "show", uid("1"))], ids=["job", "study"])
def test_the_warning_is_printed_for_people(delivered: Delivered, command: tuple[str, ...]) -> None:
    printed = delivered.node.told(*command).stdout
    words = " ".join(printed.translate({ord(line): " " for line in "│┃|"}).split())
    assert words.count("delivery.fallback") == 2
    assert "captures take the place of seg, which the destination does not take" in words
