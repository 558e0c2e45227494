"""Receiving from real peers: what they send is stored as sent, and what cannot be is answered for what it is."""

from __future__ import annotations

import hashlib
import resource
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RawDataStorage,
    RLELossless,
)
from pynetdicom import AE, build_context
from pynetdicom.dul import DULServiceProvider
from pynetdicom.sop_class import Verification

from pacs_node.archive.files import InstanceFiles
from pacs_node.config import Caller
from pacs_node.dimse import scu
from pacs_node.dimse.requestor import Requestor
from pacs_node.errors import ConfigInvalid, PeerRefused, PeerUnreachable
from tests.support.instances import PATIENT_NAME, a_file, an_instance, encoded, in_syntax
from tests.support.nodes import eventually
from tests.support.peers import AE_TITLE, ReceivingNode, dcmtk, receiving_node, sent

EXPLICIT = str(ExplicitVRLittleEndian)
MEBIBYTE = 1 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    """A node that receives from everybody."""
    with receiving_node(tmp_path / "archive") as running:
        yield running


@contextmanager
def opened(
    node: ReceivingNode, *syntaxes: str, sop_class_uid: str = CTImageStorage, timeout_s: float = 10
) -> Iterator[Requestor]:
    """An association for one SOP class; the transfer syntaxes are contexts 1, 3, 5 ..."""
    proposed = [(sop_class_uid, [syntax]) for syntax in syntaxes or (EXPLICIT,)]
    with Requestor(node.peer, "CT1", proposed, timeout_s) as association:
        yield association


# --- DCMTK as it comes ---


@pytest.mark.services
def test_echoscu_is_answered(node: ReceivingNode) -> None:
    assert "Received Echo Response (Success)" in dcmtk("echoscu", "-v", *node.address)


@pytest.mark.services
@pytest.mark.parametrize(
    ("option", "tool", "syntax"),
    [
        ("-xe", ("dcmconv", "+te"), ExplicitVRLittleEndian),
        ("-xi", ("dcmconv", "+ti"), ImplicitVRLittleEndian),
        ("-xb", ("dcmconv", "+tb"), ExplicitVRBigEndian),
        ("-xd", ("dcmconv", "+td"), DeflatedExplicitVRLittleEndian),
        ("-xs", ("dcmcjpeg",), JPEGLosslessSV1),
        ("-xt", ("dcmcjpls",), JPEGLSLossless),
        ("-xr", ("dcmcrle",), RLELossless),
    ],
)
def test_storescu_is_stored_in_the_transfer_syntax_it_sends(
    node: ReceivingNode, tmp_path: Path, option: str, tool: tuple[str, ...], syntax: UID
) -> None:
    plain, file = a_file(tmp_path, an_instance(PixelRepresentation=0)), tmp_path / "sent.dcm"
    dcmtk(*tool, plain, file)
    dcmtk("storescu", option, *node.address, file)
    [stored] = [pydicom.dcmread(node.root / key) for key in InstanceFiles(node.root).scan()]
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored == pydicom.dcmread(file)
    assert eventually(lambda: [receipt.transfer_syntax_uid for receipt in node.receipts]) == [syntax]


@pytest.mark.services
def test_many_instances_of_one_sender_are_stored(node: ReceivingNode, tmp_path: Path) -> None:
    files = [a_file(tmp_path, an_instance()) for _ in range(50)]
    dcmtk("storescu", *node.address, *files)
    assert node.receiver.flush()
    assert len(node.receipts) == 50
    assert dcmtk("storescu", *node.address, *files) == ""
    assert node.receiver.flush()
    assert len({receipt.sop_instance_uid for receipt in node.receipts}) == len(node.files()) == 50


