"""What the answers of DICOMweb servers mean, odd ones too."""

from __future__ import annotations

import json

import pytest

from pacs_node.dicomweb.answer import Verdict, judged
from pacs_node.errors import PeerRefused, PeerRefusedContext, PeerRefusedInstance

CLASS, UID = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.3"


def _failed(reason: object, uid: str = UID) -> bytes:
    """A Store Instances Response Module (PS3.18 annex I) with one failed instance."""
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


STORED = json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [UID]}}]}}).encode()


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("body", [STORED, b"", b"<NativeDicomModel/>", b"[]", b'"text"', b"[" + STORED + b"]"])
def test_success_without_a_failed_instance_is_stored(status: int, body: bytes) -> None:
    assert judged(status, body, CLASS, UID).verdict is Verdict.STORED


@pytest.mark.parametrize("reason", [0xB000, 0xB007, 0xBFFF])
def test_a_warning_is_stored_if_the_server_says_so_and_otherwise_doubtful(reason: int) -> None:
    assert judged(202, _failed(reason), CLASS, UID).verdict is Verdict.STORED
    assert judged(409, _failed(reason), CLASS, UID).verdict is Verdict.DOUBTFUL


def test_success_with_the_instance_among_the_failed_is_none() -> None:
    answer = judged(200, _failed(0xA900), CLASS, UID)
    assert (answer.verdict, type(answer.error)) == (Verdict.REFUSED, PeerRefusedInstance)
    assert "0xA900" in str(answer.error)


def test_the_failure_of_another_instance_is_not_ours() -> None:
    assert judged(200, _failed(0xA900, uid="1.2.4"), CLASS, UID).verdict is Verdict.STORED


@pytest.mark.parametrize("body", [b"", b"conflict", _failed(0x0111)])
def test_a_conflict_is_doubtful_until_the_stored_instance_was_compared(body: bytes) -> None:
    answer = judged(409, body, CLASS, UID)
    assert (answer.verdict, type(answer.error)) == (Verdict.DOUBTFUL, PeerRefusedInstance)


def test_a_class_that_is_not_supported_says_which() -> None:
    error = judged(409, _failed(0x0122), CLASS, UID).error
    assert isinstance(error, PeerRefusedContext)
    assert error.sop_class_uid == CLASS


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (409, _failed(0xA700), PeerRefusedInstance, True),
        (409, _failed(0x0110), PeerRefusedInstance, True),
        (409, _failed(0xC000), PeerRefusedInstance, False),
        (409, _failed("what"), PeerRefusedInstance, False),
        (400, b"", PeerRefusedInstance, False),
        (413, b"", PeerRefusedInstance, False),
        (401, b"", PeerRefused, True),
        (404, b"", PeerRefused, True),
        (429, b"", PeerRefused, True),
        (500, b"", PeerRefused, True),
        (503, b"busy", PeerRefused, True),
    ],
)
def test_other_failures_are_tried_again_where_that_can_help(
    status: int, body: bytes, kind: type[Exception], retryable: bool
) -> None:
    answer = judged(status, body, CLASS, UID)
    assert answer.verdict is Verdict.REFUSED
    assert type(answer.error) is kind
    assert answer.error.retryable is retryable


@pytest.mark.parametrize(("status", "is_met"), [(500, True), (401, False), (404, False), (429, False), (503, False)])
def test_a_failure_is_the_servers_or_perhaps_the_instances(status: int, is_met: bool) -> None:
    error = judged(status, b"", CLASS, UID).error
    assert isinstance(error, PeerRefused)
    assert error.is_met is is_met
