"""What a folder holds that can be trained on, what is refused and why: `pulmonode-train data check`.

    packs     the shared folders `luna16_nodules` and `lidc_slices`, what `pulmonode-train data pack` and `label` wrote
    tables    LUNA16 and DeepLesion as they are distributed
    dicom     LIDC-IDRI, CTs with segmentations, phantoms, CTs without marks
    verdict   the result, and how counts and a split come about

Pixels are not decoded. Called from `training.cli.data`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from training.data.ct_series import Tell
from training.data.inspection import dicom, packs, tables
from training.data.inspection.verdict import Inspection, SplitPlan
from training.data.kinds import MARKERS, Kind, parts_of
from training.errors import TrainingError

__all__ = ["Inspection", "NothingFound", "SplitPlan", "inspect"]


class NothingFound(TrainingError):
    """The folder holds nothing of a kind that is known."""

    code = "data.nothing"


INSPECTORS: Mapping[Kind, Callable[[Path, Tell], Inspection]] = {
    Kind.NODULES: packs.nodules,
    Kind.SLICES: packs.slices,
    Kind.LUNA16_NODULES: packs.luna16_nodules,
    Kind.LIDC_SLICES: packs.lidc_slices,
    Kind.RECIST_MASKS: packs.recist_masks,
    Kind.DEEPLESION: tables.deeplesion_folder,
    Kind.LUNA16: tables.luna16_folder,
    Kind.PHANTOMS: dicom.phantoms,
}


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
    found: list[Inspection] = []
    for part, kind in parts_of(folder):
        found += dicom.inspect(part, tell) if kind is None else [INSPECTORS[kind](part, tell)]
    if not found:
        raise NothingFound(f"{folder} holds no DICOM series and none of {', '.join(MARKERS.values())}")
    return tuple(found)
