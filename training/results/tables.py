"""The papers' ablations and comparisons as tables: printed and own numbers side by side, with paired gains. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.papers.ablations import Ablation, Row
from training.papers.comparisons import Comparison
from training.results.figures import Figures, difference, shown, value_at
from training.results.gains import gain
from training.results.records import Run, differing

Runs = Mapping[str, Run]
"""By recipe."""

SYNTHETIC = ", **synthetic data**"
NOT_RUN = "not run"
TURNED = "The system answers with the mean over the eight ways to put a slice, the other networks with one answer."
NAMES = {"dice": "Dice", "auc": "malignancy AUC", "accuracy": "accuracy of malignancy"}


def ablation_table(ablation: Ablation, runs: Runs) -> str:
    """The rows of an ablation; one line where no row was run together with the one that it is set against."""
    title = f"{ablation.place[0].upper()}{ablation.place[1:]}: {ablation.asks}"
    recipes = {row.name: row.recipe for row in ablation.rows}
    if not any(row.over and {row.recipe, recipes[row.over]} <= runs.keys() for row in ablation.rows):
        return f"{title} {NOT_RUN.capitalize()}."
    lines = [
        f"{title} {NAMES[_figure(ablation)]}. {ablation.remark}".rstrip(),
        "",
        "| row | run | paper | here (95 % interval) | over | paper's gain | gain here (95 % interval) | differs in |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(row, ablation, runs) for row in ablation.rows)])


def comparison_table(comparison: Comparison, run: Run, runs: Runs) -> str:
    """A system's run beside networks that others use, and what it gains over each."""
    turned = f" {TURNED}" if run.about["recipe"].get("is_turned") else ""
    lines = [
        f"Beside other networks, Dice on the same slices ({comparison.place}). {comparison.remark}{turned}",
        "",
        "| network | run | paper | here (95 % interval) | paper's gain over it | gain over it here (95 % interval) |",
        "|---|---|---|---|---|---|",
        f"| {comparison.system} | {_ran(run)} | {shown(comparison.printed)} | {shown(_dice(run))} | - | - |",
    ]
    for name, (recipe, printed) in comparison.networks.items():
        other = runs.get(recipe)
        ours = shown(_dice(other)) if other else NOT_RUN
        gained = shown(_paired(run.figures, other.figures, "dice")) if other else "-"
        said = _ran(other) if other else f"`{recipe}`"
        printed_gain = difference(comparison.printed, printed)
        lines.append(f"| {name} | {said} | {shown(printed)} | {ours} | {printed_gain} | {gained} |")
    return "\n".join(lines)


def _row(row: Row, ablation: Ablation, runs: Runs) -> str:
    reference = next((other for other in ablation.rows if other.name == row.over), None)
    run = runs.get(row.recipe)
    printed_gain = difference(row.printed, reference.printed if reference else None)
    cells = [
        row.name,
        _ran(run) if run else f"`{row.recipe}`",
        shown(row.printed),
        _own(row, ablation, run),
        row.over or "-",
        printed_gain,
        *(_against(row, reference, ablation, runs) if reference else ("-", "-")),
    ]
    return f"| {' | '.join(cells)} |"


def _own(row: Row, ablation: Ablation, run: Run | None) -> str:
    return shown(value_at(run.figures, _path(row, ablation))) if run else NOT_RUN


def _against(row: Row, reference: Row, ablation: Ablation, runs: Runs) -> tuple[str, str]:
    """The gain over another row, and what the two recipes differ in."""
    run, other = runs.get(row.recipe), runs.get(reference.recipe)
    if run is None or other is None:
        return "-", "-"
    if row.measured:
        return shown(value_at(run.figures, row.measured)), "-"
    own, others = (_listed(one, which, ablation) for one, which in ((run, row), (other, reference)))
    gained = _paired(own, others, _figure(ablation))
    return shown(gained), ", ".join(differing(run, other)) or "-"


def _figure(ablation: Ablation) -> str:
    return ablation.figure.rpartition(".")[2]


def _path(row: Row, ablation: Ablation) -> str:
    """Where the row's figure stands."""
    return f"{row.at}.{_figure(ablation)}" if row.at else ablation.figure


def _listed(run: Run, row: Row, ablation: Ablation) -> Figures:
    """The figures that lie beside the list of the row's cases."""
    found: Any = value_at(run.figures, ".".join(_path(row, ablation).split(".")[:-2]))
    return found if isinstance(found, Mapping) else {}


def _paired(ours: Figures, theirs: Figures, name: str) -> dict[str, Any] | None:
    return gain(ours.get("cases", {}), theirs.get("cases", {}), name)


def _ran(run: Run) -> str:
    """The recipe, and where its training was stopped if it was."""
    steps, whole = run.figures["steps"], run.figures["of_steps"]
    name = f"`{run.recipe}`{SYNTHETIC if run.is_synthetic else ''}"
    return name + ("" if steps == whole else f", **stopped at step {steps} of {whole}**")


def _dice(run: Run) -> Any:
    return value_at(run.figures, "segmentation.dice")
