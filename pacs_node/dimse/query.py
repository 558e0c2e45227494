"""What a PACS holds (C-FIND), and getting it from there (C-MOVE, C-GET), in the Study Root model.

References
----------
PS3.4 annex C; PS3.7 sections 9.3.2 to 9.3.4. Called through `node`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from pacs_node.dimse import command
from pacs_node.dimse.budget import Budget
from pacs_node.dimse.datasets import SYNTAXES, DatasetInvalid, decoded, encoded, put_uid, text_of
from pacs_node.dimse.lane import Context, Lane, Limits, Sender
from pacs_node.dimse.pdu import COMMAND, LAST
from pacs_node.dimse.requestor import MOST_CONTEXTS, Message, Peer, Requestor
from pacs_node.domain.completeness import SeriesCount
from pacs_node.domain.identifiers import SeriesUid, StudyUid, is_uid
from pacs_node.domain.instance import Inbox
from pacs_node.errors import PeerRefused, PeerRefusedContext

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
_PENDING = {0xFF00, 0xFF01}
_FETCHED = {0x0000, 0xB000}
"""Success, and a warning that some instances failed (PS3.4 tables C.4-2 and C.4-3): who counts again sees which."""
_MOST_MATCHES = 20_000
_MEMORY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an association for C-GET may bring.

    Parameters
    ----------
    sop_class_uids, transfer_syntax_uids : in any combination
    maximum_instance_bytes : a longer dataset is refused
    """

    sop_class_uids: tuple[str, ...]
    transfer_syntax_uids: tuple[str, ...]
    maximum_instance_bytes: int


def count_series(peer: Peer, study: StudyUid, *, calling_ae_title: str, timeout_s: float) -> tuple[SeriesCount, ...]:
    """Ask for the series of a study and the number of instances in each; counts them one by one where that is not said.

    Parameters
    ----------
    timeout_s : for all of it

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused, PeerRefusedContext
    """
    ends_at = time.monotonic() + timeout_s
    with Requestor(peer, calling_ae_title, [(FIND, SYNTAXES)], timeout_s) as association:
        context_id, syntax = _context(association, FIND)
        keys = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")
        found = _found(association, context_id, syntax, _identifier("SERIES", study, keys), ends_at)
        series = {uid: item for item in found if is_uid(uid := text_of(item, "SeriesInstanceUID"))}
        counts = []
        for uid, item in series.items():
            said = text_of(item, "NumberOfSeriesRelatedInstances")
            if said.isdecimal():
                count = int(said)
            else:
                single = _identifier("IMAGE", study, ("SOPInstanceUID",), SeriesInstanceUID=uid)
                count = len(_found(association, context_id, syntax, single, ends_at))
            modality = text_of(item, "Modality")
            counts.append(SeriesCount(series_instance_uid=SeriesUid(uid), modality=modality, instance_count=count))
        return tuple(counts)


def move_series(peer: Peer, study: StudyUid, series: SeriesUid, *, calling_ae_title: str, timeout_s: float) -> None:
    """Have a series sent to our own AE title by C-STORE; what is here already changes nothing.

    Parameters
    ----------
    timeout_s : for all of it

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused, PeerRefusedContext
    """
    ends_at = time.monotonic() + timeout_s
    with Requestor(peer, calling_ae_title, [(MOVE, SYNTAXES)], timeout_s) as association:
        context_id, syntax = _context(association, MOVE)
        request = command.query_request(1, command.C_MOVE_REQUEST, MOVE, destination=calling_ae_title)
        content = encoded(_identifier("SERIES", study, (), SeriesInstanceUID=series), syntax)
        for message in association.responses(context_id, request, content):
            if _is_last(message.command, _FETCHED):
                return
            association.hurry(ends_at)


