"""Who may be promised what, and what a destination's report means."""

from __future__ import annotations

import dataclasses

import pytest

from pacs_node.domain.commitment import (
    Answer,
    CommitmentReport,
    Failed,
    FailureReason,
    FileState,
    Reference,
    answer_of,
    reason_against,
)

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ONE, TWO = (Reference(sop_class_uid=CT, sop_instance_uid=uid) for uid in ("1.2.1", "1.2.2"))


@pytest.mark.parametrize(
    ("held_class_uid", "file", "reason"),
    [
        (CT, FileState.INTACT, None),
        (CT, FileState.DAMAGED, FailureReason.PROCESSING_FAILURE),
        (CT, FileState.MISSING, FailureReason.NO_SUCH_INSTANCE),
        (None, FileState.INTACT, FailureReason.NO_SUCH_INSTANCE),
        (MR, FileState.INTACT, FailureReason.CLASS_CONFLICT),
        (MR, FileState.MISSING, FailureReason.NO_SUCH_INSTANCE),
    ],
)
def test_only_what_is_indexed_and_intact_is_promised(
    held_class_uid: str | None, file: FileState, reason: FailureReason | None
) -> None:
    assert reason_against(ONE, held_class_uid, file) is reason


def _report(committed: tuple[Reference, ...], **failed: int) -> CommitmentReport:
    by_name = {"one": ONE, "two": TWO}
    failures = tuple(Failed(reference=by_name[name], reason=reason) for name, reason in failed.items())
    return CommitmentReport(transaction_uid="1.2.9", committed=committed, failed=failures)


@pytest.mark.parametrize(
    ("report", "answer"),
    [
        (_report((ONE, TWO)), Answer.COMMITTED),
        (_report((TWO, dataclasses.replace(ONE, sop_class_uid=MR))), Answer.COMMITTED),
        (_report((ONE,)), Answer.SEND_AGAIN),
        (_report(()), Answer.SEND_AGAIN),
        (_report((ONE,), two=0x0112), Answer.SEND_AGAIN),
        (_report((ONE, TWO), two=0x0112), Answer.SEND_AGAIN),
        (_report((ONE,), two=0x0110), Answer.ASK_AGAIN),
        (_report((), one=0x0213, two=0x0131), Answer.ASK_AGAIN),
        (_report((), one=0x0110, two=0x0112), Answer.SEND_AGAIN),
        (_report((), one=0x0110), Answer.SEND_AGAIN),
        (_report((ONE,), two=0xC999), Answer.SEND_AGAIN),
    ],
)
def test_a_report_commits_asks_again_or_sends_again(report: CommitmentReport, answer: Answer) -> None:
    assert answer_of((ONE, TWO), report) is answer
