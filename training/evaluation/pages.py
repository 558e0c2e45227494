"""Figures as a Markdown table and cases as a page of pictures. Called from `training.cli`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from training.evaluation.outcome import CasePicture

CASES = "cases"
"""Name of the lists of what came of each case, see `training.evaluation.slices.case_list`."""

SHOWN = 6
"""Best, median and worst cases each."""


def without_cases(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures without the lists of what came of each case, for tables and contracts."""
    return {
        name: without_cases(value) if isinstance(value, Mapping) else value
        for name, value in figures.items()
        if name != CASES
    }


def table(figures: Mapping[str, Any]) -> str:
    """All figures of an evaluation, one a line, with their intervals."""
    lines = ["| figure | value | 95 % interval over patients |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {interval} |" for name, value, interval in _rows(without_cases(figures), "")]
    return "\n".join(lines) + "\n"


def draw(cases: Sequence[CasePicture], path: Path, remark: str = "") -> None:
    """The best, the median and the worst cases: truth in green, what was found in red; a remark on the data on top."""
    ranked = sorted(cases, key=lambda case: -case.dice)
    count = min(SHOWN, len(ranked))
    middle = (len(ranked) - count) // 2
    rows = {"best": ranked[:count], "median": ranked[middle : middle + count], "worst": ranked[-count:]}
    figure = Figure(figsize=(2.2 * count, 7.2), layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for (name, some), line in zip(rows.items(), axes, strict=True):
        for case, spot in zip(some, line, strict=True):
            spot.imshow(case.image_ji, cmap="gray", vmin=0, vmax=1)
            for mask, colour in ((case.truth_ji, "lime"), (case.found_ji, "red")):
                if mask.any():
                    spot.contour(mask, levels=[0.5], colors=colour, linewidths=0.9)
            spot.set_title(f"{name}: {case.title}", fontsize=7)
            spot.set_axis_off()
    figure.suptitle("; ".join(filter(None, (remark, "truth green, found red; research use only"))), fontsize=8)
    figure.savefig(path, dpi=110)


def _rows(figures: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, value in figures.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, Mapping) and "interval_95" in value:
            low, high = value["interval_95"]
            yield name, _number(value["value"]), f"{_number(low)} to {_number(high)} ({value['patients']})"
        elif isinstance(value, Mapping):
            yield from _rows(value, f"{name}: ")
        elif not isinstance(value, list):
            yield name, _number(value), ""


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "undefined" if value is None else str(value)
