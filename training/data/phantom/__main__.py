"""`python -m training.data.phantom`: make a phantom, write it as a DICOM series, print its truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.data.phantom import PROFILES, Phantom, dicomise, make

TRANSFER_SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "rle": "1.2.840.10008.1.2.5",
}


def main() -> None:
    """Parse, make, write, print."""
    options = _parser().parse_args()
    console = Console()
    with console.status("starting") as status:
        phantom = make(options.seed, PROFILES[options.profile], progress=status.update)
        status.update("writing DICOM")
        syntax = TRANSFER_SYNTAXES[options.transfer_syntax]
        paths = dicomise.write(phantom, options.out, transfer_syntax=syntax)
    console.print(_table(phantom))
    console.print(f"{len(paths)} instances and truth.json in {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.phantom",
        description="Write a synthetic chest CT with known nodules as a DICOM series.",
    )
    parser.add_argument(
        "--seed", type=int, required=True, help="same seed, same phantom; 10000 and up = held-out shapes"
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default="adult", help="size (default: adult)")
    parser.add_argument("--out", type=Path, required=True, help="directory to write to")
    parser.add_argument("--transfer-syntax", choices=sorted(TRANSFER_SYNTAXES), default="explicit", help="encoding")
    return parser


def _table(phantom: Phantom) -> Table:
    table = Table(title=f"SYNTHETIC PHANTOM {phantom.seed}: true nodules")
    for heading in ("", "centre LPS, mm", "d, mm", "mm3", "attenuation", "placement", "malignancy"):
        table.add_column(heading)
    for nodule in phantom.nodules:
        centre = ", ".join(f"{at:.1f}" for at in nodule.centre_lps)
        sizes = (f"{nodule.diameter_mm:.1f}", f"{nodule.volume_mm3:.0f}")
        rated = f"{nodule.malignancy:.1f}"
        table.add_row(str(nodule.number), centre, *sizes, nodule.attenuation, nodule.placement, rated)
    return table


if __name__ == "__main__":
    main()
