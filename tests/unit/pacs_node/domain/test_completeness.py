"""What should be here, what is missing, and how often that is asked."""

from __future__ import annotations

import pytest

from pacs_node.domain.completeness import MOST_CHECKS, SeriesCount, expected, is_to_be_checked, missing
from pacs_node.domain.identifiers import SeriesUid
from tests.support.archive import NOON, at

A, B, C = (SeriesUid(f"1.2.{number}") for number in (1, 2, 3))


def _count(uid: SeriesUid, modality: str, count: int) -> SeriesCount:
    return SeriesCount(series_instance_uid=uid, modality=modality, instance_count=count)


def test_series_of_other_modalities_are_not_waited_for() -> None:
    assert expected([_count(A, "CT", 40), _count(B, "SEG", 1)], ["CT"], {A: 40}) == {A: 40}


def test_a_series_of_unknown_modality_is_waited_for_once_it_has_begun() -> None:
    assert expected([_count(A, "", 40), _count(B, "", 1)], ["CT"], {A: 1}) == {A: 40}


@pytest.mark.parametrize(
    ("held", "short"),
    [
        ({A: 40, B: 7}, ()),
        ({A: 41, B: 7, C: 3}, ()),
        ({A: 39, B: 7}, (A,)),
        ({A: 40}, (B,)),
        ({B: 6}, (B, A)),
        ({}, (A, B)),
    ],
)
def test_series_with_fewer_instances_are_missing_and_begun_ones_go_first(
    held: dict[SeriesUid, int], short: tuple[SeriesUid, ...]
) -> None:
    assert missing({A: 40, B: 7}, held) == short


@pytest.mark.parametrize(
    ("checks", "until_s", "may"),
    [(0, None, True), (MOST_CHECKS - 1, 1, True), (MOST_CHECKS, 1, False), (1, 0, False), (1, -1, False)],
)
def test_a_study_is_compared_a_few_times_within_its_time(checks: int, until_s: float | None, may: bool) -> None:
    assert is_to_be_checked(checks, None if until_s is None else at(until_s), NOON) is may