def test_the_loop_of_the_library_stands_still_while_instances_arrive(
    node: ReceivingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would yield the processor each time that bytes arrive."""
    turns: list[None] = []
    really_turned = DULServiceProvider._process_recv_primitive

    def turned(provider: DULServiceProvider) -> bool:
        turns.append(None)
        return bool(really_turned(provider))

    monkeypatch.setattr(DULServiceProvider, "_process_recv_primitive", turned)
    with opened(node, EXPLICIT) as association:
        assert sent(association, an_instance()) == 0
        before = len(turns)
        assert [sent(association, an_instance(PixelData=bytes(300_000))) for _ in range(5)] == [0] * 5
        assert len(turns) == before > 0


@pytest.mark.services
def test_dcmtk_hears_why_it_is_rejected(tmp_path: Path) -> None:
    callers = (Caller(ae_title="CT1", addresses=("127.0.0.0/8",)), Caller(ae_title="CT2", addresses=("192.0.2.1",)))
    with receiving_node(tmp_path, callers=callers) as node:
        host = ("127.0.0.1", str(node.server.port))
        dcmtk("echoscu", "-aet", "CT1", *node.address)
        unknown = "Calling AE Title Not Recognized"
        assert unknown in dcmtk("echoscu", "-aet", "CT2", *node.address, check=False)
        assert unknown in dcmtk("echoscu", "-aet", "CT3", *node.address, check=False)
        called = dcmtk("echoscu", "-aet", "CT1", "-aec", "ANOTHER", *host, check=False)
        assert "Called AE Title Not Recognized" in called


# --- any SOP class, any transfer syntax, as sent ---


@pytest.mark.parametrize("syntaxes", [AllTransferSyntaxes[:20], AllTransferSyntaxes[20:]], ids=["first", "last"])
def test_every_transfer_syntax_is_stored_byte_by_byte(node: ReceivingNode, syntaxes: Sequence[UID]) -> None:
    with opened(node, *map(str, syntaxes)) as association:
        for number, syntax in enumerate(syntaxes):
            dataset = an_instance()
            is_deflated = "Deflate" in syntax.keyword
            content = encoded(dataset, DeflatedExplicitVRLittleEndian if is_deflated else syntax)
            assert sent(association, dataset, content, 2 * number + 1) == 0
            assert node.stored(dataset.SOPInstanceUID) == content


def test_pynetdicom_stores_every_encoding(node: ReceivingNode) -> None:
    syntaxes = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, JPEGLSLossless]
    entity = AE(ae_title="CT1")
    entity.requested_contexts = [build_context(CTImageStorage, syntax) for syntax in syntaxes]
    association = entity.associate("127.0.0.1", node.server.port, ae_title=AE_TITLE)
    for syntax in syntaxes:
        dataset = an_instance()
        assert association.send_c_store(in_syntax(dataset, syntax)).Status == 0
        assert node.stored(dataset.SOPInstanceUID) == encoded(dataset, syntax)
    association.release()


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        MRImageStorage,
        BasicTextSRStorage,
        RawDataStorage,
        "1.2.840.10008.5.1.4.1.1.66.7",
        "1.2.840.10008.5.1.4.1.1.3",
        "1.3.12.2.1107.5.9.1",
    ],
    ids=["MR", "SR", "raw data", "label map", "retired", "private"],
)
def test_every_storage_class_is_stored(node: ReceivingNode, sop_class_uid: str) -> None:
    dataset = an_instance(SOPClassUID=sop_class_uid)
    with opened(node, sop_class_uid=sop_class_uid) as association:
        assert sent(association, dataset) == 0
    assert node.stored(dataset.SOPInstanceUID) == encoded(dataset)
    assert eventually(lambda: [receipt.sop_class_uid for receipt in node.receipts]) == [sop_class_uid]


def test_a_large_instance_is_stored(node: ReceivingNode) -> None:
    dataset = an_instance(Rows=8192, Columns=4096, PixelData=Random(1).randbytes(64 * MEBIBYTE))
    content = encoded(dataset)
    with opened(node) as association:
        assert sent(association, dataset, content) == 0
    assert hashlib.sha256(node.stored(dataset.SOPInstanceUID)).digest() == hashlib.sha256(content).digest()


def test_the_proposed_transfer_syntax_that_the_sender_prefers_is_chosen(node: ReceivingNode) -> None:
    proposed = [(CTImageStorage, [str(JPEGLSLossless), EXPLICIT]), (CTImageStorage, [str(ImplicitVRLittleEndian)])]
    with Requestor(node.peer, "CT1", proposed, 10) as association:
        accepted = {number: context.transfer_syntax_uid for number, context in association.contexts.items()}
    assert accepted == {1: JPEGLSLossless, 3: ImplicitVRLittleEndian}


def test_a_service_that_is_not_offered_is_not_accepted(node: ReceivingNode) -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    proposed = [(find, [EXPLICIT]), (CTImageStorage, ["1.2.840.113619.5.2"]), (str(Verification), [EXPLICIT])]
    with Requestor(node.peer, "CT1", proposed, 10) as association:
        assert [context.sop_class_uid for context in association.contexts.values()] == [Verification]


# --- answers ---


def test_the_same_again_succeeds_and_other_content_does_not(node: ReceivingNode) -> None:
    first, other = an_instance("1.2.3"), an_instance("1.2.3", Rows=9)
    with opened(node) as association:
        assert [sent(association, d) for d in (first, first, other, first)] == [0, 0, 0x0111, 0]
    assert node.stored("1.2.3") == encoded(first)
    assert [path.read_bytes().endswith(encoded(other)) for path in (node.root / "conflicts").iterdir()] == [True]
    assert [values["code"] for name, values in node.events if name == "instance_refused"] == ["instance.conflict"]
    assert node.receiver.flush()
    assert len(set(node.receipts)) == 1


def test_refusals_have_their_status_and_the_association_goes_on(node: ReceivingNode) -> None:
    good, wrong, empty = an_instance(), an_instance(), an_instance()
    mismatch = encoded(an_instance())
    empty.SOPInstanceUID = ""
    with opened(node) as association:
        statuses = [
            sent(association, wrong, mismatch),
            sent(association, empty, encoded(good)),
            sent(association, wrong, b"no dataset at all"),
            sent(association, wrong, encoded(wrong)[:100]),
            sent(association, an_instance(SOPClassUID=MRImageStorage)),
            sent(association, good),
        ]
    assert statuses == [0xA900, 0xA900, 0xC000, 0xC000, 0xA900, 0]
    assert len(node.files()) == 1


def test_below_the_watermark_nothing_is_taken_and_echo_is_answered(tmp_path: Path) -> None:
    with receiving_node(tmp_path, minimum_free_bytes=1 << 62) as node:
        with opened(node) as association:
            assert sent(association, an_instance()) == 0xA700
        scu.echo(node.peer, calling_ae_title="CT1")
        assert node.files() == []


def test_a_full_disk_is_out_of_resources_until_there_is_room_again(node: ReceivingNode) -> None:
    """The kernel refuses to let any file grow beyond half of the instance, as a full disk would."""
    dataset = an_instance(PixelData=bytes(2 * MEBIBYTE))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(node) as association:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEBIBYTE, before[1]))
        try:
            assert sent(association, dataset) == 0xA700
            assert node.files() == []
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert sent(association, dataset) == 0
    assert node.stored(dataset.SOPInstanceUID) == encoded(dataset)


# --- many at once ---


def test_sixty_four_associations_are_served_at_once(node: ReceivingNode) -> None:
    datasets = [an_instance() for _ in range(64)]
    together = threading.Barrier(65)

    def store(dataset: Dataset) -> int | None:
        with opened(node, timeout_s=60) as association:
            together.wait(60)
            status = sent(association, dataset)
            together.wait(60)
            return status

    with ThreadPoolExecutor(64) as pool:
        statuses = [pool.submit(store, dataset) for dataset in datasets]
        together.wait(60)
        together.wait(60)
        assert scu.echo(node.peer, calling_ae_title="CT1").seconds < 10
        assert [status.result() for status in statuses] == [0] * 64
    assert all(node.stored(dataset.SOPInstanceUID) == encoded(dataset) for dataset in datasets[:5])
    assert len(node.files()) == 64


def test_one_association_too_many_is_rejected_for_now(tmp_path: Path) -> None:
    with receiving_node(tmp_path, maximum_associations=2) as node:
        with opened(node), opened(node), pytest.raises(PeerRefused, match="[Ll]ocal limit"):
            scu.echo(node.peer, calling_ae_title="CT1")
        eventually(lambda: node.server.association_count == 0, timeout_s=10)
        scu.echo(node.peer, calling_ae_title="CT1")


# --- the settings and the log ---


def test_a_port_that_is_taken_is_a_configuration_error(node: ReceivingNode, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot listen"), receiving_node(tmp_path / "b", port=node.server.port):
        pass


@pytest.mark.parametrize(
    "settings", [{"maximum_pdu_bytes": 0}, {"callers": (Caller(ae_title="CT1", addresses=("10.0.0.0/33",)),)}]
)
def test_settings_that_cannot_work_are_a_configuration_error(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid), receiving_node(tmp_path, **settings):
        pass


def test_no_event_says_whom_an_instance_shows(node: ReceivingNode) -> None:
    with opened(node) as association:
        sent(association, an_instance("1.2.3"))
        sent(association, an_instance("1.2.3", Rows=7))
    eventually(lambda: any(name == "association_ended" for name, _ in node.events), timeout_s=10)
    assert {name for name, _ in node.events} == {"association_ended", "instance_refused"}
    assert PATIENT_NAME not in str(node.events)
    assert "1.2.3" not in str(node.events)


def test_an_address_that_connects_too_often_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    settings = {"connections_per_minute": 1, "connection_burst": 2}
    with receiving_node(tmp_path / "limited", **settings) as limited:
        for _ in range(2):
            scu.echo(limited.peer, calling_ae_title="CT1")
        eventually(lambda: len(limited.events) == 2, timeout_s=10, every_s=0.01)
        for _ in range(3):
            with pytest.raises(PeerUnreachable):
                scu.echo(limited.peer, calling_ae_title="CT1")
    refusal = ("connection_refused", {"address": "127.0.0.1", "code": "connection.too-often"})
    assert limited.events[2:] == [refusal]


def test_a_caller_that_is_named_with_its_address_may_connect_as_often_as_it_likes(tmp_path: Path) -> None:
    settings = {"connections_per_minute": 1, "connection_burst": 1}
    callers = (Caller(ae_title="CT1", addresses=("127.0.0.0/8",)), Caller(ae_title="CT2"))
    with receiving_node(tmp_path / "limited", callers=callers, **settings) as limited:
        for _ in range(4):
            scu.echo(limited.peer, calling_ae_title="CT1")
