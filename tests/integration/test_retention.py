"""Retention on real databases and files: what goes, what stays, what a kill leaves, and what comes again."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pacs_node.archive.files import InstanceFiles
from pacs_node.archive.queries import commitments, deliveries, machine, retention, studies
from pacs_node.archive.session import Database
from pacs_node.audit.message import Message
from pacs_node.audit.reporter import Reporter
from pacs_node.cli import command_line
from pacs_node.config import Retention
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobState
from pacs_node.domain.retention import DAY_S, Cause, DiskUse
from pacs_node.domain.rule import Rule
from pacs_node.domain.study import StudyState
from pacs_node.errors import DatabaseUnavailable, InvalidTransition, PeerUnreachable
from pacs_node.node import Node
from pacs_node.steps import retain
from pacs_node.steps.reindex import reindex
from pacs_node.steps.retain import (
    Housekeeper,
    delete,
    left_behind,
    plan_retention,
    remove_files,
    remove_left_behind,
    run_retention,
)
from pacs_node.steps.retry import retry_job, retry_study
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.support.series import a_series
from tests.support.steps import QUIET_S, Clock, all_jobs, logged, receive, results, run_all, uid_of

THIRTY_DAYS = Retention(keep_instances_days=30, keep_results_days=30)
NO_RULE = Rule(name="mr-only", modality=("MR",))


class Killed(BaseException):
    """The process ends here; nothing in the node catches it."""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A series that is too short to be analysed, which is reported."""
    return a_series(tmp_path_factory.mktemp("short"), slices=3, study="SHORT")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A series of another study."""
    return a_series(tmp_path_factory.mktemp("other"), slices=3, study="OTHER")


def keeping(node: Node, settings: Retention, *rules: Rule) -> Node:
    """The node with other settings."""
    config = dataclasses.replace(node.config, retention=settings, rule=rules or node.config.rule)
    return dataclasses.replace(node, config=config)


def finished(node: Node, clock: Clock, paths: Sequence[Path]) -> None:
    """Receive a study and do all that follows."""
    receive(node, paths)
    clock.forward(QUIET_S)
    run_all(node)


def instances_on_disk(node: Node) -> int:
    return len(list(node.files.scan()))


def results_on_disk(node: Node) -> set[str]:
    return {file.file_key for file in node.files.results()}


def written_now(node: Node) -> None:
    """Let the files of results be as old as the clock of the tests says."""
    for key in results_on_disk(node):
        os.utime(node.files.path(key), (node.now().timestamp(),) * 2)


def study_of(node: Node, number: int = 1) -> Any:
    with node.database.transaction() as tx:
        return studies.get(tx, StudyId(number))


def check_rows_and_files_agree(node: Node) -> None:
    """No row names a file that is not there."""
    with node.database.transaction() as tx:
        keys = studies.file_keys(tx) | retention.result_keys(tx)
    assert [key for key in keys if not node.files.path(key).exists()] == []


def test_a_study_goes_when_its_time_is_over_and_its_page_still_says_what_it_was(
    any_node: Node, clock: Clock, short: list[Path]
) -> None:
    node = keeping(any_node, THIRTY_DAYS)
    finished(node, clock, short)
    assert (run_retention(node), instances_on_disk(node)) == ((), 3)
    before, keys = results(node, all_jobs(node)[0]), results_on_disk(node)
    assert len(before) == len(keys) > 0

    clock.forward(30 * DAY_S)
    planned = plan_retention(node).leaving
    assert [(h.kind, h.files, h.cause) for h in planned] == [
        ("instances", 3, Cause.EXPIRED),
        ("results", len(keys), Cause.EXPIRED),
    ]
    assert planned[1].size_bytes == sum(node.files.size_bytes(key) for key in keys)
    assert instances_on_disk(node) == 3
    assert run_retention(node) == planned
    assert (instances_on_disk(node), results_on_disk(node)) == (0, set())
    assert plan_retention(node).holdings == run_retention(node) == ()

    study, (job,) = study_of(node), all_jobs(node)
    assert (study.state, study.instance_count, job.state) == (StudyState.DELETED, 0, JobState.DONE)
    assert [(r.sop_instance_uid, r.deleted_at) for r in results(node, job)] == [
        (r.sop_instance_uid, clock.time) for r in before
    ]
    with node.database.transaction() as tx:
        lines = [machine.history(tx, machine.STUDIES, 1)[-1], machine.history(tx, machine.JOBS, job.id)[-1]]
        (decided,) = studies.decisions(tx, StudyId(1))
        (delivery,) = deliveries.of_job(tx, job.id)
    assert [(line.event, line.state, line.code) for line in lines] == [
        ("delete", "deleted", "retention.expired"),
        ("delete", "done", "retention.expired"),
    ]
    size_bytes = planned[0].size_bytes
    assert lines[0].text == f"3 files ({size_bytes} bytes) were deleted, because the time to keep it was over"
    assert (decided.verdict, delivery.state) == ("ineligible", "delivered")


def test_what_a_destination_has_not_got_stays(node: Node, clock: Clock, short: list[Path]) -> None:
    def down(destination: object, paths: object) -> None:
        raise PeerUnreachable

    kept = keeping(node, THIRTY_DAYS)
    finished(dataclasses.replace(kept, send=down), clock, short)
    clock.forward(31 * DAY_S)
    codes = [[reason.code for reason in holding.reasons] for holding in plan_retention(kept).holdings]
    assert codes == [["delivery.pending"], ["delivery.pending"]]
    assert (run_retention(kept), instances_on_disk(kept)) == ((), 3)
    run_all(kept)
    assert [holding.kind for holding in run_retention(kept)] == ["instances", "results"]


def test_what_was_promised_to_a_sender_stays_for_as_long_as_is_said(
    any_node: Node, clock: Clock, other: list[Path]
) -> None:
    node = keeping(any_node, dataclasses.replace(THIRTY_DAYS, keep_promised_days=60), NO_RULE)
    finished(node, clock, other)
    with node.database.transaction() as tx:
        (first, *_) = studies.instances(tx, StudyId(1))
        commitments.promise(tx, [first.sop_instance_uid], clock.time)
    clock.forward(59 * DAY_S)
    (holding,) = plan_retention(node).holdings
    assert [reason.code for reason in holding.reasons] == ["instance.promised"]
    assert run_retention(node) == ()
    clock.forward(1 * DAY_S)
    assert [holding.kind for holding in run_retention(node)] == ["instances"]


def test_an_instance_that_arrives_after_the_plan_keeps_its_study(
    any_node: Node, clock: Clock, other: list[Path]
) -> None:
    node = keeping(any_node, THIRTY_DAYS, NO_RULE)
    finished(node, clock, other[:2])
    clock.forward(30 * DAY_S)
    (planned,) = plan_retention(node).leaving
    receive(node, other[2:])
    assert delete(node, planned) is False
    assert (study_of(node).state, study_of(node).instance_count, instances_on_disk(node)) == ("receiving", 3, 3)
    check_rows_and_files_agree(node)


@pytest.mark.parametrize("page", [1, 2])
def test_studies_are_looked_at_page_by_page_the_oldest_first(
    any_node: Node, clock: Clock, short: list[Path], other: list[Path], page: int
) -> None:
    node = keeping(any_node, THIRTY_DAYS, NO_RULE)
    finished(node, clock, other[:1])
    finished(node, clock, short)
    finished(node, clock, other[1:])  # the study that came first is the youngest now
    with node.database.transaction() as tx:
        first = retention.held(tx, None, page)
        rest = retention.held(tx, first[-1], 10)
    assert [facts.id for facts in (*first, *rest)] == [2, 1]


class DyingDatabase:
    """A database whose user is killed at one of its transactions: before it is committed, or after."""

    def __init__(self, database: Database, *, at: int, is_committed: bool) -> None:
        self._database = database
        self._left = at
        self._is_committed = is_committed

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        self._left -= 1
        with self._database.transaction() as tx:
            yield tx
            if self._left < 0 and not self._is_committed:
                raise Killed
        if self._left < 0:
            raise Killed


class DyingFiles(InstanceFiles):
    """Files whose user is killed after it has removed some."""

    removes = 1

    def remove_received(self, receipts: Any) -> None:
        super().remove_received(list(receipts)[: self.removes])
        raise Killed


def dying_at(number: int, *, is_committed: bool) -> Callable[[Node], Node]:
    def died(node: Node) -> Node:
        database: Any = DyingDatabase(node.database, at=number, is_committed=is_committed)
        return dataclasses.replace(node, database=database)

    return died


def dying_among_files(node: Node) -> Node:
    return dataclasses.replace(node, files=DyingFiles(node.config.data))


# The transactions of a run: what is held, letting go, what files there are, forgetting these, what files are left.
KILLS = [
    pytest.param(dying_at(1, is_committed=False), True, id="before the index has let go"),
    pytest.param(dying_at(1, is_committed=True), False, id="after the index has let go"),
    pytest.param(dying_among_files, False, id="after the first file"),
    pytest.param(dying_at(3, is_committed=False), False, id="after all files"),
    pytest.param(dying_at(3, is_committed=True), False, id="at the end"),
]


@pytest.mark.parametrize(("dying", "is_whole"), KILLS)
def test_a_kill_leaves_the_whole_study_or_a_clean_deletion(
    any_node: Node,
    clock: Clock,
    other: list[Path],
    dying: Callable[[Node], Node],
    is_whole: bool,
) -> None:
    node = keeping(any_node, THIRTY_DAYS, NO_RULE)
    finished(node, clock, other)
    clock.forward(30 * DAY_S)
    with pytest.raises(Killed):
        run_retention(dying(node))
    check_rows_and_files_agree(node)
    reindex(node)  # as at every start
    check_rows_and_files_agree(node)
    study = study_of(node)
    assert (study.state, study.instance_count) == (("planned", 3) if is_whole else ("deleted", 0))
    assert len(run_retention(node)) == int(is_whole)
    assert (study_of(node).state, instances_on_disk(node)) == ("deleted", 0)
    with node.database.transaction() as tx:
        assert tx.scalar(sa.text("SELECT count(*) FROM removal")) == 0


def test_a_kill_before_the_files_of_a_result_leaves_them_to_be_collected(
    any_node: Node, clock: Clock, short: list[Path]
) -> None:
    node = keeping(any_node, Retention(keep_results_days=30))
    finished(node, clock, short)
    written_now(node)
    files = results_on_disk(node)
    clock.forward(30 * DAY_S)
    for number in (0, 1):  # what is held; letting go
        with pytest.raises(Killed):
            run_retention(dying_at(number, is_committed=False)(node))
        assert (results_on_disk(node), left_behind(node)) == (files, ())
    with pytest.raises(Killed):
        run_retention(dying_at(1, is_committed=True)(node))
    check_rows_and_files_agree(node)
    assert {file.file_key for file in left_behind(node)} == results_on_disk(node) == files
    assert {file.file_key for file in remove_left_behind(node)} == files
    assert results_on_disk(node) == set()


def test_an_instance_that_has_come_again_survives_the_removal_of_its_earlier_file(
    any_node: Node, clock: Clock, other: list[Path]
) -> None:
    node = keeping(any_node, THIRTY_DAYS, NO_RULE)
    finished(node, clock, other)
    clock.forward(30 * DAY_S)
    with pytest.raises(Killed):
        run_retention(dying_among_files(node))
    (gone,) = [path for path in other if not _is_on_disk(node, path)]
    receive(node, [gone])
    assert (study_of(node).state, study_of(node).instance_count) == ("receiving", 1)
    while remove_files(node):
        pass
    assert (instances_on_disk(node), reindex(node)) == (1, 0)
    check_rows_and_files_agree(node)


def test_an_instance_that_comes_again_before_its_file_is_removed_is_kept_as_a_new_one(
    any_node: Node, clock: Clock, other: list[Path]
) -> None:
    """Acknowledged is acknowledged, although the index has let go of it already."""
    node = keeping(any_node, THIRTY_DAYS, NO_RULE)
    finished(node, clock, other)
    clock.forward(30 * DAY_S)
    for holding in plan_retention(node).leaving:
        assert delete(node, holding)
    assert (instances_on_disk(node), study_of(node).instance_count) == (3, 0)
    receive(node, other[:1])
    assert (study_of(node).state, study_of(node).instance_count) == ("receiving", 1)
    while remove_files(node):
        pass
    assert _is_on_disk(node, other[0])
    assert (instances_on_disk(node), reindex(node)) == (1, 0)
    check_rows_and_files_agree(node)


def _is_on_disk(node: Node, path: Path) -> bool:
    return node.files.find_receipt(uid_of(path)) is not None


def test_a_damaged_instance_can_be_deleted_too(node: Node, clock: Clock, other: list[Path]) -> None:
    kept = keeping(node, THIRTY_DAYS, NO_RULE)
    finished(kept, clock, other)
    for key in list(kept.files.scan())[:1]:
        os.truncate(kept.files.path(key), 100)
    clock.forward(30 * DAY_S)
    run_retention(kept)
    assert instances_on_disk(kept) == 0


def test_a_deleted_study_that_comes_again_as_a_whole_is_recognised(node: Node, clock: Clock, chest: list[Path]) -> None:
    sent: list[int] = []
    kept = keeping(
        dataclasses.replace(node, send=lambda destination, paths: sent.append(len(paths))),
        Retention(keep_instances_days=30, keep_results_days=60),
    )
    finished(kept, clock, chest)
    (job,) = all_jobs(kept)
    before = {item.file_key: kept.files.path(item.file_key).read_bytes() for item in results(kept, job)}
    clock.forward(30 * DAY_S)
    run_retention(kept)
    assert (instances_on_disk(kept), len(results_on_disk(kept))) == (0, len(before) + 1)
    with pytest.raises(InvalidTransition, match="send the study again"):
        retry_job(kept, job.id)

    finished(kept, clock, chest)
    assert study_of(kept).state is StudyState.PLANNED
    assert [(again.id, again.state) for again in all_jobs(kept)] == [(job.id, JobState.DONE)]
    assert len(sent) == 1

    clock.forward(30 * DAY_S)
    run_retention(kept)
    assert results_on_disk(kept) == set()
    finished(kept, clock, chest)
    retry_job(kept, job.id)
    run_all(kept)
    (again,) = all_jobs(kept)
    assert (again.id, again.state, again.reasons) == (job.id, JobState.DONE, ())
    with kept.database.transaction() as tx:
        assert retention.loose(tx, job.id, results_on_disk(kept)) == ()
    assert {item.file_key: kept.files.path(item.file_key).read_bytes() for item in results(kept, again)} == before
    assert len(sent) == 2


def test_a_part_of_a_deleted_study_does_not_take_the_place_of_the_whole(
    any_node: Node, clock: Clock, short: list[Path]
) -> None:
    node = keeping(any_node, THIRTY_DAYS)
    finished(node, clock, short)
    clock.forward(30 * DAY_S)
    run_retention(node)
    finished(node, clock, short[:1])
    assert _verdicts(node) == [("withheld", ["series.deleted"])]
    assert len(all_jobs(node)) == 1

    clock.forward(30 * DAY_S)
    run_retention(node)
    finished(node, clock, short[:2])
    assert _verdicts(node) == [("withheld", ["series.deleted"])]
    finished(node, clock, short[2:])
    assert [verdict for verdict, _ in _verdicts(node)] == ["ineligible"]
    assert len(all_jobs(node)) == 1


def test_whoever_asks_for_it_gets_what_is_here_analysed(node: Node, clock: Clock, short: list[Path]) -> None:
    kept = keeping(node, THIRTY_DAYS)
    finished(kept, clock, short)
    clock.forward(30 * DAY_S)
    run_retention(kept)
    with pytest.raises(InvalidTransition):
        retry_study(kept, study_of(kept).study_instance_uid)
    finished(kept, clock, short[:2])
    retry_study(kept, study_of(kept).study_instance_uid)
    run_all(kept)
    first, second = all_jobs(kept)
    assert [verdict for verdict, _ in _verdicts(kept)] == ["ineligible"]
    assert (second.state, second.supersedes_job_id) == (JobState.DONE, first.id)


def test_the_decision_about_a_deleted_series_stays_when_another_series_comes(
    node: Node, clock: Clock, short: list[Path], tmp_path: Path
) -> None:
    kept = keeping(node, THIRTY_DAYS)
    finished(kept, clock, short)
    clock.forward(30 * DAY_S)
    run_retention(kept)
    finished(kept, clock, a_series(tmp_path / "more", slices=2, study="SHORT", series="MORE"))
    assert sorted(_verdicts(kept)) == [
        ("ineligible", ["series.too-few-slices", "series.too-short"]),
        ("withheld", ["series.deleted"]),
    ]
    assert len(all_jobs(kept)) == 1


def _verdicts(node: Node) -> list[tuple[str, list[str]]]:
    with node.database.transaction() as tx:
        return [(d.verdict, [reason.code for reason in d.reasons]) for d in studies.decisions(tx, StudyId(1))]


class SmallDisk(InstanceFiles):
    """A disk of 1000 bytes more than the instances on it."""

    def disk_use(self) -> DiskUse:
        used = sum(self.read_receipt(key).size_bytes for key in self.scan())
        return DiskUse(used_bytes=used, available_bytes=1000)


def on_a_small_disk(node: Node) -> Node:
    return dataclasses.replace(node, files=SmallDisk(node.config.data))


def test_for_want_of_room_the_oldest_study_goes_first(
    any_node: Node, clock: Clock, short: list[Path], other: list[Path]
) -> None:
    node = on_a_small_disk(keeping(any_node, Retention(high_fraction=0.8, low_fraction=0.8), NO_RULE))
    finished(node, clock, short)
    finished(node, clock, other)
    keeper = Housekeeper(node)
    assert [(h.study_id, h.cause) for h in plan_retention(node).leaving] == [(1, Cause.PRESSURE)]
    for _ in range(6):
        keeper.tick()
    assert (study_of(node, 1).state, study_of(node, 2).state, instances_on_disk(node)) == ("deleted", "planned", 3)
    with node.database.transaction() as tx:
        assert machine.history(tx, machine.STUDIES, 1)[-1].code == "retention.pressure"


def test_the_log_says_what_to_do_when_the_disk_is_full_and_nothing_may_go(
    node: Node, clock: Clock, other: list[Path]
) -> None:
    full = on_a_small_disk(keeping(node, Retention(high_fraction=0.1, low_fraction=0.1), NO_RULE))
    receive(full, other)
    with logged("disk_above_watermark") as lines:
        Housekeeper(full).tick()
    (line,) = lines
    assert (line["count"], line["code"]) == (1, "study.receiving")
    assert line["bytes"] == plan_retention(full).shortfall_bytes > 0
    assert "pulmonode retention plan" in line["advice"]
    assert instances_on_disk(full) == 3


def test_every_deletion_is_in_the_log_and_that_of_a_study_in_the_audit_trail(
    node: Node, clock: Clock, short: list[Path]
) -> None:
    kept = keeping(node, THIRTY_DAYS)
    finished(kept, clock, short)
    clock.forward(30 * DAY_S)
    trail: list[Message] = []
    audited = dataclasses.replace(kept, audit=Reporter(config=kept.config, record=trail.append, now=clock))
    with logged("instances_deleted") as instances, logged("results_deleted") as files:
        gone = run_retention(audited)
    (told,) = trail
    assert (told.kind, told.study_instance_uid, told.instances) == ("study deleted", gone[0].study_instance_uid, 3)
    assert [(line["study_id"], line["count"], line["bytes"], line["code"]) for line in (*instances, *files)] == [
        (1, holding.files, holding.size_bytes, "retention.expired") for holding in gone
    ]


def test_the_clock_deletes_by_itself_and_only_when_it_is_time_to_look(
    node: Node, clock: Clock, other: list[Path]
) -> None:
    kept = keeping(node, THIRTY_DAYS, NO_RULE)
    finished(kept, clock, other)
    keeper = Housekeeper(kept)
    keeper.tick()
    keeper.tick()
    clock.forward(30 * DAY_S)
    keeper.tick()
    assert study_of(kept).state is StudyState.PLANNED
    keeper.tick()
    assert (study_of(kept).state, instances_on_disk(kept)) == (StudyState.DELETED, 3)
    keeper.tick()
    assert instances_on_disk(kept) == 0


def test_a_clock_without_anything_to_delete_does_not_look_at_studies(node: Node, clock: Clock) -> None:
    Housekeeper(dying_at(1, is_committed=False)(node)).tick()  # one question: which files of results are held


def test_a_database_that_is_away_costs_one_look(node: Node, clock: Clock, other: list[Path]) -> None:
    class Away:
        asked = 0

        def transaction(self) -> Any:
            self.asked += 1
            raise DatabaseUnavailable

    away: Any = Away()
    keeper = Housekeeper(dataclasses.replace(keeping(node, THIRTY_DAYS), database=away))
    with logged("retention_failed") as lines:
        keeper.tick()
        keeper.tick()
    assert ([line["code"] for line in lines], away.asked) == (["database.unavailable"], 1)
    clock.forward(retain.PERIOD.total_seconds())
    keeper.tick()
    assert away.asked == 2


def test_files_that_nobody_refers_to_are_collected_once_they_are_old(
    any_node: Node, clock: Clock, short: list[Path]
) -> None:
    node = any_node
    finished(node, clock, short)
    live = results_on_disk(node)
    stray = {node.files.store_result(name, b"x") for name in ("job-1-seg-old.dcm", "findings-1-lost.npz")}
    foreign = {node.files.store_result(name, b"x") for name in ("job-77-sr-other.dcm", "notes.txt")}
    written_now(node)
    clock.forward(DAY_S - 1)
    assert left_behind(node) == ()
    clock.forward(1)
    assert {file.file_key for file in remove_left_behind(node)} == stray
    assert results_on_disk(node) == live | foreign


def test_no_file_is_collected_while_its_job_is_open_or_being_sent(
    any_node: Node, clock: Clock, short: list[Path]
) -> None:
    receive(any_node, short)
    clock.forward(QUIET_S)
    stray = any_node.files.store_result("job-1-sr-stray.dcm", b"x")
    written_now(any_node)
    seen = []

    def sending(destination: object, paths: object) -> None:
        remove_left_behind(later)
        seen.append(any_node.files.path(stray).exists())

    node = dataclasses.replace(any_node, send=sending)
    later = dataclasses.replace(node, now=lambda: clock.time + timedelta(days=2))
    calls = sweep(node)
    STEPS[calls[0].step](node, calls[0].row_id)
    remove_left_behind(later)
    seen.append(any_node.files.path(stray).exists())
    run_all(node)
    assert seen == [True, True]
    remove_left_behind(later)
    assert not any_node.files.path(stray).exists()


def test_the_command_shows_what_would_go_and_then_deletes_just_that(
    node: Node, clock: Clock, short: list[Path], tmp_path: Path
) -> None:
    finished(node, clock, short)
    config = tmp_path / "node.toml"
    config.write_text(f"""
        data = "{node.config.data}"
        models = "{node.config.models}"
        [database]
        url = "{node.config.database_url}"
        [retention]
        keep_instances_days = 30
    """)
    planned = _told("plan", config)
    assert [(row["what"], row["files"]) for row in planned["goes"]] == [("instances", 3)]
    assert [(row["what"], row["why"]) for row in planned["stays"]] == [
        ("results", ["it is kept for ever [retention.kept]"])
    ]
    assert instances_on_disk(node) == 3
    done = _told("run", config)
    assert (done["goes"], done["left_behind"]) == (planned["goes"], planned["left_behind"])
    assert (instances_on_disk(node), _told("plan", config)["goes"]) == (0, [])


def _told(verb: str, config: Path) -> Any:
    done = CliRunner().invoke(command_line(["retention", "node"]), ["retention", verb, "-c", str(config), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
