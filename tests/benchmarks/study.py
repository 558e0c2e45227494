"""Wall and CPU seconds of every stage of one study: a phantom on the models of the repository, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from inference import eligibility
from inference.onnx import OnnxPredictor
from inference.pipeline import Pipeline, run
from inference.predictor import Predictor
from inference.registry import ModelRepository
from inference.series import load, read_headers
from inference.triton import TritonPredictor, launch
from pacs_node import report
from pacs_node.report import check, stored
from pacs_node.steps.offline import pipeline_named
from training.data import phantom
from training.data.phantom import dicomise

ROOT = Path(__file__).parents[2]
SEED = 10_001


Seconds = tuple[float, float]
"""By the clock, and of all CPUs in this process."""


class Stages:
    """Seconds by stage, in the order in which the stages were entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, Seconds] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a block to a stage."""
        began = _now()
        yield
        self.add(stage, began, _now())

    def add(self, stage: str, began: Seconds, ended: Seconds) -> None:
        """Add the seconds between two moments to a stage."""
        wall_s, cpu_s = self.seconds.get(stage, (0.0, 0.0))
        self.seconds[stage] = (wall_s + ended[0] - began[0], cpu_s + ended[1] - began[1])


def measure(folder: Path) -> tuple[str, dict[str, Seconds]]:
    """Run one study.

    Parameters
    ----------
    folder : for the phantom and Triton's files

    Returns
    -------
    what was measured, and the seconds of each stage
    """
    stages = Stages()
    with stages.timed("make the phantom (not part of a study)"):
        paths = dicomise.write(phantom.make(SEED), folder / "ct")
    models = ModelRepository(ROOT / "model_repository")
    pipeline = pipeline_named(models, "jnsc")
    slices, findings = _run(paths, pipeline, OnnxPredictor(models, threads=2), stages)
    with stages.timed("start Triton (not part of a study)"):
        server = launch(models.path, folder / "triton", threads=2)
    with server, stages.timed("load to measure once more, by Triton (its CPU is not counted)"):
        _detect_again(paths, pipeline, TritonPredictor(server.url, models))
    return f"SYNTHETIC phantom {SEED}, {slices} slices of 512 x 512, {findings} findings", stages.seconds


def _run(paths: list[Path], pipeline: Pipeline, predictor: Predictor, stages: Stages) -> tuple[int, int]:
    assert pipeline.detector.limits is not None
    with stages.timed("read headers"):
        (header,) = read_headers(paths)
    with stages.timed("judge"):
        verdict = eligibility.judge(header, pipeline.detector.limits)
    assert verdict.grid is not None
    with stages.timed("load"):
        volume = load(verdict.slices, verdict.grid)
    marks: list[tuple[str, Seconds]] = []
    result = run(volume, pipeline, predictor, progress=lambda stage, _: marks.append((stage, _now())))
    for (stage, began), (_, ended) in zip(marks, marks[1:], strict=False):
        stages.add({"lungs": "find lungs and resample"}.get(stage, stage), began, ended)
    with stages.timed("read headers for the result"):
        source, frames = stored.read_source(verdict.slices)
    identity = report.ResultIdentity(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        pipeline=pipeline.name,
        models=result.models,
        input_digest="benchmark",
    )
    request = report.ReportRequest(
        source=source,
        frame_numbers=frames,
        identity=identity,
        composed_at=datetime(2026, 1, 1, tzinfo=UTC),
        result=result,
    )
    with stages.timed("compose and encode SEG and SR"):
        documents = report.compose(request)
    with stages.timed("check SEG and SR"):
        sent = [stored.decoded(document.content) for document in documents]
        problems = check.check(source, sent, volume_hu=volume.volume_hu)
    assert problems == ()
    return len(verdict.slices), len(result.findings)


def _now() -> Seconds:
    return time.perf_counter(), time.process_time()


def _detect_again(paths: list[Path], pipeline: Pipeline, predictor: Predictor) -> None:
    assert pipeline.detector.limits is not None
    (header,) = read_headers(paths)
    verdict = eligibility.judge(header, pipeline.detector.limits)
    assert verdict.grid is not None
    run(load(verdict.slices, verdict.grid), pipeline, predictor)
