"""CT series below a folder, whatever else lies there: which can be read, and why others cannot.

Reading is `inference.series`, so that training sees the voxels that the node sees. Called from `training.data.lidc`,
`training.data.dicom_pairs` and `training.data.inspection`.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from inference.eligibility import Eligibility, judge
from inference.errors import SeriesUnreadable
from inference.series import SeriesHeader, find_files, load, read_headers
from inference.volume import Volume
from training.data.known import Refusal
from training.data.scans import ANY_GEOMETRY

Tell = Callable[[int, int], None]
"""Told how much of how much is done."""


def _tell_nobody(done: int, total: int) -> None:
    pass


def series_below(folder: Path, tell: Tell = _tell_nobody) -> tuple[SeriesHeader, ...]:
    """All series in a folder and below, however they are spread over its subfolders, ordered by UID.

    Parameters
    ----------
    tell : told how many folders of how many have been read
    """
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in find_files(folder):
        groups[path.parent].append(path)
    found: dict[tuple[str, str], SeriesHeader] = {}
    for number, paths in enumerate(groups.values(), start=1):
        for part in readable(paths):
            key = part.study_instance_uid, part.series_instance_uid
            before = found[key].slices if key in found else ()
            found[key] = dataclasses.replace(found.get(key, part), slices=before + part.slices)
        tell(number, len(groups))
    return tuple(found[key] for key in sorted(found))


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
