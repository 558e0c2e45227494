"""Storage commitment on associations that the node opens: asking a destination, and reporting to a sender.

Called through `node`.
"""

from __future__ import annotations

from contextlib import suppress

from pacs_node.dimse import command
from pacs_node.dimse.commitment import (
    INVALID_ARGUMENT,
    PUSH_MODEL,
    SUCCESS,
    action_request,
    check_response,
    dataset_of_report,
    dataset_of_request,
    decoded_report,
    report_request,
)
from pacs_node.dimse.datasets import SYNTAXES, DatasetInvalid, encoded
from pacs_node.dimse.requestor import Message, Peer, Requestor
from pacs_node.domain.commitment import CommitmentReport, CommitmentRequest
from pacs_node.errors import PeerRefused, PeerRefusedContext, PeerUnreachable

REPORT_S = 3.0
"""How long the association is kept open for a report that comes at once; a later one comes on an association of the
peer's own."""


def ask(
    peer: Peer, request: CommitmentRequest, *, calling_ae_title: str, timeout_s: float = 30.0
) -> CommitmentReport | None:
    """Ask a peer to commit to instances.

    Returns
    -------
    its report, if it comes on this association; None if it is still to come

    Raises
    ------
    PeerUnreachable, PeerTimeout
    PeerRefused : it rejects the association
    CommitmentRefused : it refuses the request
    PeerRefusedContext : it does not support storage commitment
    """
    with Requestor(peer, calling_ae_title, [(PUSH_MODEL, SYNTAXES)], timeout_s) as association:
        context_id, syntax = _context(association)
        response = association.exchange(context_id, action_request(1), encoded(dataset_of_request(request), syntax))
        check_response(command.number(response, command.STATUS))
        return _report_on(association, syntax, request.transaction_uid)


def report(peer: Peer, outcome: CommitmentReport, *, calling_ae_title: str, timeout_s: float = 30.0) -> None:
    """Tell a peer that asked for it what we commit to, as the SCP that we are.

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused, CommitmentRefused, PeerRefusedContext
    """
    proposed = [(PUSH_MODEL, SYNTAXES)]
    with Requestor(peer, calling_ae_title, proposed, timeout_s, as_scp=[PUSH_MODEL]) as association:
        context_id, syntax = _context(association)
        content = encoded(dataset_of_report(outcome), syntax)
        response = association.exchange(context_id, report_request(1, outcome), content)
        check_response(command.number(response, command.STATUS))


def _context(association: Requestor) -> tuple[int, str]:
    for context_id, context in association.contexts.items():
        return context_id, context.transfer_syntax_uid
    raise PeerRefusedContext("the peer does not support storage commitment", sop_class_uid=PUSH_MODEL)


def _report_on(association: Requestor, syntax: str, transaction_uid: str) -> CommitmentReport | None:
    """The report about this transaction; whatever else comes, or goes wrong, means that it is still to come."""
    with suppress(PeerUnreachable, PeerRefused):
        while True:
            message = association.request(REPORT_S)
            found = _read(message, syntax)
            is_mine = found is not None and found.transaction_uid == transaction_uid
            status = SUCCESS if is_mine else INVALID_ARGUMENT
            association.send(message.context_id, command.normalized_response(message.command, status))
            if is_mine:
                return found
    return None


def _read(message: Message, syntax: str) -> CommitmentReport | None:
    if command.number(message.command, command.COMMAND_FIELD) != command.N_EVENT_REPORT_REQUEST:
        return None
    with suppress(DatasetInvalid):
        return decoded_report(message.dataset, syntax)
    return None
