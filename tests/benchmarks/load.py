"""Seconds from files to voxels: the node's way beside SimpleITK's series reader, on the same 300 slices.

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

from inference.eligibility import judge
from inference.series import load, read_headers
from inference.volume import HuArray, Volume
from tests.benchmarks.goals import Goal, Measured
from tests.support.headers import FEW
from tests.support.series import a_chest_series

SLICES, ROUNDS = 300, 5


def measured() -> Measured:
    """Both readers in turn."""
    seconds = measure()
    rows = [f"  {name:22}{statistics.median(taken):13.3f}" for name, taken in seconds.items()]
    times = statistics.median(ours / theirs for ours, theirs in zip(*seconds.values(), strict=True))
    goal = Goal(what="loading uncompressed slices: x SimpleITK", value=times, bound=0.15, is_least=False)
    return Measured(text="\n".join([f"Loading {SLICES} slices of 512 x 512, seconds", *rows]), goals=(goal,))


def measure(slices: int = SLICES, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of every round by reader: the node's, then SimpleITK's; both have read the files before."""
    readers: dict[str, Callable[[Sequence[Path]], HuArray]] = {
        "node": lambda paths: by_node(paths).volume_hu,
        "SimpleITK": _by_simpleitk,
    }
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    with TemporaryDirectory(prefix="load-") as folder:
        paths = a_chest_series(
            Path(folder), slices=slices, spacing_mm=1.0, size=(512, 512), pixel_spacing_mm=(0.6, 0.6)
        )
        np.testing.assert_array_equal(*(read(paths) for read in readers.values()))
        for _ in range(rounds):
            for name, read in readers.items():
                started_s = time.monotonic()
                read(paths)
                seconds[name].append(time.monotonic() - started_s)
    return seconds


def by_node(paths: Sequence[Path]) -> Volume:
    """The series in these files, read as the node reads it."""
    (header,) = read_headers(paths)
    verdict = judge(header, FEW)
    assert verdict.grid is not None, verdict.reasons
    return load(verdict.slices, verdict.grid)


def _by_simpleitk(paths: Sequence[Path]) -> HuArray:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(paths[0].parent)))
    volume: HuArray = sitk.GetArrayFromImage(reader.Execute()).astype(np.int16)
    return volume
