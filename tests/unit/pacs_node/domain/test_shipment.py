"""What a destination is sent when it takes everything, and when it does not."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pacs_node.domain.document import CLASS_UID, CLASS_UIDS, SR_CLASS_UID, DocumentRole, SrClass
from pacs_node.domain.shipment import PROFILES, Part, Shipment, roles_of, shipment

R, THREE_D, TWO_D, ENHANCED = (
    DocumentRole,
    SR_CLASS_UID[SrClass.COMPREHENSIVE_3D],
    SR_CLASS_UID[SrClass.COMPREHENSIVE],
    SR_CLASS_UID[SrClass.ENHANCED],
)
SEG, CAPTURE = CLASS_UID[R.SEG], CLASS_UID[R.CAPTURES]


def _sent(*profile: str, refused: Collection[str] = (), preferred: SrClass = SrClass.COMPREHENSIVE_3D) -> Shipment:
    return shipment(profile, preferred, refused)


def _parts(*pairs: tuple[DocumentRole, str]) -> tuple[Part, ...]:
    return tuple(Part(role=role, sop_class_uid=uid) for role, uid in pairs)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_destination_that_takes_everything_gets_its_whole_profile_without_a_warning(profile: str) -> None:
    sent = _sent(profile)
    assert [part.role for part in sent.parts] == [role for role in R if role in PROFILES[profile]]
    assert sent.warnings == ()


def test_profiles_and_documents_mix() -> None:
    assert roles_of(["images-only", "sr", "pdf", "sr"]) == (R.SR, R.CAPTURES, R.PDF)


def test_a_name_that_is_neither_profile_nor_document_is_refused() -> None:
    with pytest.raises(ValueError):
        roles_of(["everything"])


@pytest.mark.parametrize(
    ("refused", "expected"),
    [([THREE_D], TWO_D), ([THREE_D, TWO_D], ENHANCED), ([TWO_D], THREE_D), ([ENHANCED, THREE_D], TWO_D)],
)
def test_a_report_falls_back_to_the_next_class_that_is_taken(refused: list[str], expected: str) -> None:
    sent = _sent("sr", refused=refused)
    assert sent.parts == _parts((R.SR, expected))
    assert len(sent.warnings) == (THREE_D in refused)


def test_a_report_never_falls_back_to_a_class_richer_than_preferred() -> None:
    sent = _sent("sr", refused=[TWO_D, ENHANCED], preferred=SrClass.COMPREHENSIVE)
    assert sent.parts == _parts((R.CAPTURES, CAPTURE))


def test_what_is_neither_taken_as_seg_nor_as_any_report_becomes_captures_once() -> None:
    sent = _sent("seg+sr", refused=[SEG, THREE_D, TWO_D, ENHANCED])
    assert sent.parts == _parts((R.CAPTURES, CAPTURE))
    assert len(sent.warnings) == 2


def test_a_seg_that_is_not_taken_becomes_captures_beside_the_report() -> None:
    sent = _sent("seg+sr", refused=[SEG])
    assert sent.parts == _parts((R.SR, THREE_D), (R.CAPTURES, CAPTURE))
    assert sent.warnings == ("captures take the place of seg, which the destination does not take",)


@pytest.mark.parametrize("role", [R.LUNGS, R.SOFT, R.CAD, R.PRESENTATION, R.PDF, R.STRUCTURES, R.REJECTION])
def test_anything_else_that_is_not_taken_is_left_out_with_a_warning(role: DocumentRole) -> None:
    sent = _sent("sr", role, refused=[CLASS_UID[role]])
    assert sent.parts == _parts((R.SR, THREE_D))
    assert sent.warnings == (f"{role} is left out, because the destination does not take it",)


def test_a_destination_that_takes_nothing_gets_nothing() -> None:
    assert _sent("full", refused=CLASS_UIDS).parts == ()
