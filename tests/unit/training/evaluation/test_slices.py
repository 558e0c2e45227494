"""A model that answers what is known beforehand gets the figures that are known beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from inference.contract import Contract, Feed, Intensity, RoiSlices, TensorSpec
from training.data.slices import EDGE, Slice
from training.evaluation.pages import draw, table, without_cases
from training.evaluation.slices import case_list, chain_of, evaluate, judge
from training.labels.malignancy import LabelRule
from training.served import Served

IMAGE = TensorSpec(name="image", shape=(1, 64, 64))
BRIGHT_HU, LUNG_HU = 100, -900


class _Brightness(nn.Module):
    """Calls every bright pixel nodule, and malignant what has many."""

    def forward(self, image_B1JI: Tensor) -> tuple[Tensor, Tensor]:
        return image_B1JI, image_B1JI.mean((2, 3))


class _Agrees(nn.Module):
    """Says what it is fed."""

    def forward(self, image_B1JI: Tensor, coarse_B1JI: Tensor) -> Tensor:
        return coarse_B1JI


def _contract(model: str, roles: Sequence[str]) -> Contract:
    outputs = (TensorSpec(name="probability", shape=(1, 64, 64)), TensorSpec(name="malignancy", shape=(1,)))
    return Contract(
        model=model,
        version=1,
        kind="slice-model",
        file="",
        sha256="",
        inputs=(IMAGE,),
        outputs=outputs,
        system="toy",
        roles=tuple(roles),
        intensity=Intensity(window_hu=(-1000.0, 400.0), mean_hu=-1000.0, sd_hu=1400.0),
        roi=RoiSlices(size_ji=(64, 64), pixel_spacing_mm=None, margin_mm=2.0, threshold=0.5),
    )


def _served(roles: Sequence[str]) -> Served:
    return Served(contract=_contract("toy", roles), module=_Brightness(), maximum_batch=16)


def _disc(patient: str, radius: float, rating: int, readers: Sequence[float] = (1.0,)) -> Slice:
    """A bright disc; each reader draws it larger or smaller by a factor."""
    distance = np.hypot(*(np.indices((EDGE, EDGE)) - EDGE // 2))
    return Slice(
        case_id=f"{patient}:0",
        patient_id=patient,
        image_hu=np.where(distance <= radius, BRIGHT_HU, LUNG_HU).astype(np.int16),
        readers_RJI=np.stack([distance <= radius * factor for factor in readers]),
        ratings=(rating,) * len(readers),
        pixel_spacing_mm=0.5,
        diameter_mm=float(radius),
    )


DISCS = (_disc("A", 6, 1), _disc("B", 9, 2), _disc("C", 12, 5), _disc("D", 7, 3))


def _figures(slices: Sequence[Slice], roles: Sequence[str] = ("segmentation", "malignancy")) -> dict[str, object]:
    return evaluate(slices, [_served(roles)], share=0.5, rule=LabelRule.MEAN_STRICT3, data="discs").figures


def test_a_model_that_is_right_has_dice_1_and_distance_0() -> None:
    found = _figures(DISCS)["segmentation"]
    assert isinstance(found, dict)
    assert found["dice"] == {"value": 1.0, "interval_95": [1.0, 1.0], "patients": 4}
    assert found["hausdorff_mm"]["value"] == 0.0
    assert found["nothing_found"] == 0


def test_malignancy_leaves_out_what_the_readers_do_not_say_and_stands_beside_the_diameter() -> None:
    found = _figures(DISCS)["malignancy"]
    assert isinstance(found, dict)
    assert (found["nodules"], found["malignant"]) == (3, 1)
    assert found["auc"]["value"] == found["auc_by_diameter_alone"]["value"] == 1.0
    assert found["auc_gain_over_diameter"]["value"] == 0.0
    assert found["are_consistent"] is True


def test_a_system_that_only_outlines_has_no_malignancy_figures() -> None:
    assert "malignancy" not in _figures(DISCS, ("segmentation",))


def test_nothing_found_counts_as_dice_0_and_has_no_distance() -> None:
    dark = dataclasses.replace(DISCS[0], image_hu=np.full((EDGE, EDGE), LUNG_HU, np.int16))
    (case,) = judge([dark], [_served(("segmentation",))], share=0.5, rule=LabelRule.MEDIAN)
    assert case.overlap.dice == 0.0 and case.surface is None
    assert np.isnan(case.malignancy)


def test_reader_agreement_is_measured_where_three_readers_drew() -> None:
    three = [_disc("A", 8, 1, (1.0, 1.0, 1.0)), _disc("B", 8, 1, (1.0, 1.0))]
    found = _figures(three)["reader_agreement"]
    assert isinstance(found, dict)
    assert found["slices"] == 1 and found["pairwise"]["value"] == 1.0
    assert "reader_agreement" not in _figures(DISCS)


def test_each_case_is_listed_without_the_name_of_its_patient() -> None:
    """In the order of case ids, whatever order they came in; a rating of 3 is no label."""
    listed = _figures([DISCS[3], *DISCS[:3]])["cases"]
    assert isinstance(listed, dict)
    assert listed["patient"] == [0, 1, 2, 3] and listed["dice"] == [1.0] * 4
    assert listed["is_malignant"] == [0.0, 0.0, 1.0, None] and listed["diameter_mm"] == [6.0, 9.0, 12.0, 7.0]
    assert not any(disc.case_id in str(listed) for disc in DISCS)


def test_lists_of_cases_are_of_one_kind_only_with_the_same_cases_and_the_same_truth() -> None:
    cases = judge(DISCS, [_served(("segmentation",))], share=0.5, rule=LabelRule.MEDIAN)
    one = case_list(cases, 0.5)
    assert case_list(cases[::-1], 0.5) == one
    assert case_list(cases[:3], 0.5)["sha256"] != one["sha256"] != case_list(cases, 0.667)["sha256"]
    assert "malignancy" not in one, "nobody answered it"


def test_a_table_and_a_contract_have_no_lists_of_cases() -> None:
    figures = {"slices": 4, "cases": {"sha256": "0"}, "variants": {"plain": {"cases": {"sha256": "1"}, "slices": 3}}}
    assert without_cases(figures) == {"slices": 4, "variants": {"plain": {"slices": 3}}}
    assert "sha256" not in table(figures)


def test_a_model_is_asked_after_the_ones_that_feed_it() -> None:
    first = _contract("first", ())
    fed = dataclasses.replace(
        _contract("second", ("segmentation",)),
        inputs=(IMAGE, TensorSpec(name="coarse", shape=(1, 64, 64))),
        outputs=(TensorSpec(name="probability", shape=(1, 64, 64)),),
        feeds=(Feed(input="coarse", model="first", output="probability"),),
    )
    assert [contract.model for contract in chain_of("segmentation", [first, fed])] == ["first", "second"]
    served = [
        Served(contract=first, module=_Brightness(), maximum_batch=4),
        Served(contract=fed, module=_Agrees(), maximum_batch=4),
    ]
    cases = judge(DISCS, served, share=0.5, rule=LabelRule.MEDIAN)
    assert all(case.overlap.dice == 1.0 for case in cases)
    assert chain_of("malignancy", [first, fed]) == []


def test_figures_become_a_table_and_cases_a_page(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    outcome = evaluate(DISCS, [_served(("segmentation",))], share=0.5, rule=LabelRule.MEDIAN, data="discs")
    assert "| segmentation: dice | 1.000 | 1.000 to 1.000 (4) |" in table(outcome.figures)
    page = tmp_path / "cases.png"
    draw(outcome.cases, page)
    assert page.read_bytes().startswith(b"\x89PNG")
