"""Runs the demo: a PACS, the node, a sender; ends when SEG and SR have come back to the PACS."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from inference.series import find_files, read_headers
from pacs_node.archive import findings, records
from pacs_node.archive.queries import deliveries, jobs, studies
from pacs_node.config import Destination
from pacs_node.demo import parts
from pacs_node.demo.pacs import Pacs, running
from pacs_node.demo.truth import compared, read_truth
from pacs_node.dimse import scu
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import StudyUid
from pacs_node.domain.job import FINISHED, JobState
from pacs_node.domain.study import StudyState
from pacs_node.errors import NodeError, NotFound
from pacs_node.node import Node, build, peer_of
from pacs_node.printing import say, show_rows
from pacs_node.steps.offline import pictures
from pacs_node.steps.pipelines import pipeline_of

SENDER = "DEMOCT"
ENDED = (DeliveryState.DELIVERED, DeliveryState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for one study: its job, the findings, and the files fetched from the PACS."""

    job: records.Job
    nodules: tuple[records.FoundNodule, ...]
    files: tuple[Path, ...]


def run_demo(ct: Path | None, folder: Path, seed: int, timeout_s: float) -> bool:
    """Send a CT to a node of its own and show what comes back.

    Parameters
    ----------
    ct : a folder of DICOM; None makes a phantom (once) and sends that
    folder : where everything of the demo goes; `run` in it is emptied first
    seed : of the phantom
    timeout_s : how long to wait for the answer

    Returns
    -------
    whether SEG and SR of every study arrived

    Raises
    ------
    NodeError : a part of the demo does not start, or the answer does not come in time
    """
    console, started = Console(), time.monotonic()
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    directory = ct if ct is not None else parts.phantom(console, folder, seed)
    paths = find_files(directory)
    uids = sorted({StudyUid(header.study_instance_uid) for header in read_headers(paths)})
    with running(run / "pacs") as pacs:
        console.print(f"PACS      {pacs.name}, {pacs.destination.ae_title} on port {pacs.destination.port}")
        with parts.node(console, run, pacs.destination) as config:
            target = Destination(name="node", ae_title=config.scp.ae_title, host="127.0.0.1", port=config.scp.port)
            _sent(console, pacs.destination, paths)
            _sent(console, target, paths)
            node = build(config)
            answers = [_answer(console, node, pacs, uid, run / "results", timeout_s) for uid in uids]
            for answer in answers:
                _show(console, node, answer, directory, run / "results")
    console.print(f"Finished in {time.monotonic() - started:.0f} s. Results are for research use only.")
    return all(answer.files for answer in answers)


def _sent(console: Console, target: Destination, paths: Sequence[Path]) -> None:
    seconds = scu.echo(peer_of(target), calling_ae_title=SENDER).seconds
    console.print(f"C-ECHO    {target.ae_title} answers in {1000 * seconds:.0f} ms")
    started = time.monotonic()
    with console.status(f"C-STORE to {target.ae_title}"):
        sent = scu.store(peer_of(target), paths, calling_ae_title=SENDER)
    rate = len(sent) / (time.monotonic() - started)
    console.print(f"C-STORE   {len(sent)} instances to {target.ae_title}, {rate:.0f} per second")


def _answer(console: Console, node: Node, pacs: Pacs, uid: StudyUid, out: Path, timeout_s: float) -> Answer:
    job = _awaited(console, lambda: _progress(node, uid), timeout_s)
    if job is None:
        raise NodeError("no rule matches this study; `pulmonode rule explain DIR` says why")
    with node.database.transaction() as tx:
        items, nodules = jobs.results(tx, job.id), jobs.findings(tx, job.id)
    files = []
    out.mkdir(parents=True, exist_ok=True)
    for item in items:
        data = pacs.fetch(item.sop_instance_uid)
        if data is None:
            raise NodeError(f"the PACS accepted the {item.role.upper()}, but does not hold it")
        path = out / f"study-{job.study_id}-{item.role}.dcm"
        path.write_bytes(data)
        files.append(path)
    return Answer(job=job, nodules=nodules, files=tuple(files))


def _awaited(
    console: Console, look: Callable[[], tuple[str, bool, records.Job | None]], timeout_s: float
) -> records.Job | None:
    """Show each stage with its duration until the last one is over."""
    deadline, since, last = time.monotonic() + timeout_s, time.monotonic(), ""
    with console.status("waiting for the answer") as status:
        while True:
            stage, is_over, job = look()
            if stage != last:
                if last:
                    console.print(f"          {last}: {time.monotonic() - since:.1f} s")
                since, last = time.monotonic(), stage
                status.update(stage)
            if is_over:
                console.print(f"Answer    {stage}")
                return job
            if time.monotonic() > deadline:
                raise NodeError(f"no answer within {timeout_s:.0f} s; the study is {stage}")
            time.sleep(0.1)


def _progress(node: Node, uid: StudyUid) -> tuple[str, bool, records.Job | None]:
    """The stage that a study is in, whether that is the end, and its newest job."""
    with node.database.transaction() as tx:
        try:
            study = studies.find(tx, uid)
        except NotFound:
            return "receiving", False, None
        of_study = jobs.of_study(tx, study.id)
        sent = deliveries.of_job(tx, of_study[-1].id) if of_study else ()
    if study.state is not StudyState.PLANNED:
        stage = {StudyState.RECEIVING: "settling", StudyState.QUARANTINED: "quarantined"}.get(study.state, "planning")
        return stage, study.state is StudyState.QUARANTINED, None
    if not of_study:
        return "no job", True, None
    job = of_study[-1]
    if job.state is JobState.FAILED:
        return "failed", True, job
    if job.state not in FINISHED:
        names = {JobState.QUEUED: "waiting for a worker", JobState.RUNNING: "finding nodules"}
        return names.get(job.state, "writing SEG and SR"), False, job
    if all(delivery.state in ENDED for delivery in sent):
        return "delivered", True, job
    return "sending SEG and SR to the PACS", False, job


def _show(console: Console, node: Node, answer: Answer, directory: Path, out: Path) -> None:
    known = read_truth(directory / "truth.json")
    for reason in answer.job.reasons:
        say(f"Not analysed: {reason.text} [{reason.code}]")
    if known:
        show_rows(compared(known, answer.nodules), as_json=False, title="Findings beside the truth (SYNTHETIC phantom)")
    elif not answer.job.reasons:
        rows = [
            {
                "number": f.number,
                "centre_lps_mm": ", ".join(f"{value:.1f}" for value in f.centre_lps),
                "diameter_mm": f.equivalent_diameter_mm,
                "volume_mm3": f.volume_mm3,
                "type": f.attenuation,
                "side": f.laterality,
                "certainty": f.score,
                "malignancy": f.malignancy,
            }
            for f in answer.nodules
        ]
        show_rows(rows, as_json=False, title="Findings", empty="No nodule was found.")
    for path in [*answer.files, *_pictures(node, answer, out)]:
        say(str(path))


def _pictures(node: Node, answer: Answer, out: Path) -> list[Path]:
    job = answer.job
    if job.findings_key is None:
        return []
    with node.database.transaction() as tx:
        held = studies.instances(tx, job.study_id)
    paths = [node.files.path(i.file_key) for i in held if i.series_instance_uid == job.series_instance_uid]
    result = findings.decoded(node.files.path(job.findings_key).read_bytes())
    return pictures(paths, pipeline_of(node.models, job), result, out / f"study-{job.study_id}")
