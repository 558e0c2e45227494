"""`pulmonode-train label`: make labels of what people drew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track
from rich.table import Table

from training.cli.options import console
from training.data import drawn
from training.data import soft_mask_folder as soft_masks
from training.data.soft_mask_folder import Outcome

label_app = typer.Typer(no_args_is_help=True, help="Make labels of what people drew.")


@label_app.callback()
def label() -> None:
    """Make labels of what people drew."""


@label_app.command("soft-masks")
def make_soft_masks(
    folder: Annotated[
        Path, typer.Argument(help="LIDC slices, DICOM CT with reports, or DeepLesion's images.", exists=True)
    ],
    out: Annotated[Path, typer.Argument(help="A new folder for masks, soft_masks.csv and pictures.")],
    recist: Annotated[
        Path | None,
        typer.Option(
            help="DeepLesion's table (.csv), or DICOM reports that lie elsewhere: a file or a folder.", exists=True
        ),
    ] = None,
    scale: Annotated[int, typer.Option(help="Enlargement before matting.", min=1, max=8)] = 4,
) -> None:
    """Make soft masks: how much of each pixel is nodule. What is refused is named with its reason."""
    found = drawn.find(folder, recist)
    started = time.monotonic()
    rows = soft_masks.write(
        track(found.items, total=found.count, description="soft masks", console=console), out, scale=scale
    )
    seconds = time.monotonic() - started
    table = Table("", "images", box=None)
    for outcome in Outcome:
        table.add_row(outcome, str(sum(row.outcome is outcome for row in rows)))
    for reason, count in sorted(soft_masks.reasons(rows).items()):
        table.add_row(f"  {reason}", str(count))
    console.print(table)
    console.print(f"Next: pulmonode-train data pack {out} PACK")
    console.print(f"{1000 * seconds / max(len(rows), 1):.0f} ms per image. Look at {out / soft_masks.PICTURES}.")