def get_series(  # noqa: PLR0913 - what, from whom, as whom, into what, which, how long
    peer: Peer,
    study: StudyUid,
    series: SeriesUid,
    inbox: Inbox,
    wanted: Wanted,
    *,
    calling_ae_title: str,
    timeout_s: float,
) -> None:
    """Take a series on the association that asks for it.

    Parameters
    ----------
    inbox : where the instances go
    timeout_s : for all of it

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused, PeerRefusedContext
    """
    ends_at = time.monotonic() + timeout_s
    proposed = [(GET, list(SYNTAXES)), *_storage(wanted)][:MOST_CONTEXTS]
    with Requestor(peer, calling_ae_title, proposed, timeout_s, as_scp=wanted.sop_class_uids) as association:
        context_id, syntax = _context(association, GET)
        line = _Line(
            association,
            Sender(
                calling_ae_title=peer.ae_title,
                called_ae_title=calling_ae_title,
                address=association.address,
                maximum_bytes=association.maximum_bytes,
            ),
        )
        limits = Limits(maximum_instance_bytes=wanted.maximum_instance_bytes, memory=Budget(_MEMORY_BYTES))
        lane = Lane(line, inbox, limits, lambda name, values: None)
        content = encoded(_identifier("SERIES", study, (), SeriesInstanceUID=series), syntax)
        association.send(context_id, command.query_request(1, command.C_GET_REQUEST, GET), content)
        try:
            while not line.is_over:
                association.hurry(ends_at)
                lane.receive(association.p_data())
        finally:
            lane.close()


class _Line:
    """The association as the lane wants it; the responses to the C-GET end here."""

    def __init__(self, association: Requestor, sender: Sender) -> None:
        self.sender = sender
        self.contexts: Mapping[int, Context] = association.contexts
        self.send = association.send_pdu
        self.is_over = False
        self._command = bytearray()

    def pass_on(self, context_id: int, fragment: bytes) -> None:
        """Take a fragment of a response; that of a dataset (UIDs that failed) is read over."""
        control = fragment[0]
        if not control & COMMAND:
            return
        self._command += fragment[1:]
        if control & LAST:
            response = command.decode(bytes(self._command))
            self._command.clear()
            self.is_over = self.is_over or _is_last(response, _FETCHED)


def _storage(wanted: Wanted) -> Iterator[tuple[str, Sequence[str]]]:
    others = [uid for uid in wanted.transfer_syntax_uids if uid not in SYNTAXES]
    for sop_class_uid in wanted.sop_class_uids:
        yield sop_class_uid, list(SYNTAXES)
        yield from ((sop_class_uid, [uid]) for uid in others)


def _found(association: Requestor, context_id: int, syntax: str, identifier: Dataset, ends_at: float) -> list[Dataset]:
    request = command.query_request(1, command.C_FIND_REQUEST, FIND)
    matches: list[Dataset] = []
    for message in association.responses(context_id, request, encoded(identifier, syntax)):
        if _is_last(message.command, {0x0000}):
            break
        matches.append(_dataset(message, syntax))
        if len(matches) > _MOST_MATCHES:
            raise PeerRefused("the peer found too many matches")
        association.hurry(ends_at)
    return matches


def _is_last(response: Mapping[int, bytes], good: set[int]) -> bool:
    """Whether no other response follows; raises PeerRefused."""
    status = command.number(response, command.STATUS)
    if status in _PENDING:
        return False
    if status not in good:
        raise PeerRefused("no status" if status is None else f"the peer answered the query with 0x{status:04X}")
    return True


def _dataset(message: Message, syntax: str) -> Dataset:
    try:
        return decoded(message.dataset, syntax)
    except DatasetInvalid as error:
        raise PeerRefused("the peer answered the query with something that cannot be read") from error


def _context(association: Requestor, sop_class_uid: str) -> tuple[int, str]:
    for context_id, context in association.contexts.items():
        if context.sop_class_uid == sop_class_uid:
            return context_id, context.transfer_syntax_uid
    raise PeerRefusedContext("the peer does not support this query", sop_class_uid=sop_class_uid)


def _identifier(level: str, study: StudyUid, keys: Sequence[str], **uids: str) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword in keys:
        setattr(dataset, keyword, None)
    for keyword, uid in {"StudyInstanceUID": study, **uids}.items():
        put_uid(dataset, keyword, uid)
    return dataset
