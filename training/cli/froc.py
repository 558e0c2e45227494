"""`pulmonode-train froc`: a finished detector on whole LUNA16 scans."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training import checkpoint, runs
from training.cli.measure import trained
from training.cli.options import CACHE, CacheFolder, DataFolder, RunFolder, Threads, console, sources_of_run
from training.data import luna16_mhd, splits
from training.data.kinds import Kind, marked_kind
from training.data.known import Refusal
from training.data.luna16_mhd import Luna16Scan
from training.errors import NothingToJudge, OtherRun
from training.evaluation import luna16_report as report
from training.evaluation.luna16_candidates import CandidateTable, detect
from training.evaluation.luna16_scans import detected, open_ended, patients_by_series, unseen
from training.served import TorchPredictor
from training.sources import Sources

A_DAY_S = 86_400.0


def froc(
    folder: RunFolder,
    scans: Annotated[
        Path, typer.Option(help="LUNA16: volumes, annotations.csv and annotations_excluded.csv.", exists=True)
    ],
    data: DataFolder,
    cache: CacheFolder = CACHE,
    threads: Threads = 1,
) -> None:
    """Measure a run of JNSC on whole LUNA16 scans that it was not trained on. Stop it with Ctrl-C; it goes on later.

    Writes froc.json, froc.md and froc.png, and the candidates in the form that LUNA16's own script takes.
    """
    torch.set_num_threads(threads)
    own = sources_of_run(folder, data, cache)
    recipe, system, model, steps = trained(folder, own)
    served = system.served(model)
    pipeline = open_ended(one.contract for one in served)
    chosen, left_out = _chosen(folder, scans, own)
    weights = hashlib.sha256((folder / checkpoint.FILE).read_bytes()).hexdigest()
    table = CandidateTable(folder, weights)
    waiting = [scan for scan in chosen if scan.series_uid not in table.done]
    console.print(f"{len(waiting)} scans to do, {len(chosen) - len(waiting)} were done before")
    broken = detect(_shown(waiting), table, partial(detected, pipeline=pipeline, predictor=TorchPredictor(served)))
    judged = [scan for scan in chosen if scan.series_uid in table.done]
    if not judged:
        raise NothingToJudge(f"no scan of {scans} has voxels that can be read; the first: {broken[0].text}")
    about = {"recipe": recipe.name, "steps": steps, "of_steps": system.steps, "checkpoint_sha256": weights}
    figures = about | report.figures(judged, table.done, [*left_out, *broken])
    report.write(figures, judged, table.done, folder)
    console.print(report.page(figures))


def _chosen(folder: Path, scans: Path, own: Sources) -> tuple[tuple[Luna16Scan, ...], tuple[Refusal, ...]]:
    """The scans that the run may be judged on, and the others.

    Raises
    ------
    NothingToJudge : no scan is left
    """
    train = _trained_on(folder, own)
    if marked_kind(scans) is not Kind.LUNA16:
        raise NothingToJudge(f"{scans} holds no {luna16_mhd.ANNOTATIONS}: it is no folder of LUNA16")
    patients = patients_by_series(own.data / "luna16_nodules" / "nodules.csv")
    chosen, left_out = unseen(luna16_mhd.find(scans, patients), train)
    for code, count in report.by_code(left_out).items():
        console.print(f"left out: {count} x {code}")
    if not chosen:
        raise NothingToJudge(f"no scan of {scans} is left to judge the run on; `pulmonode-train data check {scans}`")
    splits.guard(train, (scan.patient_id for scan in chosen))
    return chosen, left_out


def _trained_on(folder: Path, own: Sources) -> tuple[str, ...]:
    """The patients on the training side of a run's data.

    Raises
    ------
    OtherRun : the run does not say whom it was trained on, and not on the split of this data folder
    """
    if (folder / runs.PATIENTS).exists():
        return splits.load(folder / runs.PATIENTS).train
    if runs.read(folder)["splits_sha256"]["luna16"] != own.luna16_split.sha256:
        raise OtherRun(f"{folder} was trained on another split, so nobody can tell which scans it has seen; train anew")
    return own.luna16_split.train


def _shown(waiting: Sequence[Luna16Scan]) -> Iterator[Luna16Scan]:
    """The scans with a bar and the time left; plain lines where there is no terminal."""
    bar = Progress(
        TextColumn("scans"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, speed_estimate_period=A_DAY_S,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=len(waiting))
        for number, scan in enumerate(waiting, start=1):
            yield scan
            bar.advance(task)
            left_s = bar.tasks[0].time_remaining
            if not console.is_terminal and left_s is not None:
                console.print(f"{number} of {len(waiting)} scans, left {timedelta(seconds=round(left_s))}")
