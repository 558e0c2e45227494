"""Losses and validation figures over the steps of a run, as a table and as a picture. Called from `training.cli`."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.loop import Moment

EVERY = 10
"""Steps that one row of the table is the mean of."""


class CurveWriter:
    """Writes the mean losses of every ten steps, and each validation, as rows (step, phase, what, value).

    Rows beyond the step that a run is taken up at are dropped first.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [row for row in _rows(path) if int(row[0]) <= step]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("step", "phase", "what", "value"), *kept])
        self._path = path
        self._waiting: dict[str, list[float]] = defaultdict(list)

    def __call__(self, moment: Moment) -> None:
        for name, value in moment.losses.items():
            self._waiting[name].append(value)
        rows = [(moment.step, moment.phase, f"validation {name}", f"{x:.6g}") for name, x in moment.figures.items()]
        if moment.step % EVERY == 0:
            rows += [(moment.step, moment.phase, name, f"{np.mean(xs):.6g}") for name, xs in self._waiting.items()]
            self._waiting.clear()
        if rows:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)


def draw(table: Path, picture: Path, remark: str = "") -> None:
    """Losses above, validation figures below, over the steps; a remark on the data on top."""
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for step, _, what, value in _rows(table):
        lines[what].append((int(step), float(value)))
    figure = Figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for what, points in lines.items():
        steps, values = zip(*points, strict=True)
        is_validation = what.startswith("validation ")
        (below if is_validation else above).plot(steps, values, ".-" if is_validation else "-", label=what, linewidth=1)
    above.set_ylabel("loss (mean of ten steps)")
    above.set_yscale("symlog", linthresh=1e-3)
    below.set_ylabel("validation patients")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.suptitle(remark)
    figure.savefig(picture, dpi=120)


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]
