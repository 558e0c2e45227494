"""Features of candidates and what the head says of them."""

from __future__ import annotations

import numpy as np
import pytest

from inference.classify import adaptive_max_pool, classify, roi_features
from inference.errors import ContractInvalid
from inference.findings import Candidate, CroppedMask, Proposal
from inference.geometry import Shape
from tests.support.predictors import FakePredictor, a_detector, a_head

STARTS: tuple[Shape, ...] = ((0, 0, 0), (0, 0, 32))


def a_proposal(start_kji: Shape, shape_kji: Shape) -> Proposal:
    k, j, i = (start + (length - 1) / 2 for start, length in zip(start_kji, shape_kji, strict=True))
    return Proposal(
        candidate=Candidate(centre_lps=(0.0, 0.0, 0.0), diameter_mm=5.0, score=0.9),
        component=CroppedMask(start_kji=start_kji, voxels=np.ones(shape_kji, bool)),
        centre_kji=(k, j, i),
    )


def a_field() -> np.ndarray:
    """Values that tell where they are: 10000 k + 100 j + i."""
    k, j, i = np.indices((64, 64, 96))
    return (10000 * k + 100 * j + i).astype(np.float32)


def line(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("values", "cells", "expected"),
    [
        ((1, 9, 2, 3, 4), 2, (9, 4)),  # [0, 3) and [2, 5)
        ((7,), 2, (7, 7)),
        ((1, 2, 3, 4), 2, (2, 4)),
        ((4, 3, 2, 1, 0, 6, 5), 3, (4, 2, 6)),  # [0, 3), [2, 5), [4, 7)
        ((4, 5, 3), 1, (5,)),
    ],
)
def test_cells_share_out_an_axis_and_overlap_where_they_must(
    values: tuple[int, ...], cells: int, expected: tuple[int, ...]
) -> None:
    pooled = adaptive_max_pool(line(*values), cells)
    assert pooled.shape == (1, cells, cells, cells)
    assert pooled[0, 0, 0].tolist() == list(expected)


def test_features_are_the_pooled_crops_in_order_and_the_size() -> None:
    fine = np.arange(2 * 8 * 8 * 8, dtype=np.float32).reshape(2, 8, 8, 8)  # channel 512, k 64, j 8, i 1
    coarse = np.arange(4 * 4 * 4, dtype=np.float32).reshape(1, 4, 4, 4)  # k 16, j 4, i 1
    got = roi_features([fine, coarse], [1, 2], [2, 1], [(2, 6), (1, 3), (3, 4)], 27)
    corners = [k * 64 + j * 8 + 3 for k in (3, 5) for j in (1, 2) for _ in range(2)]  # maxima of k 2-3, 4-5; j 1, 2
    expected = [*corners, *(512 + value for value in corners)]
    expected.append(2 * 16 + 1 * 4 + 1)  # coarse [1, 3), [0, 2), [1, 2)
    assert got[:-1].tolist() == expected
    assert got[-1] == pytest.approx(0.3)  # 0.1 * 27 ** (1/3)
    assert got.dtype == np.float32


def test_a_crop_has_at_least_one_voxel_of_every_map() -> None:
    assert roi_features([line(1, 2)], [16], [1], [(0, 0), (0, 1), (16, 17)], 1).tolist() == pytest.approx([2.0, 0.1])


def test_the_head_sees_the_box_with_a_voxel_around_it_in_the_closest_window() -> None:
    detector, head = a_detector(), a_head()
    predictor = FakePredictor(detector, head)
    classify([a_proposal((10, 20, 70), (2, 2, 4))], a_field(), STARTS, detector, head, predictor)
    (dense, _, outputs), (_, question, _) = predictor.asked
    assert (dense, outputs) == ("fake", ("v1", "v2"))
    # k 9-12, j 19-22, i 69-74 of the field; in the window i 37-42: halves end at k 10, 12; j 20, 22; i 71, 74
    fine = [10000 * k + 100 * j + i for k in (10, 12) for j in (20, 22) for i in (71, 74)]
    # stride 2: window k [9, 13) -> cells 4-6, j [19, 23) -> 9-11, i [37, 43) -> 18-21; the last means of eight voxels
    coarse = 10000 * 12.5 + 100 * 22.5 + (32 + 42.5)
    assert question["features"][0] == pytest.approx([*fine, coarse, 0.1 * 16 ** (1 / 3)])


def test_a_box_at_the_border_is_cut() -> None:
    detector, head = a_detector(), a_head()
    predictor = FakePredictor(detector, head)
    classify([a_proposal((0, 0, 0), (1, 1, 1))], a_field(), STARTS, detector, head, predictor)
    features = predictor.asked[1][1]["features"][0]
    assert features[:8] == pytest.approx([10000 * k + 100 * j + i for k in (0, 1) for j in (0, 1) for i in (0, 1)])


def test_a_window_is_asked_once_and_verdicts_keep_the_order_of_the_candidates() -> None:
    detector, head = a_detector(), a_head()
    predictor = FakePredictor(detector, head)
    places = [(10, 20, 70), (10, 20, 5), (40, 20, 80)]
    verdicts = classify(
        [a_proposal(place, (2, 2, 2)) for place in places], a_field(), STARTS, detector, head, predictor
    )
    assert len(verdicts) == 3
    (_, windows, _), (_, question, _) = predictor.asked
    assert windows["window"].shape[0] == 2
    last = [10000 * (k + 2) + 100 * (j + 2) + i + 2 for k, j, i in places]
    assert question["features"][:, 7] == pytest.approx(last)


def test_malignancy_is_the_share_of_malignant_among_nodules() -> None:
    detector, head = a_detector(), a_head(classes=("non-nodule", "malignant", "benign"))
    predictor = FakePredictor(detector, head, verdict=(0.2, 0.2, 0.6))
    (verdict,) = classify([a_proposal((10, 20, 30), (2, 2, 2))], a_field(), STARTS, detector, head, predictor)
    assert verdict.nodule == pytest.approx(0.8)
    assert verdict.malignancy == pytest.approx(0.25)


def test_what_is_certainly_no_nodule_has_a_malignancy_too() -> None:
    detector, head = a_detector(), a_head()
    predictor = FakePredictor(detector, head, verdict=(0.0, 0.0, 1.0))
    (verdict,) = classify([a_proposal((10, 20, 30), (2, 2, 2))], a_field(), STARTS, detector, head, predictor)
    assert (verdict.nodule, verdict.malignancy) == (0.0, 0.0)


def test_more_candidates_than_fit_a_batch_are_asked_in_batches() -> None:
    detector, head = a_detector(), a_head()
    predictor = FakePredictor(detector, head)
    proposals = [a_proposal((k, 20, 30), (2, 2, 2)) for k in range(40)]
    assert len(classify(proposals, a_field(), STARTS, detector, head, predictor)) == 40
    assert [len(question["features"]) for name, question, _ in predictor.asked if name == "fake_head"] == [32, 8]


def test_a_head_with_other_classes_is_refused() -> None:
    detector, head = a_detector(), a_head(classes=("yes", "no", "perhaps"))
    with pytest.raises(ContractInvalid):
        proposals = [a_proposal((10, 20, 30), (2, 2, 2))]
        classify(proposals, a_field(), STARTS, detector, head, FakePredictor(detector, head))
