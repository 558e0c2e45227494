"""What the detector costs on CPU in each runtime, and what it changes in the findings how it is asked, and how exactly.

CPU seconds by `time.process_time`, a process for each reading, runtimes in turn. Called by `make bench`.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.contract import COARSEST
from inference.eligibility.stack import sorted_stack, stack_grid
from inference.engine import Engine
from inference.findings import Finding
from inference.lungs import find_lungs
from inference.one_pass import probability_in_one_pass
from inference.onnx import OnnxPredictor
from inference.parts import LARGEST
from inference.pipeline import Pipeline, run
from inference.predictor import FloatTensor, Predictor
from inference.preprocess import prepare
from inference.registry import ModelRepository
from inference.series import find_files, load, read_headers
from inference.volume import Volume
from pacs_node.steps.offline import pipeline_named
from tests.benchmarks import phantoms
from tests.benchmarks.goals import Goal, Measured
from tests.benchmarks.halves import HalvesPredictor
from tests.support.memory import peak_bytes, resident_bytes
from training.data import phantom, splits
from training.data.luna16 import load as load_nodules
from training.systems.jnsc import patches, report
from training.systems.jnsc.recipes import jnsc_one_pass

ROOT = Path(__file__).parents[2]
MODELS = ModelRepository(ROOT / "model_repository")
DATA = ROOT / "../shared/data"
THREADS, WINDOWS, ROUNDS = 2, 12, 3
REAL_CTS = (("LIDC-IDRI-0001", 0), ("C3N-00247", 0), ("ACRIN-FLT-Breast_001", 0), ("ACRIN-FLT-Breast_001", 1))
PHANTOMS = (10_001, 10_002)
FROC = ("sensitivity", "sensitivity_at_1_per_1000_cm3", "false_per_cm3")

Ask = Callable[[FloatTensor], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """CPU seconds to load the detector and for a window, after the first ones; and the most memory that it took."""

    load_s: float
    window_s: float
    peak_mb: float


def measured() -> Measured:
    """The runtimes in turn, and then the findings."""
    readings = by_runtime()
    fields = ("load_s", "window_s", "peak_mb")
    middles = {name: [_middle(each, field) for field in fields] for name, each in readings.items()}
    rows = [f"  {name:22}{a:8.2f}{b * 1000:8.0f}{c:8.0f}" for name, (a, b, c) in middles.items()]
    torch_s, ours_s = (middles[name][1] for name in ("torch", "OpenVINO, as served"))
    compared, on_patches = list(findings_compared(torch_s)), validation_patients()
    goals = [
        Goal(what="a window on CPU: x faster than torch", value=torch_s / ours_s, bound=2.0),
        *(goal for each in (*compared, on_patches) for goal in each.goals),
    ]
    texts = [
        f"The detector with {THREADS} threads: CPU seconds to load, CPU ms a window of 64^3, peak MB of the process",
        *rows,
        by_shapes(),
        *(each.text for each in compared),
        *(seams(name, volume) for name, volume in itertools.islice(_volumes(), 2)),
        on_patches.text,
        phantoms.found(),
    ]
    return Measured(text="\n".join(texts), goals=tuple(goals))


def by_runtime() -> dict[str, list[Reading]]:
    """Readings of every runtime, each in a process of its own."""
    runtimes = {
        "torch": _torch,
        "ONNX Runtime": _onnx_runtime,
        "OpenVINO in float32": _exact,
        "OpenVINO, as served": as_served,
    }
    readings: dict[str, list[Reading]] = {name: [] for name in runtimes}
    for _ in range(ROUNDS):
        for name, made in runtimes.items():
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                readings[name].append(pool.submit(reading, made).result())
    return readings


def by_shapes(counts: Sequence[int] = (32, 128, 256)) -> str:
    """How the memory of a process grows with the shapes that the detector was asked in."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        taken_mb = pool.submit(memory_after, counts).result()
    told = ", ".join(f"{mb:.0f} MB after {count}" for count, mb in zip(counts, taken_mb, strict=True))
    return f"  memory of a process that asks the detector in shape after shape: {told}"


def memory_after(counts: Sequence[int]) -> list[float]:
    """MB of this process after so many questions to the detector, each of another shape as a rule."""
    contract = pipeline_named(MODELS, "jnsc").detector
    ask = as_served(MODELS.artefact(contract.model, contract.version))
    lengths, taken_mb = np.random.default_rng(0).integers(4, 12, (max(counts), 3)) * COARSEST, []
    for number, shape in enumerate(lengths, start=1):
        ask(np.zeros((1, 1, *shape), np.float32))
        if number in counts:
            taken_mb.append(resident_bytes() / 1e6)
    return taken_mb


