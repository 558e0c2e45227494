"""Retain: delete what the configuration does not keep any longer, and what was left behind on disk.

The index lets go first, then files go. Whoever dies in between leaves files that nobody refers to: those of instances
are noted in the same transaction and removed by whoever comes next; those of results are found by looking for them. A
row never names a file that is gone, unless it says so.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from pacs_node import log
from pacs_node.archive.files import ResultFile
from pacs_node.archive.queries import removals, retention
from pacs_node.config import Config
from pacs_node.domain.identifiers import JobId
from pacs_node.domain.instance import Receipt
from pacs_node.domain.retention import (
    ADVICE,
    DAY_S,
    WHY,
    Holding,
    Kind,
    Plan,
    Policy,
    StudyFacts,
    holdings_of,
    may_still_go,
    plan,
)
from pacs_node.domain.step import Step
from pacs_node.errors import NodeError
from pacs_node.node import Node

PERIOD = timedelta(minutes=10)
"""How often the clock looks for what may go."""
LEFT_BEHIND = timedelta(days=1)
"""A file of ours that nobody refers to after this time, or twice the longest step, was left behind."""
PAGE = 100
"""Studies in one transaction; with 500 instances each these are some ten milliseconds."""
FILES = 100
"""Files removed in one go, between two looks of the clock at everything else."""
_JOB = re.compile(r"results/[0-9a-f]{2}/(?:job|findings)-([0-9]+)-")


def policy_of(config: Config) -> Policy:
    """What the configuration says about retention."""
    settings = config.retention
    return Policy(
        instances_s=settings.keep_instances_days * DAY_S,
        results_s=settings.keep_results_days * DAY_S,
        promised_s=settings.keep_promised_days * DAY_S,
        by_rule_s={rule.name: rule.keep_days * DAY_S for rule in config.rule if rule.keep_days is not None},
        committing=frozenset(destination.name for destination in config.destination if destination.commitment),
        high_fraction=settings.high_fraction,
        low_fraction=settings.low_fraction,
    )


def plan_retention(node: Node) -> Plan:
    """What would be deleted now, and why the rest is kept; changes nothing."""
    return plan(_held(node), policy_of(node.config), node.files.disk_use(), node.now())


def run_retention(node: Node) -> tuple[Holding, ...]:
    """Delete all that may be deleted now; what was."""
    gone = tuple(holding for holding in plan_retention(node).leaving if delete(node, holding))
    while remove_files(node):
        pass
    return gone


def delete(node: Node, holding: Holding) -> bool:
    """Let go of instances or results for good, if they may still go; False if not.

    The files of instances are left to `remove_files`.
    """
    now = node.now()
    with node.database.transaction() as tx:
        facts = retention.of_study(tx, holding.study_id)
        if holding.cause is None or not may_still_go(holding, holdings_of(facts, policy_of(node.config), now)):
            return False
        text = f"{holding.files} files ({holding.size_bytes} bytes) were deleted, because {WHY[holding.cause]}"
        if holding.kind is Kind.INSTANCES:
            retention.let_instances_go(tx, facts, now, holding.cause, text)
        else:
            retention.let_results_go(tx, facts, now, holding.cause, text)
    log.event(
        f"{holding.kind}_deleted",
        study_id=holding.study_id,
        count=holding.files,
        bytes=holding.size_bytes,
        code=holding.cause,
    )
    if holding.kind is Kind.INSTANCES:
        node.audit.deleted(holding.study_instance_uid, holding.files, holding.cause)
    else:
        _on_loose(node, facts.result_keys, node.files.remove)
    return True


def remove_files(node: Node) -> bool:
    """Remove some files of instances that the index has let go of; False if there are none."""
    with node.database.transaction() as tx:
        condemned = removals.listed(tx, FILES)
    if condemned:
        node.files.remove_received((key, received_at) for _, key, received_at in condemned)
        with node.database.transaction() as tx:
            removals.done(tx, [row_id for row_id, _, _ in condemned])
    return bool(condemned)


def leaving(node: Node) -> Callable[[Receipt], bool]:
    """Whether the file of an instance that came again is about to be removed, because the index has let go of it.

    Nobody may be told that such an instance is stored; raises DatabaseUnavailable. Without retention none ever is.
    """
    with node.database.transaction() as tx:
        is_idle = policy_of(node.config).is_idle and not removals.listed(tx, 1)

    def is_leaving(stored: Receipt) -> bool:
        with node.database.transaction() as tx:
            return bool(removals.condemned(tx, [stored]))

    return (lambda stored: False) if is_idle else is_leaving


def left_behind(node: Node) -> tuple[ResultFile, ...]:
    """Files of ours that nobody refers to: of results that were replaced, and of steps that were cut off."""
    return _left_behind(node, lambda key: None)


def remove_left_behind(node: Node) -> tuple[ResultFile, ...]:
    """Remove them; those that were there."""
    files = _left_behind(node, node.files.remove)
    if files:
        log.event("results_collected", count=len(files), bytes=sum(file.size_bytes for file in files))
    return files


def _left_behind(node: Node, act: Callable[[str], None]) -> tuple[ResultFile, ...]:
    with node.database.transaction() as tx:
        held = retention.result_keys(tx)
    longest = timedelta(seconds=2 * max(node.config.limits.of(step) for step in Step))
    latest = node.now() - max(LEFT_BEHIND, longest)
    old = {f.file_key: f for f in node.files.results() if f.file_key not in held and f.written_at <= latest}
    return tuple(old[key] for key in _on_loose(node, old, act))


class Housekeeper:
    """Does all this in small pieces, beside the sweep; any number of them may."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._due: deque[Holding] = deque()
        self._is_busy = False
        self._next_at = self._collect_at = node.now()

    def tick(self) -> None:
        """Do the next piece, if there is one."""
        now = self._node.now()
        try:
            if self._is_busy:
                self._is_busy = self._go_on()
            elif now >= self._next_at:
                self._next_at, self._is_busy = now + PERIOD, True
                self._look(now)
        except NodeError as error:
            self._due.clear()
            self._is_busy = False
            log.event("retention_failed", level=logging.WARNING, code=error.code)

    def _go_on(self) -> bool:
        if remove_files(self._node):
            return True
        if self._due:
            delete(self._node, self._due.popleft())
            return True
        return False

    def _look(self, now: datetime) -> None:
        if not policy_of(self._node.config).is_idle:
            found = plan_retention(self._node)
            self._due.extend(found.leaving)
            _warn(found)
        if now >= self._collect_at:
            self._collect_at = now + LEFT_BEHIND
            remove_left_behind(self._node)


