"""CT series below a folder, whatever else lies there: which can be read, and why others cannot.

Reading is `inference.series`, so that training sees the voxels that the node sees. Called from `training.data.lidc`,
`training.data.dicom_pairs` and `training.data.inspection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from inference.eligibility import Eligibility, judge
from inference.errors import SeriesUnreadable
from inference.series import SeriesHeader, find_files, load, read_headers
from inference.volume import Volume
from training.data.known import Refusal
from training.data.scans import ANY_GEOMETRY


def series_below(folder: Path) -> Iterator[SeriesHeader]:
    """All series in a folder and below, one of its direct subfolders (a patient) after the other."""
    for part in parts(folder):
        paths = find_files(part) if part.is_dir() else find_files(folder)
        yield from readable(paths)


def parts(folder: Path) -> Sequence[Path]:
    """The direct subfolders, in order of names; the folder itself if it has none."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) or [folder]


def readable(paths: Sequence[Path]) -> tuple[SeriesHeader, ...]:
    """The series of some files; a file that is broken is left out rather than its whole folder."""
    try:
        return read_headers(paths)
    except SeriesUnreadable:
        return read_headers([path for path in paths if _is_readable(path)])


def eligibility_of(series: SeriesHeader) -> Eligibility:
    """Whether a series has one regular grid; of any thickness and size that a chest CT can have."""
    return judge(series, ANY_GEOMETRY)


def refusal_of(series: SeriesHeader, eligibility: Eligibility) -> Refusal:
    """Why a series cannot be used, with the code of the first ground and the text of all."""
    texts = "; ".join(reason.text for reason in eligibility.reasons)
    return Refusal(code=eligibility.reasons[0].code, subject=series.series_instance_uid, text=texts)


def volume_of(eligibility: Eligibility) -> Volume:
    """The voxels of an eligible series.

    Raises
    ------
    SeriesUnreadable : see `inference.series.load`
    """
    assert eligibility.grid is not None, "only an eligible series has a grid"
    return load(eligibility.slices, eligibility.grid)


def _is_readable(path: Path) -> bool:
    try:
        read_headers([path])
    except SeriesUnreadable:
        return False
    return True
