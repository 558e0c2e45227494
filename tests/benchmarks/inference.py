"""What the detector costs on CPU in each runtime, and whether one pass as served finds what windows in float32 find.

CPU seconds by `time.process_time`, a process for each reading, runtimes in turn. Called by `make bench`.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.eligibility.stack import sorted_stack, stack_grid
from inference.engine import Engine
from inference.findings import Finding
from inference.lungs import find_lungs
from inference.one_pass import probability_in_one_pass
from inference.onnx import OnnxPredictor
from inference.parts import LARGEST
from inference.pipeline import Pipeline, run
from inference.predictor import FloatTensor
from inference.preprocess import prepare
from inference.registry import ModelRepository
from inference.series import find_files, load, read_headers
from inference.volume import Volume
from pacs_node.steps.offline import pipeline_named
from tests.benchmarks import phantoms
from tests.benchmarks.goals import Goal, Measured
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
    compared = list(findings_compared(torch_s))
    goals = [
        Goal(what="a window on CPU: x faster than torch", value=torch_s / ours_s, bound=2.0),
        *(goal for each in compared for goal in each.goals),
    ]
    texts = [
        f"The detector with {THREADS} threads: CPU seconds to load, CPU ms a window of 64^3, peak MB of the process",
        *rows,
        *(each.text for each in compared),
        *(seams(name, volume) for name, volume in itertools.islice(_volumes(), 2)),
        validation_patients(),
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


def findings_compared(torch_window_s: float) -> Iterator[Measured]:
    """CTs, windows in float32 as in paper 4 (stride 32) beside what is served: what each costs and finds."""
    served = pipeline_named(MODELS, "jnsc")
    assert served.detector.detection is not None
    everything = dataclasses.replace(served.detector.detection, operating_score=0.0, is_one_pass=False)
    complete = dataclasses.replace(served, detector=dataclasses.replace(served.detector, detection=everything))
    exact, brief = OnnxPredictor(MODELS, threads=THREADS, exact=True), Counting(OnnxPredictor(MODELS, threads=THREADS))
    for name, volume in _volumes():
        asked = Counting(exact)
        expected, expected_s = _timed(volume, complete, asked)
        expected = [one for one in expected if one.score >= served.detector.detection.operating_score]
        before = brief.windows
        found, found_s = _timed(volume, served, brief)
        same = likeness(expected, found)
        text = (
            f"  {name}: {same.text}; windows {asked.windows:.0f} and {brief.windows - before:.0f}, CPU s of all stages "
            f"{expected_s:.1f} and {found_s:.1f}"
        )
        ratio = torch_window_s * asked.windows / max(found_s, 1e-9)
        yield Measured(
            text=text,
            goals=(
                Goal(what=f"{name}: findings lost or added as served", value=same.changed, bound=0, is_least=False),
                Goal(what=f"{name}: least Dice of a finding", value=same.dice, bound=0.98),
                Goal(what=f"{name}: the pipeline, x faster than torch over every window", value=ratio, bound=10.0),
            ),
        )


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


def validation_patients() -> str:
    """Sensitivity and false findings on the patches of validation patients, in float32 and as served."""
    folder = DATA / "luna16_nodules"
    if not folder.is_dir():
        return "  validation patients: their patches are not there"
    kept = set(splits.load(ROOT / "training/data/luna16_split.json").validation)
    nodules = [nodule for nodule in load_nodules(folder) if nodule.patient_id in kept]
    pipeline = pipeline_named(MODELS, "jnsc")
    assert pipeline.head is not None and pipeline.detector.detection is not None
    rows = []
    for name, exact in (("float32", True), ("as served", False)):
        predictor = OnnxPredictor(MODELS, threads=THREADS, exact=exact)
        cases = patches.evaluate(nodules, pipeline.detector, pipeline.head, predictor)
        figures = report.patch_report(cases, pipeline.detector.detection.operating_score)
        shown = ("sensitivity", "sensitivity_at_1_per_1000_cm3", "false_per_cm3", "dice_of_found", "malignancy_auc")
        rows.append(
            f"  {len(nodules)} nodules of validation patients, {name}: "
            + ", ".join(f"{key} {figures[key]['value']} {figures[key]['interval_95']}" for key in shown)
        )
    return "\n".join(rows)


class Counting:
    """Counts what a detector is asked, in voxels of a window of its contract."""

    def __init__(self, predictor: OnnxPredictor) -> None:
        self._predictor = predictor
        self.windows = 0.0

    def infer(self, model, version, inputs, outputs):  # type: ignore[no-untyped-def]
        self.windows += inputs["window"].size / 64**3 if "window" in inputs else 0
        return self._predictor.infer(model, version, inputs, outputs)


def _timed(volume: Volume, pipeline: Pipeline, predictor: Counting) -> tuple[list[Finding], float]:
    started_s = time.process_time()
    found = run(volume, pipeline, predictor).findings
    return list(found), time.process_time() - started_s


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
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Reading(load_s=load_s[0], window_s=asking_s[0] / WINDOWS, peak_mb=peak_mb)


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