def _warn(found: Plan) -> None:
    """Say that the disk fills up and nothing can be done about it, and what is most often in the way."""
    if found.shortfall_bytes:
        stay = [holding for holding in found.holdings if holding.cause is None]
        often = Counter(reason.code for holding in stay for reason in holding.reasons).most_common(1)
        code = often[0][0] if often else None
        log.event(
            "disk_above_watermark",
            level=logging.WARNING,
            bytes=found.shortfall_bytes,
            count=len(stay),
            code=code,
            advice=ADVICE,
        )


def _held(node: Node) -> Iterator[StudyFacts]:
    last: StudyFacts | None = None
    while True:
        with node.database.transaction() as tx:
            page = retention.held(tx, last, PAGE)
        for facts in page:
            size_bytes = sum(node.files.size_bytes(key) for key in facts.result_keys)
            yield dataclasses.replace(facts, result_bytes=size_bytes)
        if len(page) < PAGE:
            return
        last = page[-1]


def _on_loose(node: Node, keys: Iterable[str], act: Callable[[str], None]) -> tuple[str, ...]:
    """Act on those of these files of jobs that nobody refers to, while the index sees to it that nobody begins to."""
    by_job: dict[JobId, list[str]] = defaultdict(list)
    for key in keys:
        if (name := _JOB.match(key)) is not None:
            by_job[JobId(int(name[1]))].append(key)
    loose: list[str] = []
    for job_id, mine in by_job.items():
        with node.database.transaction() as tx:
            for key in retention.loose(tx, job_id, mine):
                act(key)
                loose.append(key)
    return tuple(loose)
