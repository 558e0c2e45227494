"""What a folder of training data is, by the file that tells its kind.

Called from `inspection`, `reading` and `packing`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from training.data import deeplesion, luna16_mhd, phantom_folder, soft_mask_folder
from training.data.packs import NODULES_TABLE, SLICES_TABLE


class Kind(StrEnum):
    """What a folder is."""

    NODULES = "nodules"
    SLICES = "slices"
    LUNA16_NODULES = "luna16_nodules"
    LIDC_SLICES = "lidc_slices"
    RECIST_MASKS = "recist-soft-masks"
    DEEPLESION = "deeplesion"
    LUNA16 = "luna16"
    PHANTOMS = "phantoms"
    LIDC = "lidc-idri"
    DICOM_PAIRS = "dicom-pairs"
    BARE_CTS = "ct-without-marks"


MARKERS = {
    Kind.NODULES: NODULES_TABLE,
    Kind.SLICES: SLICES_TABLE,
    Kind.LUNA16_NODULES: "nodules.csv",
    Kind.LIDC_SLICES: "slices.jsonl.gz",
    Kind.RECIST_MASKS: soft_mask_folder.INDEX,
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


def parts_of(folder: Path) -> tuple[tuple[Path, Kind | None], ...]:
    """What is read of a folder: itself if it is of one kind, else its subfolders if one of them is marked.

    Returns
    -------
    the marked ones first; None = it may hold DICOM series
    """
    kind = marked_kind(folder)
    parts = {part: marked_kind(part) for part in sorted(folder.iterdir()) if part.is_dir()}
    if kind is not None or not any(parts.values()):
        return ((folder, kind),)
    return tuple(sorted(parts.items(), key=lambda part: part[1] is None))
