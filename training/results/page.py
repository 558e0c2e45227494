"""`training/RESULTS.md`: for every system what the paper prints beside what its runs here reached. Pure.

Called from `training.cli`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.papers import ABLATIONS, COMPARISONS, FROC_PRINTED, LABELS_PRINTED, PUBLISHED, Published
from training.results.figures import Figures, shown, value_at
from training.results.records import Run, differences, differing
from training.results.tables import SYNTHETIC, ablation_table, comparison_table

HEAD = """# Results

Made by `pulmonode-train results` from `training/records/`, where each evaluated run has left its figures; do not edit.
All figures are of validation patients whom no system was trained on (splits by patient, `training/data/*_split.json`),
with 95 % bootstrap intervals over patients. A gain is of two runs on the same cases, patients drawn in pairs. Each row
was trained once: an interval says what other patients would change, not what another seed would; small gains whose
interval is above 0 may still be a seed's. LIDC's malignancy is what readers say, not pathology, and follows size: no
figure here is a probability of cancer. For research use.
"""

Recipes = Mapping[str, Mapping[str, Figures]]
"""Today's recipes as JSON, by system and name; tests' recipes are left out."""


def page(runs: Sequence[Run], headline: Mapping[str, str], recipes: Recipes) -> str:
    """The whole page.

    Parameters
    ----------
    headline : for each system the recipe whose run is the one that counts
    recipes : runs that no longer are of one of these are said to be so, and those that were not run are named
    """
    by_recipe = {run.recipe: run for run in runs}
    sections = [HEAD]
    for system in dict.fromkeys([*recipes, *(run.system for run in runs)]):
        mine = [run for run in runs if run.system == system]
        today = recipes.get(system, {})
        sections.append(f"## {system}")
        if mine:
            first = by_recipe.get(headline.get(system, ""), mine[0])
            sections += [*_headline(first, by_recipe), _all_runs(mine, first, today)]
        sections += _ablations(system, by_recipe)
        sections.append(_not_run([name for name in today if name not in by_recipe]))
    return "\n".join(f"{section.rstrip()}\n" for section in sections if section)


def _headline(run: Run, runs: Mapping[str, Run]) -> list[str]:
    """What counts of a system: its figures beside the paper's, and beside other networks."""
    if not any(row.system == run.system for row in PUBLISHED):
        return []
    sections = [_about(run), _beside_the_paper(run), _size_alone(run), _froc(run.froc), _labels(run.labels)]
    compared = [comparison for comparison in COMPARISONS if comparison.system == run.system]
    return sections + [comparison_table(one, run, runs) for one in compared]


def _ablations(system: str, runs: Mapping[str, Run]) -> list[str]:
    tables = [ablation_table(ablation, runs) for ablation in ABLATIONS if ablation.system == system]
    return ["### Ablations", *tables] if tables else []


def _about(run: Run) -> str:
    steps, whole = run.figures.get("steps"), run.figures.get("of_steps")
    unfinished = "" if steps == whole else f" **The schedule has {whole} steps: this run was stopped early.**"
    commit = str(run.about.get("commit", "unknown"))[:12]
    note = f" Note: {run.about['note']}." if run.about.get("note") else ""
    note += f" **Fold {run.about['fold']}, not the committed split.**" if run.about.get("fold") else ""
    truth = f"; truth: {run.figures['truth']}" if "truth" in run.figures else ""
    trained = f"Trained {steps} steps at commit {commit}.{unfinished}{note}"
    name = f"`{run.recipe}`{SYNTHETIC if run.is_synthetic else ''}"
    return f"{name}: {run.purpose} {trained} Measured on: {run.figures['data']}{truth}."


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


def _froc(figures: Figures) -> str:
    """How many nodules of whole LUNA16 scans are found, at so many false findings."""
    if not figures:
        return ""
    lines = [
        f"Whole scans ({figures['data']}; {figures['scans']} scans of {figures['patients']} patients, "
        f"{figures['nodules']} nodules):",
        "",
        "| false findings per scan | paper's sensitivity | here (95 % interval over scans) |",
        "|---|---|---|",
    ]
    for rate, figure in figures["sensitivity_at_false_per_scan"].items():
        lines.append(f"| {float(rate):g} | {shown(FROC_PRINTED.get(float(rate)))} | {shown(figure)} |")
    return "\n".join([*lines, f"| CPM | - | {shown(figures['cpm'])} |"])


def _labels(figures: Figures) -> str:
    """How hard, soft and pseudo-labels of two readers do, judged by all readers."""
    if not figures:
        return ""
    lines = [
        f"Labels ({figures['data']}; {figures['seeds']} seeds, {figures['training_nodules']} training nodules of which "
        f"{figures['marginal_of_them']} are marginal, {figures['validation_nodules']} validation nodules). "
        f"{LABELS_PRINTED}",
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


def _all_runs(runs: Sequence[Run], first: Run, recipes: Mapping[str, Figures]) -> str:
    columns = [path for path in COLUMNS if any(value_at(run.figures, path) is not None for run in runs)]
    names = " | ".join(COLUMNS[path] for path in columns)
    lines = [
        f"All runs, each on the validation patients of its data; what they differ in from `{first.recipe}`:",
        "",
        f"| recipe | what it is | steps | {names} | differs in | the recipe since then |",
        "|---" * (len(columns) + 5) + "|",
    ]
    for run in runs:
        cells = " | ".join(shown(value_at(run.figures, path)) for path in columns)
        steps = f"{run.figures['steps']} of {run.figures['of_steps']}"
        differs = ", ".join(differing(run, first)) or "-"
        name = f"{run.recipe}{SYNTHETIC if run.is_synthetic else ''}"
        lines.append(f"| {name} | {run.purpose} | {steps} | {cells} | {differs} | {_since(run, recipes)} |")
    return "\n".join(lines)


def _since(run: Run, recipes: Mapping[str, Figures]) -> str:
    """What has become of a run's recipe."""
    if run.recipe not in recipes:
        return "**is gone**"
    changed = differences(run.about["recipe"], recipes[run.recipe])
    return f"**changed**: {', '.join(changed)}" if changed else "the same"


def _not_run(names: Sequence[str]) -> str:
    return f"Not run: {', '.join(f'`{name}`' for name in names)}." if names else ""