def findings_compared(torch_window_s: float) -> Iterator[Measured]:
    """CTs as served: what that costs and finds beside windows in float32 as in paper 4 (stride 32), and beside itself.

    Beside itself: with both views of all of it, in float32 instead of bfloat16, and in float16 as on a graphics card.
    """
    served = pipeline_named(MODELS, "jnsc")
    in_windows, in_both_views = _changed(served, is_one_pass=False), _changed(served)
    exact, brief = Counting(OnnxPredictor(MODELS, threads=THREADS, exact=True)), Counting(_as_served())
    half = Counting(HalvesPredictor(MODELS, served.detector.model, threads=THREADS))
    for name, volume in _volumes():
        windows, windows_s, count = _timed(volume, in_windows, exact)
        found, found_s, brief_count = _timed(volume, served, brief)
        in_float32, in_float16 = (_timed(volume, served, predictor)[0] for predictor in (exact, half))
        same, halved = likeness(windows, found), likeness(in_float32, in_float16)
        lines = [
            f"  {name}: windows asked {count:.0f} and {brief_count:.0f}, CPU s of all stages {windows_s:.1f} and "
            f"{found_s:.1f}",
            f"    as served beside windows in float32: {same.text}",
            f"    beside both views of all, as served: {likeness(_timed(volume, in_both_views, brief)[0], found).text}",
            f"    beside float32: {likeness(in_float32, found).text}",
            f"    float16 beside float32: {halved.text}",
        ]
        ratio = torch_window_s * count / max(found_s, 1e-9)
        yield Measured(
            text="\n".join(lines),
            goals=(
                Goal(what=f"{name}: findings lost or added as served", value=same.changed, bound=0, is_least=False),
                Goal(what=f"{name}: least Dice of a finding", value=same.dice, bound=0.98),
                Goal(what=f"{name}: the pipeline, x faster than torch over every window", value=ratio, bound=10.0),
                Goal(what=f"{name}: findings that float16 changes", value=halved.changed, bound=0, is_least=False),
                Goal(what=f"{name}: least Dice of a finding in float16", value=halved.dice, bound=0.98),
            ),
        )


def _changed(served: Pipeline, *, is_one_pass: bool = True) -> Pipeline:
    """The pipeline with all that a detector could say asked of it; findings below the score have to be left out."""
    assert served.detector.detection is not None
    detection = dataclasses.replace(served.detector.detection, operating_score=0.0, is_one_pass=is_one_pass)
    return dataclasses.replace(served, detector=dataclasses.replace(served.detector, detection=detection))


def _as_served() -> OnnxPredictor:
    return OnnxPredictor(MODELS, threads=THREADS)


def seams(name: str, volume: Volume) -> str:
    """What it changes that a CT is asked in parts with margins, and not as one."""
    detector = pipeline_named(MODELS, "jnsc").detector
    assert detector.detection is not None
    field = prepare(volume, find_lungs(volume).mask_kji, detector)
    engine = Engine(MODELS.artefact(detector.model, detector.version), threads=THREADS, is_exact=True)
    in_parts, as_one = (
        probability_in_one_pass(
            field.values_kji,
            lambda window: _answer(engine, window),
            lambda share: None,
            dataclasses.replace(detector.detection, operating_score=0.0),  # everything is asked in both views
            largest=most,
        )
        for most in (LARGEST, field.values_kji.size)
    )
    off = np.abs(in_parts - as_one)
    flipped = ((in_parts >= detector.detection.threshold) != (as_one >= detector.detection.threshold)).sum()
    return (
        f"  {name} in parts and as one, float32: probability off by {off.max():.3f} at most, by more than 0.01 in "
        f"{(off > 0.01).sum()} of {off.size} voxels; {flipped} on the other side of the threshold"
    )


def _answer(engine: Engine, window: FloatTensor) -> FloatTensor:
    return engine.run({"window": window}, ["probability"])["probability"][:, 0]


def validation_patients() -> Measured:
    """Sensitivity and false findings on patches of validation patients, both views: float32, bfloat16, float16."""
    folder = DATA / "luna16_nodules"
    if not folder.is_dir():
        return Measured(text="  validation patients: their patches are not there")
    kept = set(splits.load(ROOT / "training/data/luna16_split.json").validation)
    nodules = [nodule for nodule in load_nodules(folder) if nodule.patient_id in kept]
    pipeline = pipeline_named(MODELS, "jnsc")
    assert pipeline.head is not None and pipeline.detector.detection is not None
    predictors: dict[str, Predictor] = {
        "float32": OnnxPredictor(MODELS, threads=THREADS, exact=True),
        "bfloat16": _as_served(),
        "float16": HalvesPredictor(MODELS, pipeline.detector.model, threads=THREADS),
    }
    rows, reports = [], {}
    for name, predictor in predictors.items():
        cases = patches.evaluate(nodules, pipeline.detector, pipeline.head, predictor)
        reports[name] = figures = report.patch_report(cases, pipeline.detector.detection.operating_score)
        shown = (*FROC, "dice_of_found", "malignancy_auc")
        rows.append(
            f"  {len(nodules)} nodules of validation patients, {name}: "
            + ", ".join(f"{key} {figures[key]['value']} {figures[key]['interval_95']}" for key in shown)
        )
    goals = [
        Goal(
            what=f"validation patients, {name}: FROC figures outside the interval of float32",
            value=outside,
            bound=0,
            is_least=False,
        )
        for name in ("bfloat16", "float16")
        for outside in [sum(not _is_within(reports[name][key], reports["float32"][key]) for key in FROC)]
    ]
    return Measured(text="\n".join(rows), goals=tuple(goals))


