"""Whether a study is whole: what the PACS says that it holds, against what is here.

Pure; `steps.complete` asks and fetches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pacs_node.domain.identifiers import SeriesUid

MOST_CHECKS = 3
"""So often a study is compared before it is analysed as it is; what is missing is fetched in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCount:
    """A series at the PACS; `modality` is empty if it does not say."""

    series_instance_uid: SeriesUid
    modality: str
    instance_count: int


def expected(
    counts: Sequence[SeriesCount], modalities: Collection[str], held: Mapping[SeriesUid, int]
) -> dict[SeriesUid, int]:
    """How many instances of which series should be here: of the modalities that matter, or begun if that is not known.

    Parameters
    ----------
    held : how many instances of a series are here, without results of this node
    """
    return {
        count.series_instance_uid: count.instance_count
        for count in counts
        if count.modality in modalities or (not count.modality and count.series_instance_uid in held)
    }


def missing(expected: Mapping[SeriesUid, int], held: Mapping[SeriesUid, int]) -> tuple[SeriesUid, ...]:
    """The series of which fewer instances are here than should be, those first that have begun."""
    short = [uid for uid, count in expected.items() if held.get(uid, 0) < count]
    return tuple(sorted(short, key=lambda uid: (uid not in held, uid)))


def is_to_be_checked(checks: int, check_until: datetime | None, now: datetime) -> bool:
    """Whether a quiet study is compared (once more) before it is planned.

    Parameters
    ----------
    checks : how often it was, since it was planned last
    check_until : when that has to end; None before the first time
    """
    return checks < MOST_CHECKS and (check_until is None or now < check_until)
