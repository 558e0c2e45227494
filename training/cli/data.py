"""`pulmonode-train data`: look at training data, and bring them to the form that recipes train on."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from training.cli.options import console
from training.data.inspection import Inspection, inspect
from training.data.known import Refusal
from training.data.packing import pack as pack_folders
from training.labels.malignancy import Label

data_app = typer.Typer(no_args_is_help=True, help="Look at training data, and pack them for recipes.")


@data_app.callback()
def data() -> None:
    """Look at training data, and pack them for recipes."""


@data_app.command("check")
def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of nodules or CTs.", exists=True, file_okay=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, refusals one by one.")] = False,
) -> None:
    """Say what a folder holds, what is refused and why, and how its patients would be split.

    Known are LIDC-IDRI, LUNA16, DeepLesion, the shared folders, CTs with segmentations, phantoms. Exit code 1 if there
    is nothing to learn from.
    """
    with Progress(console=console, transient=True, disable=as_json) as progress:
        task = progress.add_task("reading", total=None)
        found = inspect(folder, lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        console.print_json(json.dumps([_plain(inspection) for inspection in found]))
    else:
        for inspection in found:
            _show(inspection)
    if not any(inspection.is_usable for inspection in found):
        raise typer.Exit(1)


@data_app.command("pack")
def pack(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of any known kind.", exists=True, file_okay=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, for `--data`.")],
) -> None:
    """Bring folders to the one form that every recipe trains on, with a split by patient.

    DIR may be CTs with segmentations, LIDC-IDRI, LUNA16, the shared data, an earlier pack: what `data check` knows and
    somebody drew. Patients who have a side in the shared data or in an earlier pack keep it.
    """
    with console.status("reading") as status:
        packed = pack_folders(folders, out, lambda text: status.update(escape(text)))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, counts in (("nodules", packed.nodules), ("slices", packed.slices)):
        table.add_row(f"  {name}", ", ".join(f"{count} of {kind}" for kind, count in counts.items()) or "none")
    table.add_row("  backgrounds", f"{packed.backgrounds} CTs without marks")
    split = packed.sides.split
    for name, patients in (("train", split.train), ("validation", split.validation), ("unused", split.unused)):
        nodules, slices = packed.of(patients)
        table.add_row(f"  {name}", f"{len(patients)} patients, {nodules} nodules, {slices} slices")
    table.add_row("  split", f"sha256 {split.sha256[:12]}")
    if packed.automatic:
        text = f"{packed.automatic} segments say that no person has made or changed them: look at them first"
        table.add_row("  note", text)
    _add_refusals(table, packed.refusals)
    console.print(f"[bold]pack[/]  {escape(str(out))}")
    console.print(table)
    console.print(f"Next: pulmonode-train fit RECIPE RUN --data {escape(str(out))}")


def _add_refusals(table: Table, refusals: Sequence[Refusal]) -> None:
    for code, count in Counter(refusal.code for refusal in refusals).most_common():
        first = next(refusal for refusal in refusals if refusal.code == code)
        table.add_row("  [yellow]refused[/]", f"{count} x {code}: {escape(first.text)} ({escape(first.subject)})")


def _plain(inspection: Inspection) -> dict[str, object]:
    return dataclasses.asdict(inspection) | {
        "folder": str(inspection.folder),
        "is_usable": inspection.is_usable,
        "readers": {str(readers): nodules for readers, nodules in inspection.readers},
        "labels": {name.value: nodules for name, nodules in inspection.labels},
        "refusals_by_code": inspection.refusals_by_code,
    }


def _show(inspection: Inspection) -> None:
    console.print(f"[bold]{inspection.kind.value}[/]  {escape(str(inspection.folder))}")
    table = Table(box=None, show_header=False, pad_edge=False)
    counts = f"{inspection.nodules} nodules, {inspection.series} series, {inspection.patients} patients"
    table.add_row("  usable", counts)
    if inspection.nodules:
        drawn = ", ".join(f"{count} x {_readers(readers)}" for readers, count in inspection.readers)
        labels = dict(inspection.labels)
        table.add_row("  drawn", drawn)
        table.add_row("  labels", ", ".join(f"{labels[name]} {name.value}" for name in Label) + " (median rule)")
    if inspection.split is not None:
        plan = inspection.split
        sides = {"train": plan.train, "validation": plan.validation, "unused": plan.unused}
        for name, (patients, nodules) in sides.items():
            table.add_row(f"  {name}", f"{patients} patients, {nodules} nodules")
        table.add_row("  split", f"{plan.origin}, sha256 {plan.sha256[:12]}")
    for remark in inspection.remarks:
        table.add_row("  note", escape(remark))
    _add_refusals(table, inspection.refusals)
    if not inspection.is_usable:
        table.add_row("  [red]unusable[/]", "there is nothing here to learn from")
    console.print(table)


def _readers(count: int) -> str:
    return {0: "measured only", 1: "one mask"}.get(count, f"{count} readers")
