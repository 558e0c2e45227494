"""What leaves the node for whom: profiles, what destinations refuse, and nodules that keep their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pydicom
import pytest

from inference.registry import ModelRepository
from pacs_node.archive.queries import deliveries, machine, support
from pacs_node.archive.records import Event, Job
from pacs_node.config import Destination
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.document import CLASS_UID, CLASS_UIDS, SR_CLASS_UID, DocumentRole, SrClass
from pacs_node.domain.job import JobState
from pacs_node.domain.retry import DELIVER
from pacs_node.errors import PeerRefusedContext, PeerRefusedInstance, PeerTimeout
from pacs_node.node import Node
from pacs_node.steps.publish import live_of, promote, publish
from pacs_node.steps.retry import retry_job, retry_study
from pacs_node.steps.shipping import probe_destination
from tests.support.ct_instances import uid
from tests.support.detectors import ball_release, ball_repository
from tests.support.series import a_chest_series
from tests.support.steps import (
    LATE_S,
    QUIET_S,
    Clock,
    all_jobs,
    delivery_states,
    findings,
    inside,
    opened_node,
    receive,
    results,
    run_all,
)

SEG, CAPTURE = CLASS_UID[DocumentRole.SEG], CLASS_UID[DocumentRole.CAPTURES]
THREE_D, TWO_D, ENHANCED = (SR_CLASS_UID[kind] for kind in SrClass)


class Peer:
    """A destination that takes what it takes, and keeps what it is sent."""

    def __init__(self, refused: Collection[str] = (), admits: Collection[str] | None = None) -> None:
        self.refused = frozenset(refused)
        self.admits = self.refused if admits is None else frozenset(admits)
        self.received: dict[str, pydicom.Dataset] = {}
        self.probes = 0

    def probe(self, destination: Destination, sop_class_uids: Sequence[str]) -> frozenset[str]:
        """What it says it refuses."""
        self.probes += 1
        return self.admits & frozenset(sop_class_uids)

    def send(self, destination: Destination, paths: Sequence[Path]) -> None:
        """What it really refuses."""
        for path in paths:
            dataset = pydicom.dcmread(path)
            if dataset.SOPClassUID in self.refused:
                raise PeerRefusedContext(sop_class_uid=dataset.SOPClassUID)
            self.received[dataset.SOPInstanceUID] = dataset

    @property
    def classes(self) -> list[str]:
        """The SOP classes of what it holds, in the order in which they came, each once."""
        return list(dict.fromkeys(str(item.SOPClassUID) for item in self.received.values()))


@pytest.fixture
def opened(models: Path, tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Node]]:
    """Opens the node with a profile of its only destination."""
    contexts = []

    def open_with(peer: Peer, *profile: str) -> Node:
        destination = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=1, profile=profile)
        database_url = f"sqlite:///{tmp_path / 'database.sqlite'}"
        contexts.append(opened_node(database_url, models, tmp_path, clock, destination))
        return dataclasses.replace(contexts[-1].__enter__(), send=peer.send, probe=peer.probe)

    yield open_with
    for context in contexts:
        context.__exit__(None, None, None)


def _delivered(node: Node, clock: Clock, paths: Sequence[Path]) -> Job:
    receive(node, paths)
    clock.forward(LATE_S)
    run_all(node)
    job = all_jobs(node)[-1]
    assert delivery_states(node, job) == [DeliveryState.DELIVERED]
    return job


def _last_event(node: Node, job: Job) -> Event:
    (delivery,) = inside(node, lambda tx: deliveries.of_job(tx, job.id))
    return inside(node, lambda tx: machine.history(tx, machine.DELIVERIES, delivery.id))[-1]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("profile", "classes"),
    [
        (["seg+sr"], [SEG, THREE_D]),
        (["images-only"], [CAPTURE]),
        (["full"], [SEG, THREE_D, CAPTURE, CLASS_UID[DocumentRole.PRESENTATION]]),
        (["sr", "structures"], [THREE_D, CLASS_UID[DocumentRole.STRUCTURES]]),
    ],
)
def test_a_destination_gets_the_documents_of_its_profile(
    opened: Callable[..., Node], clock: Clock, chest: list[Path], profile: list[str], classes: list[str]
) -> None:
    peer = Peer()
    node = opened(peer, *profile)
    job = _delivered(node, clock, chest)
    assert peer.classes == classes
    assert _last_event(node, job).code is None


def test_whatever_is_sent_the_node_keeps_seg_and_report(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    node = opened(Peer(), "images-only")
    job = _delivered(node, clock, chest)
    assert {"seg", "sr"} < {item.role for item in results(node, job)}


def test_a_report_goes_out_as_the_next_class_with_a_warning_and_a_uid_of_its_own(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    peer = Peer(refused=[THREE_D])
    node = opened(peer, "seg+sr")
    job = _delivered(node, clock, chest)
    assert peer.classes == [SEG, TWO_D]
    event = _last_event(node, job)
    assert (event.code, event.text) == (
        "delivery.fallback",
        "sr is sent as comprehensive SR, because the destination does not take a richer class",
    )
    reports = {item.sop_class_uid: item.sop_instance_uid for item in results(node, job) if item.role == "sr"}
    assert set(reports) == {THREE_D, TWO_D}
    assert reports[THREE_D] != reports[TWO_D]


def test_what_a_destination_only_refuses_when_it_is_sent_is_replaced_and_remembered(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    peer = Peer(refused=[SEG, THREE_D], admits=[])
    node = opened(peer, "seg+sr")
    job = _delivered(node, clock, chest)
    assert peer.classes == [TWO_D, CAPTURE]
    assert "captures take the place of seg" in (_last_event(node, job).text or "")
    (destination,) = node.config.destination
    known = inside(node, lambda tx: support.of(tx, "pacs", destination.endpoint))
    assert known.refused == tuple(sorted([SEG, THREE_D]))  # type: ignore[attr-defined]


def test_a_destination_is_asked_once_and_anew_after_it_moved(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    peer = Peer(refused=[THREE_D])
    node = opened(peer, "seg+sr")
    _delivered(node, clock, chest[:-5])
    _delivered(node, clock, chest[-5:])
    assert peer.probes == 1
    moved = dataclasses.replace(node.config.destination[0], port=2)
    there = dataclasses.replace(node, config=dataclasses.replace(node.config, destination=(moved,)))
    assert inside(there, lambda tx: (support.of(tx, "pacs", moved.endpoint),)) == (None,)


def test_a_destination_that_takes_nothing_is_asked_again_and_loses_no_result(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    peer = Peer(refused=CLASS_UIDS)
    node = opened(peer, "full")
    receive(node, a_chest_series(tmp_path, slices=3))
    clock.forward(QUIET_S)
    run_all(node)
    (job,) = all_jobs(node)
    assert delivery_states(node, job) == [DeliveryState.PENDING]
    assert _last_event(node, job).code == "peer.takes-nothing"
    peer.refused = peer.admits = frozenset()  # its administrator has allowed everything
    clock.forward(DELIVER.longest_s)
    run_all(node)
    assert delivery_states(node, job) == [DeliveryState.DELIVERED]
    assert peer.classes == [THREE_D, CAPTURE]


def test_a_destination_that_refused_something_is_asked_again_after_a_day(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    peer = Peer(refused=[THREE_D])
    node = opened(peer, "sr")
    for study, wait_s in (("1", QUIET_S), ("2", QUIET_S), ("3", 86400)):
        receive(node, a_chest_series(tmp_path / study, slices=3, study=study, series=study))
        clock.forward(wait_s)
        run_all(node)
    assert peer.probes == 2


def test_a_result_that_has_nothing_of_the_profile_says_so(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    peer = Peer()
    node = opened(peer, "seg")
    job = _delivered(node, clock, a_chest_series(tmp_path, slices=3))
    assert peer.received == {}
    assert "nothing was sent" in (_last_event(node, job).text or "")


def test_documents_that_are_added_after_the_settings_changed_make_another_result_for_all(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    """The report with other tracking identifiers must not come under the UID of the one before."""
    peer = Peer()
    node = opened(peer, "seg+sr")
    job = _delivered(node, clock, chest)
    before = dict(peer.received)
    hydrated = dataclasses.replace(node.config.report, ohif_hydration=True)
    fuller = dataclasses.replace(node.config.destination[0], profile=("seg+sr", "captures"))
    config = dataclasses.replace(node.config, report=hydrated, destination=(fuller,))
    changed = dataclasses.replace(node, config=config)
    with node.database.transaction() as tx:
        deliveries.create(tx, job.id, ["pacs"], clock())
    run_all(changed)
    run_all(changed)
    assert delivery_states(node, job) == [DeliveryState.DELIVERED]
    held = {item.sop_instance_uid for item in results(node, job)}
    assert held.isdisjoint(before)
    assert held <= peer.received.keys()
    assert len({item.file_key for item in results(node, job)}) == len(held)


def test_one_instance_that_a_destination_chokes_on_holds_up_no_other(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    peer, calls = Peer(), []

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        calls.append(destination.name)
        study = pydicom.dcmread(paths[0]).StudyInstanceUID
        if study == uid("poison"):
            error = PeerTimeout()
            error.is_met = True
            raise error
        peer.send(destination, paths)

    node = dataclasses.replace(opened(peer, "sr"), send=send)
    for study in ("poison", "2", "3"):
        receive(node, a_chest_series(tmp_path / study, slices=3, study=study, series=study))
    clock.forward(QUIET_S)
    run_all(node)
    assert len(peer.received) == 2


def test_every_report_speaks_of_segments_that_exist(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    peer = Peer(refused=[THREE_D, TWO_D])
    node = opened(peer, "seg+sr")
    _delivered(node, clock, chest)
    seg, report = peer.received.values()
    assert report.SOPClassUID == ENHANCED
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = {i.ReferencedSOPInstanceUID for s in evidence.ReferencedSeriesSequence for i in s.ReferencedSOPSequence}
    assert seg.SOPInstanceUID in listed


def test_a_newer_result_names_its_predecessor_and_keeps_the_names_of_its_nodules(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    peer = Peer()
    node = opened(peer, "seg+sr", "rejection")
    first = _delivered(node, clock, chest[:-5])
    earlier = dict(peer.received)
    second = _delivered(node, clock, chest[-5:])
    assert second.supersedes_job_id == first.id
    assert [f.tracking_uid for f in findings(node, second)] == [f.tracking_uid for f in findings(node, first)]
    _assert_superseded(earlier, peer.received)


def test_another_version_of_a_model_makes_a_newer_result_of_the_same_nodules(
    clock: Clock, chest: list[Path], tmp_path: Path
) -> None:
    peer, models = Peer(), ModelRepository(ball_repository(tmp_path / "models"))
    destination = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=1, profile=("seg+sr", "rejection"))
    database_url = f"sqlite:///{tmp_path / 'database.sqlite'}"
    with opened_node(database_url, models.path, tmp_path, clock, destination) as plain:
        node = dataclasses.replace(plain, send=peer.send, probe=peer.probe)
        first = _delivered(node, clock, chest)
        earlier = dict(peer.received)
        live = live_of(node.config, models)
        publish(models, live, ball_release(tmp_path / "release", 41.0), lambda text: None)
        promote(models, live, "jnsc", None, lambda text: None)
        retry_study(node, first.study_instance_uid)
        clock.forward(LATE_S)
        run_all(node)
        jobs = all_jobs(node)
        assert [{use.version for use in job.models} for job in jobs] == [{1}, {2}]
        assert (jobs[1].supersedes_job_id, delivery_states(node, jobs[1])) == (first.id, [DeliveryState.DELIVERED])
    _assert_superseded(earlier, peer.received)


def _assert_superseded(earlier: Mapping[str, pydicom.Dataset], received: Mapping[str, pydicom.Dataset]) -> None:
    """The later of two results is of other instances, names the report of the first, tracks its nodules, rejects it."""
    later = [item for uid, item in received.items() if uid not in earlier]
    assert [item.Modality for item in later] == ["SEG", "SR", "KO"]
    old, new = (_report(items) for items in (earlier.values(), later))
    (study,) = new.PredecessorDocumentsSequence
    (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert _segments(later[0]) == _segments(next(iter(earlier.values())))
    assert _tracked(new) == _tracked(old) == {*_segments(later[0])}
    (rejected,) = later[2].CurrentRequestedProcedureEvidenceSequence
    listed = [item for series in rejected.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
    assert {str(item.ReferencedSOPInstanceUID) for item in listed} == earlier.keys()


def test_a_destination_that_is_down_is_left_alone_and_then_gets_everything_at_once(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    peer, calls = Peer(), []

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        calls.append(destination.name)
        if len(calls) <= 2:
            raise PeerTimeout
        peer.send(destination, paths)

    node = dataclasses.replace(opened(peer, "sr"), send=send)
    for study in ("1", "2", "3"):
        receive(node, a_chest_series(tmp_path / study, slices=3, study=study, series=study))
    clock.forward(QUIET_S)
    run_all(node)
    assert len(calls) == 1  # the first of three failed, and the others did not even try
    receive(node, a_chest_series(tmp_path / "4", slices=3, study="4", series="4"))
    clock.forward(QUIET_S * 0.3)
    run_all(node)
    assert len(calls) == 1
    clock.forward(QUIET_S)  # longer than the first delay of 3.75 s
    run_all(node)
    assert len(calls) == 2  # one of them tried for all
    clock.forward(DELIVER.longest_s)
    run_all(node)
    assert len(calls) == 6
    assert len(peer.received) == 4


def test_a_probe_that_gets_through_lets_the_deliveries_follow(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    peer = Peer()

    def down(destination: Destination, paths: Sequence[Path]) -> None:
        raise PeerTimeout

    node = opened(peer, "sr")
    receive(node, a_chest_series(tmp_path, slices=3))
    clock.forward(QUIET_S)
    run_all(dataclasses.replace(node, send=down))
    probe_destination(node, node.config.destination[0])
    run_all(node)
    assert len(peer.received) == 1


def test_an_instance_that_is_refused_for_now_holds_up_no_other(
    opened: Callable[..., Node], clock: Clock, tmp_path: Path
) -> None:
    calls: list[str] = []

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        calls.append(destination.name)
        if len(calls) == 1:
            raise PeerRefusedInstance(retryable=True)

    node = dataclasses.replace(opened(Peer(), "sr"), send=send)
    for study in ("1", "2"):
        receive(node, a_chest_series(tmp_path / study, slices=3, study=study, series=study))
    clock.forward(QUIET_S)
    run_all(node)
    assert len(calls) == 2
    run_all(node)
    assert len(calls) == 2  # the success of the other is no reason to try that one again


def test_a_job_that_runs_again_gives_no_documents_meanwhile(
    opened: Callable[..., Node], clock: Clock, chest: list[Path]
) -> None:
    peer = Peer(refused=[SEG], admits=[])
    node = opened(peer, "seg+sr")

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        if not peer.received and all_jobs(node)[0].state is JobState.DONE:
            retry_job(node, all_jobs(node)[0].id)
        peer.send(destination, paths)

    busy = dataclasses.replace(node, send=send)
    receive(node, chest)
    clock.forward(QUIET_S)
    run_all(busy)
    assert peer.received == {}  # what replaces the SEG is not made of findings that are gone
    clock.forward(DELIVER.longest_s)
    run_all(node)
    assert peer.classes == [THREE_D, CAPTURE]
    assert "Not analysed" not in str(peer.received.values())


def test_the_nodules_of_another_space_are_not_the_same(
    opened: Callable[..., Node], clock: Clock, chest: list[Path], tmp_path: Path
) -> None:
    node = opened(Peer(), "seg+sr")
    first = _delivered(node, clock, chest[:-5])
    elsewhere = []
    for number, path in enumerate(chest):
        dataset = pydicom.dcmread(path)
        dataset.FrameOfReferenceUID, dataset.SeriesInstanceUID = "1.2.3.4.5", "1.2.3.4.6"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.6.{number + 1}"
        elsewhere.append(tmp_path / f"{number}.dcm")
        dataset.save_as(elsewhere[-1])
    second = _delivered(node, clock, elsewhere)
    assert second.series_instance_uid != first.series_instance_uid
    before, now = ([f.tracking_uid for f in findings(node, job)] for job in (first, second))
    assert len(before) == len(now) == 1
    assert before != now


def _report(items: Collection[pydicom.Dataset]) -> pydicom.Dataset:
    return next(item for item in items if item.Modality == "SR")


def _tracked(item: pydicom.Dataset) -> set[str]:
    """Every Tracking UID below a content item."""
    children = item.get("ContentSequence") or ()
    own = {str(child.UID) for child in children if child.ValueType == "UIDREF" and _is_tracking(child)}
    return own.union(*map(_tracked, children))


def _is_tracking(item: pydicom.Dataset) -> bool:
    return bool(item.ConceptNameCodeSequence[0].CodeValue == "112040")


def _segments(seg: pydicom.Dataset) -> list[str]:
    return [str(segment.TrackingUID) for segment in seg.SegmentSequence]
