"""What a folder holds that can be trained on, what is refused and why: `pulmonode-train data check`.

    packs     the shared folders `luna16_nodules` and `lidc_slices`
    tables    LUNA16 and DeepLesion as they are distributed
    dicom     LIDC-IDRI, CTs with segmentations, phantoms, CTs without marks
    verdict   the result, and how counts and a split come about

Pixels are not decoded. Called from `training.cli.data`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from training.data import deeplesion, luna16_mhd, phantom_folder
from training.data.ct_series import Tell
from training.data.inspection import dicom, packs, tables
from training.data.inspection.verdict import Inspection, Kind, SplitPlan
from training.errors import TrainingError

__all__ = ["Inspection", "Kind", "NothingFound", "SplitPlan", "inspect"]


class NothingFound(TrainingError):
    """The folder holds nothing of a kind that is known."""

    code = "data.nothing"


MARKERS: Mapping[Kind, tuple[str, Callable[[Path, Tell], Inspection]]] = {
    Kind.LUNA16_NODULES: (packs.NODULES, packs.luna16_nodules),
    Kind.LIDC_SLICES: (packs.SLICES, packs.lidc_slices),
    Kind.DEEPLESION: (deeplesion.TABLE, tables.deeplesion_folder),
    Kind.LUNA16: (luna16_mhd.ANNOTATIONS, tables.luna16_folder),
}
"""The file that tells a kind, and who inspects it."""


def inspect(folder: Path, tell: Tell) -> tuple[Inspection, ...]:
    """All that a folder holds, a kind at a time; the shared data folder holds several.

    Parameters
    ----------
    tell : told how much of what is read has been read, anew for each kind

    Raises
    ------
    NothingFound : nothing of any kind is there
    TrainingError : a table is broken
    """
    found = _by_marker(folder, tell)
    if not found:
        for part in sorted(path for path in folder.iterdir() if path.is_dir()):
            found += _by_marker(part, tell)
        taken = {inspection.folder for inspection in found}
        rest = [part for part in sorted(folder.iterdir()) if part.is_dir() and part not in taken] if taken else [folder]
        for part in rest:
            found += dicom.inspect(part, tell)
    if not found:
        raise NothingFound(
            f"{folder} holds no DICOM series and none of {', '.join(name for name, _ in MARKERS.values())}"
        )
    return tuple(found)


def _by_marker(folder: Path, tell: Tell) -> list[Inspection]:
    for marker, look in MARKERS.values():
        if (folder / marker).is_file():
            return [look(folder, tell)]
    if list(folder.glob(f"*/{phantom_folder.TRUTH}")) or (folder / phantom_folder.TRUTH).is_file():
        return [dicom.phantoms(folder)]
    return []
