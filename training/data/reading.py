"""Training sets from a folder of any kind: whole series with their nodules, one after the other.

What somebody drew comes out here, as patches for the 3-D systems and slices for the 2-D ones. Packs have their own
readers: `training.data.luna16`, `training.data.slices`, `training.data.packs`. Called from `training.data.packing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inference.errors import InferenceError
from training.data import deeplesion, dicom_pairs, lidc, lidc_sqlite, luna16_mhd, phantom_folder
from training.data.ct_series import series_below
from training.data.kinds import Kind, marked_kind
from training.data.known import KnownNodule, KnownSeries, Refusal
from training.data.known_patches import patch_of
from training.data.known_slices import largest_slice_of
from training.data.lidc_sqlite import LidcMissing, LidcScan
from training.data.luna16 import Nodule
from training.data.luna16_mhd import Luna16Scan
from training.data.slices import Slice
from training.errors import TrainingError

Pending = tuple[str, Callable[[], KnownSeries]]
"""What a series is called, and how to read it."""


PACKS = {Kind.LUNA16_NODULES, Kind.LIDC_SLICES, Kind.NODULES, Kind.SLICES, Kind.RECIST_MASKS}


NOT_DRAWN = "nobody has drawn it, so there is no mask; `label soft-masks` makes one where there are RECIST axes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A nodule that somebody drew.

    Parameters
    ----------
    series_uid, is_automatic : see `KnownNodule`
    patch : the nodule and its surroundings
    largest : its largest slice; None if the pixels are not square
    """

    series_uid: str
    patch: Nodule
    largest: Slice | None
    is_automatic: bool


class PackedFolder(TrainingError):
    """The folder holds patches or slices instead of series."""

    code = "data.packed"


def drawn_in(folder: Path, refuse: Callable[[Refusal], object]) -> Iterator[Drawn]:
    """The nodules of a folder that somebody drew.

    Parameters
    ----------
    folder : LIDC-IDRI, LUNA16 or CTs with segmentations
    refuse : told of everything that is not used
    """
    for series in known_series(folder, refuse):
        for nodule in series.nodules:
            patch, largest = patch_of(series, nodule), largest_slice_of(series, nodule)
            if patch is None:
                refuse(_refused("nodule.not-drawn", nodule, NOT_DRAWN))
                continue
            if not patch.mask.any():
                refuse(_refused("nodule.too-small", nodule, "it fills no voxel of 1 mm by half"))
                continue
            if largest is None:
                refuse(_refused("nodule.oblong-pixels", nodule, "its pixels are not square, so it gives no slice"))
            yield Drawn(series_uid=series.series_uid, patch=patch, largest=largest, is_automatic=nodule.is_automatic)


def known_series(folder: Path, refuse: Callable[[Refusal], object]) -> Iterator[KnownSeries]:
    """All series of a folder that have marks, one at a time, for each takes hundreds of megabytes.

    Parameters
    ----------
    refuse : told of everything that is not used; nothing that is wrong with one series stops the reading

    Raises
    ------
    PackedFolder : there are no whole series in it
    TrainingError : a table of the folder is broken
    """
    kind = marked_kind(folder)
    if kind in PACKS:
        raise PackedFolder(f"{folder} is a pack of {kind}, which its own reader reads")
    for one in FINDERS[kind](folder):
        if isinstance(one, Refusal):
            refuse(one)
            continue
        name, read = one
        try:
            series = read()
        except (InferenceError, TrainingError) as error:
            refuse(Refusal(code=error.code, subject=name, text=str(error)))
        else:
            yield series


def _dicom(folder: Path) -> Iterator[Pending | Refusal]:
    """Series of LIDC-IDRI, and other CTs with segmentations."""
    series = series_below(folder)
    scans = _lidc([one.series_instance_uid for one in series])
    known = {scan.series_uid for scan in scans}
    for found in lidc.found_in([one for one in series if one.series_instance_uid in known], scans):
        yield found if isinstance(found, Refusal) else (found.scan.series_uid, partial(lidc.read, found))
    others = [one for one in series if one.series_instance_uid not in known]
    bare = {one.series_instance_uid for one in others if one.modality == "CT"}
    for pair in dicom_pairs.found_in(others):
        if not isinstance(pair, Refusal):
            bare.remove(pair.series_uid)
        yield pair if isinstance(pair, Refusal) else (pair.series_uid, partial(dicom_pairs.read, pair))
    for uid in sorted(bare):
        yield Refusal(code="ct.no-marks", subject=uid, text="nobody has marked the nodules of this CT")


def _luna16(folder: Path) -> Iterator[Pending | Refusal]:
    for scan in luna16_mhd.find(folder, _patients()):
        yield scan if isinstance(scan, Refusal) else (scan.series_uid, partial(_luna16_series, scan))


def _luna16_series(scan: Luna16Scan) -> KnownSeries:
    drawn = _lidc([scan.series_uid])
    return luna16_mhd.read(scan, drawn[0] if drawn else None)


def _deeplesion(folder: Path) -> Iterator[Pending | Refusal]:
    for series in deeplesion.find(folder):
        yield series if isinstance(series, Refusal) else (series.folder.name, partial(deeplesion.read, series))


def _phantoms(folder: Path) -> Iterator[Pending | Refusal]:
    for phantom in phantom_folder.find(folder):
        yield phantom if isinstance(phantom, Refusal) else (phantom.series_uid, partial(phantom_folder.remade, phantom))


FINDERS: Mapping[Kind | None, Callable[[Path], Iterator[Pending | Refusal]]] = {
    None: _dicom,
    Kind.LUNA16: _luna16,
    Kind.DEEPLESION: _deeplesion,
    Kind.PHANTOMS: _phantoms,
}


def _lidc(series_uids: Sequence[str]) -> tuple[LidcScan, ...]:
    """What LIDC-IDRI knows of these series; nothing if it is not installed."""
    try:
        return lidc_sqlite.read(lidc_sqlite.database(), series_uids)
    except LidcMissing:
        return ()


def _patients() -> dict[str, str]:
    try:
        return lidc_sqlite.patients(lidc_sqlite.database())
    except LidcMissing:
        return {}


def _refused(code: str, nodule: KnownNodule, text: str) -> Refusal:
    return Refusal(code=code, subject=nodule.nodule_id, text=text)
