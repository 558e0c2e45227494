"""Storage commitment as SCU: destinations are asked for their word, and what they lack is sent again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pacs_node.archive.queries import deliveries, jobs, machine
from pacs_node.archive.records import Delivery
from pacs_node.config import Destination
from pacs_node.dimse import asking
from pacs_node.domain.commitment import CommitmentReport, CommitmentRequest, Failed
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import DeliveryId, JobId
from pacs_node.domain.retry import CONFIRM
from pacs_node.errors import CommitmentRefused, NotFound, PeerRefusedContext, PeerTimeout
from pacs_node.node import Node
from pacs_node.steps.confirm import MOST_RESENDS, conclude
from tests.support.commitment import references_to, serving
from tests.support.steps import PACS, QUIET_S, Clock, opened_node, receive, run_all

COMMITTING = dataclasses.replace(PACS, commitment=True, commitment_s=600)
S = DeliveryState


class Destinations:
    """What the only destination is sent and asked, and what it answers."""

    def __init__(self, *answers: Callable[[CommitmentRequest], CommitmentReport | None]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, ...]] = []
        self.asked: list[CommitmentRequest] = []

    def send(self, destination: Destination, paths: Sequence[Path]) -> None:
        """Keep the names of the instances."""
        self.sent.append(tuple(item.sop_instance_uid for item in references_to(paths)))

    def ask(self, destination: Destination, request: CommitmentRequest) -> CommitmentReport | None:
        """Answer as the test says; the last answer is for all further requests."""
        self.asked.append(request)
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)


def keeps(request: CommitmentRequest) -> CommitmentReport:
    """It keeps everything."""
    return CommitmentReport(transaction_uid=request.transaction_uid, committed=request.references, failed=())


def lacks(reason: int) -> Callable[[CommitmentRequest], CommitmentReport]:
    """It does not keep the last instance."""

    def answer(request: CommitmentRequest) -> CommitmentReport:
        *kept, last = request.references
        failed = (Failed(reference=last, reason=reason),)
        return CommitmentReport(transaction_uid=request.transaction_uid, committed=tuple(kept), failed=failed)

    return answer


def later(request: CommitmentRequest) -> None:
    """It will report on an association of its own, if at all."""


def fails(error: Exception) -> Callable[[CommitmentRequest], CommitmentReport]:
    """It cannot be asked."""

    def answer(request: CommitmentRequest) -> CommitmentReport:
        raise error

    return answer


@pytest.fixture
def accepted(
    models: Path, tmp_path: Path, clock: Clock, chest: list[Path]
) -> Iterator[Callable[..., tuple[Node, Destinations]]]:
    """A node whose only result has been accepted, and whose destination was asked if it is to be."""
    contexts = []

    def accept(*answers: Callable[..., object], destination: Destination = COMMITTING) -> tuple[Node, Destinations]:
        peers = Destinations(*answers)  # type: ignore[arg-type]
        contexts.append(opened_node(f"sqlite:///{tmp_path / 'd.sqlite'}", models, tmp_path, clock, destination))
        node = dataclasses.replace(contexts[-1].__enter__(), send=peers.send, ask=peers.ask)
        receive(node, chest)
        clock.forward(QUIET_S)
        run_all(node)
        return node, peers

    yield accept
    for context in contexts:
        context.__exit__(None, None, None)


def _delivery(node: Node) -> Delivery:
    with node.database.transaction() as tx:
        return deliveries.get(tx, DeliveryId(1))


def _last_code(node: Node) -> str | None:
    with node.database.transaction() as tx:
        return machine.history(tx, machine.DELIVERIES, 1)[-1].code


def test_a_destination_is_asked_for_exactly_what_it_was_sent(
    accepted: Callable[..., tuple[Node, Destinations]],
) -> None:
    node, peers = accepted(keeps)
    (request,) = peers.asked
    with node.database.transaction() as tx:
        stored = {(item.sop_class_uid, item.sop_instance_uid) for item in jobs.results(tx, JobId(1))}
    assert {(item.sop_class_uid, item.sop_instance_uid) for item in request.references} == stored
    assert _delivery(node).state is S.COMMITTED


def test_a_destination_that_is_not_to_commit_is_not_asked(accepted: Callable[..., tuple[Node, Destinations]]) -> None:
    node, peers = accepted(keeps, destination=PACS)
    assert peers.asked == []
    assert _delivery(node).state is S.DELIVERED


def test_the_report_may_come_on_an_association_of_the_destination(
    accepted: Callable[..., tuple[Node, Destinations]],
) -> None:
    node, peers = accepted(later)
    assert _delivery(node).state is S.UNCOMMITTED
    with serving(node) as peer:
        for _ in range(2):  # a destination that missed our answer says it again
            asking.report(peer, keeps(peers.asked[0]), calling_ae_title="PACS")
    assert _delivery(node).state is S.COMMITTED
    run_all(node)
    assert len(peers.asked) == 1


def test_a_report_that_comes_before_the_answer_to_the_request_counts(
    accepted: Callable[..., tuple[Node, Destinations]],
) -> None:
    holder: list[Node] = []

    def at_once(request: CommitmentRequest) -> None:
        if holder:
            conclude(holder[0], keeps(request))

    node, _ = accepted(later, at_once)
    holder.append(node)
    node.now.forward(COMMITTING.commitment_s)  # type: ignore[attr-defined]
    run_all(node)
    assert _delivery(node).state is S.COMMITTED


def test_what_the_destination_lacks_is_sent_again_with_the_same_uids(
    accepted: Callable[..., tuple[Node, Destinations]],
) -> None:
    node, peers = accepted(lacks(0x0112), keeps)
    assert len(peers.sent) == 2
    assert peers.sent[0] == peers.sent[1]
    first, second = peers.asked
    assert first.transaction_uid != second.transaction_uid
    assert _delivery(node).state is S.COMMITTED
    with pytest.raises(NotFound):
        conclude(node, keeps(first))


def test_a_destination_that_lacks_it_every_time_is_not_sent_it_for_ever(
    accepted: Callable[..., tuple[Node, Destinations]], clock: Clock
) -> None:
    node, peers = accepted(lacks(0x0112))
    for _ in range(2 * MOST_RESENDS):
        clock.forward(CONFIRM.longest_s)
        run_all(node)
    assert len(peers.sent) == 1 + MOST_RESENDS
    assert (_delivery(node).state, _last_code(node)) == (S.DELIVERED, "commitment.lacking")


def test_a_destination_that_could_not_look_is_asked_again_and_not_sent_again(
    accepted: Callable[..., tuple[Node, Destinations]], clock: Clock
) -> None:
    node, peers = accepted(lacks(0x0131), keeps)
    assert _delivery(node).state is S.UNCOMMITTED
    clock.forward(CONFIRM.first_s)
    run_all(node)
    first, second = peers.asked
    assert (len(peers.sent), first.transaction_uid == second.transaction_uid) == (1, False)
    assert _delivery(node).state is S.COMMITTED


def test_a_destination_that_does_not_report_is_asked_again_about_the_same_transaction(
    accepted: Callable[..., tuple[Node, Destinations]], clock: Clock
) -> None:
    node, peers = accepted(later)
    clock.forward(COMMITTING.commitment_s - 1)
    run_all(node)
    assert len(peers.asked) == 1
    for _ in range(2 * CONFIRM.attempts):
        clock.forward(COMMITTING.commitment_s)
        run_all(node)
    assert len(peers.asked) == CONFIRM.attempts
    assert len({request.transaction_uid for request in peers.asked}) == 1
    assert (_delivery(node).state, _last_code(node)) == (S.DELIVERED, "commitment.missing")
    conclude(node, keeps(peers.asked[0]))  # better late than never
    assert _delivery(node).state is S.COMMITTED


@pytest.mark.parametrize(
    ("error", "same_uid"), [(PeerTimeout(), True), (CommitmentRefused(), False)], ids=["no answer", "refused"]
)
def test_a_request_that_failed_is_made_again_under_another_uid_if_it_was_refused(
    accepted: Callable[..., tuple[Node, Destinations]], clock: Clock, error: Exception, same_uid: bool
) -> None:
    node, peers = accepted(fails(error), keeps)
    assert _delivery(node).state is S.UNCOMMITTED
    clock.forward(CONFIRM.first_s)
    run_all(node)
    first, second = peers.asked
    assert (first.transaction_uid == second.transaction_uid) is same_uid
    assert _delivery(node).state is S.COMMITTED


def test_a_destination_that_knows_no_commitment_is_asked_once(
    accepted: Callable[..., tuple[Node, Destinations]],
) -> None:
    node, peers = accepted(fails(PeerRefusedContext()))
    assert len(peers.asked) == 1
    assert (_delivery(node).state, _last_code(node)) == (S.DELIVERED, "peer.refused-context")


def test_asking_over_the_network_brings_the_report_that_comes_at_once(node: Node, chest: list[Path]) -> None:
    receive(node, chest[:2])
    request = CommitmentRequest(transaction_uid="2.25.7", references=references_to(chest[:2]))
    with serving(node) as peer:
        assert asking.ask(peer, request, calling_ae_title="CT1") == keeps(request)
