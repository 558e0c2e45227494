"""What the node decides about an association request: who may open one, and which contexts it accepts.

Bound to the library's events by `scp`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification

from pacs_node.config import Caller
from pacs_node.dimse.header import is_transfer_syntax
from pacs_node.domain.identifiers import is_ae_title

NO_REASON, CALLING_NOT_RECOGNISED, CALLED_NOT_RECOGNISED = (0x01, 0x01, 0x01), (0x01, 0x01, 0x03), (0x01, 0x01, 0x07)
LOCAL_LIMIT_EXCEEDED = (0x02, 0x03, 0x02)
"""PS3.8 section 9.3.4, table 9-21: result (permanent, transient), source (user, presentation), reason."""

_DICOM_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_NOT_STORAGE = frozenset(
    _STORAGE_ROOT + tail for tail in ("200.4", "200.5", "200.6", "201.2", "201.3", "201.4", "201.5", "201.6")
)
"""Query and retrieve classes below the root of storage (PS3.6 table A-1)."""
_STORAGE_ELSEWHERE = frozenset(
    "1.2.840.10008.5.1.4." + tail for tail in ("34.1", "34.7", "34.10", "38.1", "39.1", "43.1", "44.1", "45.1")
) | frozenset("1.2.840.10008.5.1.1." + tail for tail in ("27", "29", "30"))
"""RT delivery instructions (PS3.4 table B.5-1), non-patient objects (PS3.4 table GG.3-1), and the retired stored print
and hardcopy images (PS3.6 table A-1)."""


def handle_requested(
    event: Any, called_ae_title: str | None, callers: Sequence[Caller], services: Sequence[str] = ()
) -> None:
    """Reject the association, or say which of its contexts are supported; the library negotiates them.

    Parameters
    ----------
    called_ae_title : the only one that is accepted, None for any
    callers : who may call; empty for everybody
    services : SOP classes besides Verification and storage, in which either side may be the SCP
    """
    association = event.assoc
    request = association.requestor.primitive
    reason: tuple[int, int, int] | None = NO_REASON
    try:
        proposed = request.presentation_context_definition_list = well_formed(
            request.presentation_context_definition_list
        )
        contexts = [*supported(proposed), *map(_service, services)]
        reason = _objection(association, called_ae_title, callers)
    finally:  # the library goes on after an error here, and would accept the association
        if reason is not None:
            association.acse.send_reject(*reason)
            association.kill()
    if reason is None:
        association.acceptor.supported_contexts = contexts


def is_caller(callers: Sequence[Caller], ae_title: str, address: str) -> bool:
    """Whether this calling AE title may call from this address; `addresses` may hold networks such as 10.1.0.0/16."""
    if not is_ae_title(ae_title):
        return False
    return not callers or any(
        caller.ae_title.strip() == ae_title and (not caller.addresses or is_within(address, caller.addresses))
        for caller in callers
    )


def is_storage(sop_class_uid: str) -> bool:
    """Whether instances of this class are stored: all of DICOM's, retired and future ones too, and private ones."""
    if not sop_class_uid.startswith(_DICOM_ROOT):
        return True
    return sop_class_uid in _STORAGE_ELSEWHERE or (
        sop_class_uid.startswith(_STORAGE_ROOT) and sop_class_uid not in _NOT_STORAGE
    )


def well_formed(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """The contexts that can be answered: one of each number, with an abstract syntax and a transfer syntax.

    The library fails on the others in the middle of its negotiation.
    """
    answered: dict[int, PresentationContext] = {}
    for context in proposed:
        if context.abstract_syntax and context.transfer_syntax:
            answered.setdefault(context.context_id, context)
    return list(answered.values())


def supported(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """The contexts to negotiate with, for this proposal: Verification, and storage in the order the peer prefers."""
    syntaxes: dict[str, dict[str, None]] = {}
    for context in proposed:
        of_class = syntaxes.setdefault(str(context.abstract_syntax), {})
        of_class.update((str(uid), None) for uid in context.transfer_syntax if is_transfer_syntax(str(uid)))
    storage = [build_context(uid, list(known)) for uid, known in syntaxes.items() if known and is_storage(uid)]
    return [build_context(Verification), *storage]


def _service(sop_class_uid: str) -> PresentationContext:
    context = build_context(sop_class_uid)
    context.scu_role = context.scp_role = True
    return context


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is one of these, or in one of these networks."""
    caller = ipaddress.ip_address(address)
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in ipaddress.ip_network(network, strict=False) for network in networks)


def _objection(association: Any, called_ae_title: str | None, callers: Sequence[Caller]) -> tuple[int, int, int] | None:
    request = association.requestor.primitive
    calling, address = str(request.calling_ae_title).strip(), association.requestor.address_info.address
    if called_ae_title is not None and str(request.called_ae_title).strip() != called_ae_title:
        return CALLED_NOT_RECOGNISED
    if not is_caller(callers, calling, address):
        return CALLING_NOT_RECOGNISED
    if not request.presentation_context_definition_list:
        return NO_REASON
    return None if association.admit() else LOCAL_LIMIT_EXCEEDED
