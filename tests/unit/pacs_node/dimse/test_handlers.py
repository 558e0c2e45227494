"""Who may call, and which presentation contexts are accepted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydicom.uid import AllTransferSyntaxes, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless
from pynetdicom import AllStoragePresentationContexts, QueryRetrievePresentationContexts
from pynetdicom.presentation import build_context

from pacs_node.config import Caller
from pacs_node.dimse.handlers import handle_requested, is_caller, is_storage, supported

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
CT1 = Caller(ae_title="CT1", addresses=("192.0.2.7", "10.1.0.0/16", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("callers", "ae_title", "address", "may"),
    [
        ((), "ANYBODY", "203.0.113.1", True),
        ((CT1,), "CT1", "192.0.2.7", True),
        ((CT1,), "CT1", "10.1.200.3", True),
        ((CT1,), "CT1", "2001:db8::5", True),
        ((CT1,), "CT1", "::ffff:10.1.200.3", True),
        ((CT1,), "CT1", "::ffff:10.2.200.3", False),
        ((CT1,), "CT1", "192.0.2.8", False),
        ((CT1,), "ct1", "192.0.2.7", False),
        ((CT1,), "CT2", "192.0.2.7", False),
        ((Caller(ae_title="CT2"),), "CT2", "203.0.113.1", True),
        ((Caller(ae_title="CT1"), CT1), "CT1", "203.0.113.1", True),
        ((), "", "203.0.113.1", False),
        ((), "A\\B", "203.0.113.1", False),
        ((), "A\nB", "203.0.113.1", False),
    ],
)
def test_callers_are_known_by_title_and_address(
    callers: tuple[Caller, ...], ae_title: str, address: str, may: bool
) -> None:
    assert is_caller(callers, ae_title, address) is may


def test_every_storage_class_of_the_library_is_stored() -> None:
    assert all(is_storage(str(context.abstract_syntax)) for context in AllStoragePresentationContexts)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame, retired
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.999",  # of a future edition
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
        "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale Image, retired
        "1.3.12.2.1107.5.9.1",  # CSA Non-Image, private
    ],
)
def test_retired_future_and_private_classes_are_stored(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.200.4", "1.2.840.10008.5.1.4.31"])
def test_other_services_are_not_storage(uid: str) -> None:
    assert not is_storage(uid)
    assert not any(is_storage(str(context.abstract_syntax)) for context in QueryRetrievePresentationContexts)


def test_every_transfer_syntax_of_dicom_is_accepted_in_the_order_of_the_peer() -> None:
    syntaxes = sorted(AllTransferSyntaxes, reverse=True)
    contexts = {str(c.abstract_syntax): c.transfer_syntax for c in supported([build_context(CT, syntaxes)])}
    assert contexts[CT] == syntaxes


def test_contexts_of_one_class_are_taken_together() -> None:
    proposed = [
        build_context(CT, [JPEGLSLossless]),
        build_context(CT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian, "1.2.840.113619.5.2"]),
    ]
    contexts = {str(c.abstract_syntax): c.transfer_syntax for c in supported(proposed)}
    assert contexts.keys() == {VERIFICATION, CT}
    assert contexts[CT] == [JPEGLSLossless, ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def test_unknown_encodings_and_other_services_are_not_supported() -> None:
    proposed = [build_context(CT, ["1.2.840.113619.5.2"]), QueryRetrievePresentationContexts[0]]
    assert [str(context.abstract_syntax) for context in supported(proposed)] == [VERIFICATION]


class FakeAssociation:
    """An association at the moment of its request."""

    def __init__(self, called: str, calling: str, contexts: object) -> None:
        request = SimpleNamespace(
            called_ae_title=called, calling_ae_title=calling, presentation_context_definition_list=contexts
        )
        self.requestor = SimpleNamespace(primitive=request, address_info=SimpleNamespace(address="192.0.2.7"))
        self.acceptor = SimpleNamespace(supported_contexts=[])
        self.acse = self
        self.rejected: tuple[int, ...] = ()
        self.has_place = True

    def admit(self) -> bool:
        return self.has_place

    def send_reject(self, *reason: int) -> None:
        self.rejected = reason

    def kill(self) -> None:
        assert self.rejected


def requested(association: FakeAssociation, called_ae_title: str | None = "NODE") -> FakeAssociation:
    handle_requested(SimpleNamespace(assoc=association), called_ae_title, (CT1,))
    return association


def test_a_request_that_may_come_gets_its_contexts() -> None:
    association = requested(FakeAssociation("NODE ", " CT1", [build_context(CT)]))
    assert association.rejected == ()
    assert len(association.acceptor.supported_contexts) == 2


@pytest.mark.parametrize(
    ("called", "calling", "reason"), [("ANOTHER", "CT1", 7), ("node", "CT1", 7), ("NODE", "CT2", 3), ("X", "X", 7)]
)
def test_a_request_that_may_not_come_is_rejected_for_good(called: str, calling: str, reason: int) -> None:
    """PS3.8 table 9-21: result 1 (permanent), source 1 (service user), reason 3 (calling) or 7 (called)."""
    association = requested(FakeAssociation(called, calling, [build_context(CT)]))
    assert association.rejected == (1, 1, reason)
    assert association.acceptor.supported_contexts == []


def test_a_request_beyond_the_limit_is_rejected_for_now() -> None:
    """PS3.8 table 9-21: result 2 (transient), source 3 (presentation), reason 2 (local limit exceeded)."""
    association = FakeAssociation("NODE", "CT1", [build_context(CT)])
    association.has_place = False
    assert requested(association).rejected == (2, 3, 2)


def test_contexts_that_cannot_be_answered_are_left_out() -> None:
    whole, again, nameless, mute = (build_context(CT) for _ in range(4))
    whole.context_id = again.context_id = 1
    nameless.context_id, mute.context_id = 3, 5
    nameless._abstract_syntax, mute._transfer_syntax = None, []
    association = requested(FakeAssociation("NODE", "CT1", [nameless, whole, mute, again]))
    assert association.requestor.primitive.presentation_context_definition_list == [whole]
    assert association.rejected == ()


def test_a_request_for_nothing_is_rejected() -> None:
    assert requested(FakeAssociation("NODE", "CT1", [])).rejected == (1, 1, 1)


def test_any_called_title_is_taken_where_it_does_not_matter() -> None:
    assert requested(FakeAssociation("ANOTHER", "CT1", [build_context(CT)]), called_ae_title=None).rejected == ()


def test_a_request_that_cannot_be_read_is_rejected() -> None:
    """The library would swallow the error and accept the association."""
    association = FakeAssociation("NODE", "CT1", None)
    with pytest.raises(TypeError):
        requested(association)
    assert association.rejected == (1, 1, 1)