def _is_within(figure: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    low, high = other["interval_95"]
    return bool(low <= figure["value"] <= high)


class Counting:
    """Counts what a detector is asked, in voxels of a window of its contract."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.windows = 0.0

    def infer(self, model, version, inputs, outputs):  # type: ignore[no-untyped-def]
        self.windows += inputs["window"].size / 64**3 if "window" in inputs else 0
        return self._predictor.infer(model, version, inputs, outputs)


def _timed(volume: Volume, pipeline: Pipeline, predictor: Counting) -> tuple[list[Finding], float, float]:
    """The findings from the operating score that is served on, the CPU seconds, and the windows that were asked."""
    before, started_s = predictor.windows, time.process_time()
    found = run(volume, pipeline, predictor).findings
    taken_s = time.process_time() - started_s
    detection = pipeline_named(MODELS, "jnsc").detector.detection
    assert detection is not None
    return [one for one in found if one.score >= detection.operating_score], taken_s, predictor.windows - before


def _volumes() -> Iterator[tuple[str, Volume]]:
    for name, number in REAL_CTS:
        if (DATA / "ct" / name).is_dir():
            yield f"{name} ({number + 1})", real_volume(name, number)
    for seed in PHANTOMS:
        yield f"SYNTHETIC phantom {seed}", phantom.make(seed).volume


def real_volume(name: str, number: int) -> Volume:
    """A CT of the data folder; of several series in it, by UID, that of this number."""
    series = sorted(read_headers(find_files(DATA / "ct" / name)), key=lambda item: item.series_instance_uid)[number]
    stack = sorted_stack(series.slices)
    return load(stack, stack_grid(stack))


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How far two sets of findings are the same: in words, how many are lost or new, the least Dice of the others."""

    text: str
    changed: int
    dice: float


def likeness(expected: Sequence[Finding], found: Sequence[Finding]) -> Likeness:
    """Compare findings by their masks; one is lost if none of the others overlaps it."""
    pairs = [_best(one, found) for one in expected]
    kept = [(dice, difference) for dice, difference in pairs if dice > 0.0]
    lost, more = len(expected) - len(kept), len(found) - len(kept)
    worst, score = min((dice for dice, _ in kept), default=1.0), max((off for _, off in kept), default=0.0)
    text = f"{len(expected)} findings, {lost} lost, {more} more, Dice from {worst:.3f}, scores within {score:.3f}"
    return Likeness(text=text, changed=lost + more, dice=worst)


def _best(one: Finding, others: Sequence[Finding]) -> tuple[float, float]:
    """Dice of the finding that overlaps most, and the difference of the scores."""
    dices = [(_dice(one, other), abs(one.score - other.score)) for other in others]
    return max(dices, default=(0.0, 1.0))


def _dice(one: Finding, other: Finding) -> float:
    voxels = [set(map(tuple, (np.argwhere(f.mask.voxels) + f.mask.start_kji).tolist())) for f in (one, other)]
    return 2 * len(voxels[0] & voxels[1]) / (len(voxels[0]) + len(voxels[1]))


def reading(made: Callable[[bytes], Ask]) -> Reading:
    """What the detector of the repository costs in this process."""
    contract = pipeline_named(MODELS, "jnsc").detector
    artefact = MODELS.artefact(contract.model, contract.version)
    windows = np.random.default_rng(0).normal(size=(4, 1, 64, 64, 64)).astype(np.float32)
    with _cpu() as load_s:
        ask = made(artefact)
        ask(windows)
    with _cpu() as asking_s:
        for _ in range(WINDOWS // len(windows)):
            ask(windows)
    return Reading(load_s=load_s[0], window_s=asking_s[0] / WINDOWS, peak_mb=peak_bytes() / 1e6)


@contextmanager
def _cpu() -> Iterator[list[float]]:
    taken: list[float] = []
    started_s = time.process_time()
    yield taken
    taken.append(time.process_time() - started_s)


def _torch(artefact: bytes) -> Ask:
    """The network of the recipe that is served, with weights that were not trained: they cost the same."""
    import torch

    from training.networks.jnsc import Jnsc

    torch.set_num_threads(THREADS)
    network = Jnsc(jnsc_one_pass().network).eval()

    @torch.no_grad()
    def ask(windows: FloatTensor) -> object:
        return torch.sigmoid(network.decode(network.encode(torch.from_numpy(windows))))

    return ask


def _onnx_runtime(artefact: bytes) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
    return lambda windows: session.run(["probability"], {"window": windows})


def _exact(artefact: bytes) -> Ask:
    engine = Engine(artefact, threads=THREADS, is_exact=True)
    return lambda windows: engine.run({"window": windows}, ["probability"])


def as_served(artefact: bytes) -> Ask:
    """As the node asks it."""
    engine = Engine(artefact, threads=THREADS, is_exact=False)
    return lambda windows: engine.run({"window": windows}, ["probability"])


def _middle(readings: Sequence[Reading], field: str) -> float:
    return statistics.median(getattr(reading, field) for reading in readings)
