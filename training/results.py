"""`training/RESULTS.md`: for every system what the paper prints beside what its runs here reached. Pure.

Called from `training.cli`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.papers import PUBLISHED, Published

Figures = Mapping[str, Any]

HEAD = """# Results

Made by `pulmonode-train results RUNS`; do not edit. All figures are of validation patients whom no system was trained
on (splits by patient, `training/data/*_split.json`), with 95 % bootstrap intervals over patients. LIDC's malignancy is
what readers say, not pathology, and follows size: no figure here is a probability of cancer. For research use.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that was evaluated.

    Parameters
    ----------
    system, recipe : what was trained
    purpose : what the recipe says of itself
    about, figures : its `run.json` and `evaluation.json`
    labels : its `labels.json`, where hard, soft and pseudo-labels were compared; else empty
    """

    system: str
    recipe: str
    purpose: str
    about: Figures
    figures: Figures
    labels: Figures = field(default_factory=dict)


def page(runs: Sequence[Run], headline: Mapping[str, str]) -> str:
    """The whole page.

    Parameters
    ----------
    headline : for each system the recipe whose run is the one that counts
    """
    sections = [HEAD]
    for system in dict.fromkeys(run.system for run in runs):
        mine = [run for run in runs if run.system == system]
        first = next((run for run in mine if run.recipe == headline.get(system)), mine[0])
        sections.append(f"## {system}\n\n{_about(first)}\n\n{_beside_the_paper(first)}\n\n{_size_alone(first)}")
        if first.labels:
            sections.append(_labels(first.labels))
        if len(mine) > 1:
            sections.append(_all_runs(mine))
    return "\n".join(section.rstrip() + "\n" for section in sections)


def value_at(figures: Figures, path: str) -> Any:
    """The figure at a path whose keys are joined by dots; None if there is none."""
    for key in path.split("."):
        if not isinstance(figures, Mapping) or key not in figures:
            return None
        figures = figures[key]
    return figures


def shown(figure: Any) -> str:
    """A figure with its interval; a dash where there is none."""
    if figure is None:
        return "-"
    if isinstance(figure, Mapping):
        if figure.get("value") is None:
            return "undefined"
        low, high = figure["interval_95"]
        return f"{figure['value']:.3f} ({_plain(low)} to {_plain(high)})"
    return _plain(figure)


def _about(run: Run) -> str:
    steps, whole = run.figures.get("steps"), run.figures.get("of_steps")
    unfinished = "" if steps == whole else f" **The schedule has {whole} steps: this run was stopped early.**"
    commit = str(run.about.get("commit", "unknown"))[:12]
    return f"`{run.recipe}`: {run.purpose} Trained {steps} steps at commit {commit}.{unfinished} {run.figures['data']}."


def _beside_the_paper(run: Run) -> str:
    lines = ["| figure | paper | here (95 % interval) | floor | why they cannot be compared |", "|---|---|---|---|---|"]
    for row in PUBLISHED:
        if row.system == run.system:
            lines.append(_line(row, value_at(run.figures, row.figure)))
    return "\n".join(lines)


def _line(row: Published, ours: Any) -> str:
    printed = row.place if row.value is None else f"{row.value:.3f} ({row.place})"
    return f"| {row.name} | {printed or '-'} | {shown(ours)} | {_floor(row, ours)} | {row.reason} |"


def _floor(row: Published, ours: Any) -> str:
    if row.floor is None:
        return "-"
    value = ours.get("value") if isinstance(ours, Mapping) else ours
    said = "not measured" if value is None else "reached" if value >= row.floor else "**not reached**"
    return f"{row.floor:.2f}: {said}"


def _size_alone(run: Run) -> str:
    malignancy = run.figures.get("malignancy")
    if not isinstance(malignancy, Mapping):
        return "Malignancy is not answered."
    lines = [
        f"Malignancy ({malignancy['label_rule']}, {malignancy['nodules']} nodules, {malignancy['malignant']} of them "
        "malignant): "
        f"ROC AUC {shown(malignancy['auc'])}, of the diameter alone {shown(malignancy['auc_by_diameter_alone'])}, "
        f"gain {shown(malignancy['auc_gain_over_diameter'])}.",
        "",
        "| diameter, mm | nodules (malignant) | AUC | diameter alone |",
        "|---|---|---|---|",
    ]
    for name, part in malignancy["within_diameters_mm"].items():
        auc, size = shown(part.get("auc")), shown(part.get("auc_by_diameter_alone"))
        lines.append(f"| {name} | {part['nodules']} ({part['malignant']}) | {auc} | {size} |")
    return "\n".join(lines)


def _labels(figures: Figures) -> str:
    """How hard, soft and pseudo-labels of two readers do, judged by all readers."""
    lines = [
        f"Labels ({figures['data']}; {figures['seeds']} seeds, {figures['training_nodules']} training nodules of which "
        f"{figures['marginal_of_them']} are marginal, {figures['validation_nodules']} validation nodules):",
        "",
        "| labels | AUC | gain over hard | accuracy | gain over hard |",
        "|---|---|---|---|---|",
    ]
    for name, part in figures.items():
        if isinstance(part, Mapping) and "auc" in part:
            keys = ("auc", "auc_gain_over_hard", "accuracy", "accuracy_gain_over_hard")
            lines.append(f"| {name.replace('_', ' ')} | {' | '.join(shown(part.get(key)) for key in keys)} |")
    lines.append(f"| the diameter alone | {shown(figures['auc_by_diameter_alone'])} | - | - | - |")
    return "\n".join(lines)


COLUMNS = {
    "segmentation.dice": "Dice",
    "segmentation.hausdorff_mm": "Hausdorff, mm",
    "malignancy.auc": "malignancy AUC",
    "real.dice_of_found": "Dice (3-D)",
    "real.sensitivity": "sensitivity",
}
"""Figures that the runs of one system are compared by."""


def _all_runs(runs: Sequence[Run]) -> str:
    columns = [path for path in COLUMNS if any(value_at(run.figures, path) is not None for run in runs)]
    lines = [
        "All runs, each on the same validation patients:",
        "",
        f"| recipe | what it is | steps | {' | '.join(COLUMNS[path] for path in columns)} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for run in runs:
        cells = " | ".join(shown(value_at(run.figures, path)) for path in columns)
        steps = f"{run.figures['steps']} of {run.figures['of_steps']}"
        lines.append(f"| {run.recipe} | {run.purpose} | {steps} | {cells} |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
