"""Seconds from files to voxels and to the lungs: the node's way beside SimpleITK's, and all cores beside one.

Called by `make bench`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk  # noqa: N813
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from inference.eligibility import judge
from inference.series import load, read_headers
from inference.series.pixels import THREADS
from inference.volume import HuArray, Volume
from tests.benchmarks import lungs
from tests.benchmarks.goals import Goal, Measured
from tests.support.headers import FEW
from tests.support.series import FloatArray, a_series, chest_hu

SLICES, COMPRESSED_SLICES, ROUNDS = 300, 60, 5
COMPRESSED = {"JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
LEAST_SHARE = 0.8
"""of what all cores could do, were there nothing else to do than decoding"""


def measured() -> Measured:
    """All of it."""
    parts = [_loading(), _decoding(), _lungs()]
    return Measured(
        text="\n\n".join(part.text for part in parts), goals=tuple(goal for part in parts for goal in part.goals)
    )


def _loading() -> Measured:
    seconds = measure()
    rows = [f"  {name:22}{statistics.median(taken):13.3f}" for name, taken in seconds.items()]
    goal = Goal(
        what="loading uncompressed slices: x SimpleITK", value=_times(*seconds.values()), bound=0.15, is_least=False
    )
    return Measured(text="\n".join([f"Loading {SLICES} slices of 512 x 512, seconds", *rows]), goals=(goal,))


def _decoding() -> Measured:
    rows, goals = [], []
    for name, syntax in COMPRESSED.items():
        one, all_of_them = measure_decoding(syntax).values()
        share = 1.0 / _times(all_of_them, one) / THREADS
        rows.append(f"  {name:12}{statistics.median(one):8.2f}{statistics.median(all_of_them):8.2f}")
        goals.append(Goal(what=f"decoding {name} on all cores: x one core, per core", value=share, bound=LEAST_SHARE))
    title = f"Decoding {COMPRESSED_SLICES} slices of 512 x 512 on one and on {THREADS} cores, seconds"
    return Measured(text="\n".join([title, *rows]), goals=tuple(goals))


def _lungs() -> Measured:
    found = {name: lungs.measure(volume) for name, volume in lungs.real_volumes().items()}
    if not found:
        return Measured(text="The mask of the lungs was not measured: the real CTs of ../shared/data are not here")
    rows = [f"  {name:32}{ours:8.2f}{plain:8.2f}{dice:8.4f}" for name, (ours, plain, dice) in found.items()]
    title = "The mask of the lungs, CPU seconds of ours and of the plain one of SimpleITK, and their Dice"
    times = max(ours / plain for ours, plain, _ in found.values())
    least = min(dice for _, _, dice in found.values())
    goals = (
        Goal(what="mask of the lungs: x plain SimpleITK, CPU, the most", value=times, bound=0.2, is_least=False),
        Goal(what="mask of the lungs: Dice to plain SimpleITK, the least", value=least, bound=0.99),
    )
    return Measured(text="\n".join([title, *rows]), goals=goals)


def measure(slices: int = SLICES, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of every round by reader: the node's, then SimpleITK's; both have read the files before."""
    readers: dict[str, Callable[[Sequence[Path]], HuArray]] = {
        "node": lambda paths: by_node(paths).volume_hu,
        "SimpleITK": _by_simpleitk,
    }
    with TemporaryDirectory(prefix="load-") as folder:
        return _taken(_a_series(Path(folder), slices), readers, rounds)


def measure_decoding(transfer_syntax: str, slices: int = COMPRESSED_SLICES, rounds: int = 3) -> dict[str, list[float]]:
    """Seconds of every round by the number of cores: one, then all; the decoders have been started before."""
    readers: dict[str, Callable[[Sequence[Path]], HuArray]] = {
        "one": lambda paths: by_node(paths, threads=1).volume_hu,
        "all": lambda paths: by_node(paths).volume_hu,
    }
    with TemporaryDirectory(prefix="load-") as folder:
        return _taken(_a_series(Path(folder), slices, transfer_syntax=transfer_syntax), readers, rounds)


def by_node(paths: Sequence[Path], *, threads: int = THREADS) -> Volume:
    """The series in these files, read as the node reads it."""
    (header,) = read_headers(paths)
    verdict = judge(header, FEW)
    assert verdict.grid is not None, verdict.reasons
    return load(verdict.slices, verdict.grid, threads=threads)


def _by_simpleitk(paths: Sequence[Path]) -> HuArray:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(paths[0].parent)))
    volume: HuArray = sitk.GetArrayFromImage(reader.Execute()).astype(np.int16, copy=False)
    return volume


def _a_series(folder: Path, slices: int, **options: str) -> list[Path]:
    """With noise, for codecs."""
    rng = np.random.default_rng(6)

    def hu(points_lps: FloatArray) -> FloatArray:
        return chest_hu()(points_lps) + rng.normal(0.0, 20.0, points_lps.shape[:-1])

    return a_series(
        folder,
        hu=hu,
        slices=slices,
        spacing_mm=1.0,
        size=(512, 512),
        pixel_spacing_mm=(0.6, 0.6),
        bits_stored=12,
        signed=False,
        **options,
    )


def _taken(
    paths: Sequence[Path], readers: dict[str, Callable[[Sequence[Path]], HuArray]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each round by reader, in turn; all give the same voxels."""
    np.testing.assert_array_equal(*(read(paths) for read in readers.values()))
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            started_s = time.monotonic()
            read(paths)
            seconds[name].append(time.monotonic() - started_s)
    return seconds


def _times(ours: Sequence[float], others: Sequence[float]) -> float:
    """The median ratio of a round."""
    return statistics.median(one / other for one, other in zip(ours, others, strict=True))
