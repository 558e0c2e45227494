"""What a folder of training data is, by the file that tells its kind. Called from `inspection` and `reading`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from training.data import deeplesion, luna16_mhd, phantom_folder


class Kind(StrEnum):
    """What a folder is."""

    LUNA16_NODULES = "luna16_nodules"
    LIDC_SLICES = "lidc_slices"
    DEEPLESION = "deeplesion"
    LUNA16 = "luna16"
    PHANTOMS = "phantoms"
    LIDC = "lidc-idri"
    DICOM_PAIRS = "dicom-pairs"
    BARE_CTS = "ct-without-marks"


MARKERS = {
    Kind.LUNA16_NODULES: "nodules.csv",
    Kind.LIDC_SLICES: "slices.jsonl.gz",
    Kind.DEEPLESION: deeplesion.TABLE,
    Kind.LUNA16: luna16_mhd.ANNOTATIONS,
    Kind.PHANTOMS: phantom_folder.TRUTH,
}
"""The file that a folder of this kind holds; the other kinds are known by their DICOM series."""


def marked_kind(folder: Path) -> Kind | None:
    """The kind that a folder is marked as; None if it has no mark, and may hold DICOM series.

    Phantoms may also lie one folder deeper, each in its own.
    """
    for kind, name in MARKERS.items():
        if (folder / name).is_file():
            return kind
    return Kind.PHANTOMS if any(folder.glob(f"*/{phantom_folder.TRUTH}")) else None
