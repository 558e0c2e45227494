"""Figures of patches: worked out by hand on made-up cases, and on a patch that a threshold finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.predictor import FloatTensor
from tests.support.torch_networks import a_nodule
from training.metrics.froc import ScanCase
from training.networks.jnsc import Jnsc, JnscHead, jnsc_tiny
from training.results.gains import gain
from training.served import Served, TorchPredictor
from training.system import Modules
from training.systems.jnsc import judging, patches, report
from training.systems.jnsc.patches import PatchCase
from training.systems.jnsc.phantoms import PhantomCase
from training.systems.jnsc.recipe import served


class _Bright:
    """Calls nodule what is brighter than -300 HU; all candidates are malignant nodules with probability 0.7."""

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        if model == "jnsc_head":
            return {"probability": np.tile(np.array([0.2, 0.7, 0.1], np.float32), (len(inputs["features"]), 1))}
        window = inputs["window"]
        sizes = {f"v{level + 1}": (2 * 2**level, 64 // 2**level) for level in range(5)}
        maps = {name: np.zeros((len(window), c, s, s, s), np.float32) for name, (c, s) in sizes.items()}
        return {"probability": (window > (-300 + 570) / 415).astype(np.float32), **maps}


def _models() -> tuple[Served, ...]:
    return served(Modules({"network": Jnsc(jnsc_tiny()), "head": JnscHead(jnsc_tiny())}))


def _case(patient: str, score: float, false: tuple[float, ...], cm3: float = 500.0) -> PatchCase:
    nothing = np.zeros((64,) * 3, bool)
    return PatchCase(
        nodule=a_nodule(patient),
        score=score,
        truth=nothing,
        found=nothing,
        dice=0.8,
        iou=0.6,
        surface=None,
        malignancy=0.5,
        false_scores=false,
        background_cm3=cm3,
    )


def _phantom(seed: int, false: tuple[float, ...]) -> PhantomCase:
    """A phantom with one nodule, found with 0.85, and these false findings."""
    return PhantomCase(scan=ScanCase(name=f"{seed}", hit_scores=(0.85,), false_scores=false), dices=(0.9,))


def test_a_patch_whose_ball_is_found_has_full_overlap_and_no_false_findings() -> None:
    detector, head = (one.contract for one in _models())
    (case,) = patches.evaluate([a_nodule(radius=6)], detector, head, _Bright())
    assert (case.dice, case.iou, case.false_scores) == (1.0, 1.0, ())
    assert case.surface is not None and case.surface.hausdorff_mm == 0
    assert case.score == pytest.approx(0.9, abs=1e-3)  # nodule-ness 1 - 0.1 times probability 1
    assert case.malignancy == pytest.approx(7 / 9, abs=1e-3)
    assert case.background_cm3 == pytest.approx((50**3 - a_nodule(radius=6).mask.sum()) / 1000)
    picture = judging._picture(case)
    assert picture.truth_ji.sum() == picture.found_ji.sum() > 100, "a disc of radius 6"
    assert picture.image_ji[32, 32] > 0.7 > picture.image_ji[2, 2]


def test_sensitivity_is_read_where_one_false_finding_falls_on_a_litre_of_background() -> None:
    """Two patients with 2 x 500 cm3 each: two false findings are allowed in all."""
    cases = [
        _case("P1", 0.9, (0.8,)),
        _case("P1", 0.55, (0.6,)),
        _case("P2", 0.45, (0.5,)),
        _case("P2", 0.0, (0.4,)),
    ]
    figures = report.patch_report(cases, 0.5)
    # 0.8 and 0.6 are allowed, 0.5 is not: nodules above 0.5 are found, two of four
    assert figures["sensitivity_at_1_per_1000_cm3"]["value"] == 0.5
    assert figures["sensitivity"]["value"] == 0.5
    assert figures["false_per_cm3"]["value"] == 0.0015  # 0.8, 0.6 and 0.5 in 2,000 cm3


def test_all_nodules_that_were_found_count_where_false_findings_are_few() -> None:
    cases = [_case("P1", 0.2, (), 1500.0), _case("P2", 0.0, (0.9,), 1500.0)]
    assert report.patch_report(cases, 0.5)["sensitivity_at_1_per_1000_cm3"]["value"] == 0.5


def test_malignancy_stands_beside_the_diameter_and_uncertain_nodules_are_left_out() -> None:
    made = {
        "P1": ((1, 1, 1), 3.0, 0.2),
        "P2": ((5, 5, 5), 6.0, 0.9),
        "P3": ((2, 1, 2), 6.5, 0.3),
        "P4": ((3, 3, 3), 5, 1),
    }
    cases = [
        replace(_case(name, 0.9, ()), nodule=a_nodule(name, radius, ratings), malignancy=malignancy)
        for name, (ratings, radius, malignancy) in made.items()
    ]
    figures = report.malignancy_report(cases)
    assert (figures["nodules"], figures["malignant"]) == (3, 1)
    # 0.9 lies above 0.2 and 0.3; 12 mm above 6 mm, but not above 13 mm
    assert (figures["auc"]["value"], figures["auc_by_diameter_alone"]["value"]) == (1.0, 0.5)
    assert figures["auc_gain_over_diameter"]["value"] == 0.5
    assert figures["within_diameters_mm"]["4-8"] == {"nodules": 1, "malignant": 0}
    assert figures["within_diameters_mm"]["8-15"]["auc"]["value"] == 1.0


def test_each_nodule_is_listed_so_that_two_runs_can_be_compared_and_no_name_is_told() -> None:
    made = {"P2": (4, 5, 5), "P1": (1, 1, 1), "P3": (3, 3, 3)}
    cases = [replace(_case(name, 0.9, ()), nodule=a_nodule(name, 5.0, said)) for name, said in made.items()]
    listed = report.case_list(cases)
    assert (listed["patient"], listed["is_malignant"]) == ([0, 1, 2], [0.0, 1.0, None])
    assert (listed["dice"], listed["malignancy"], listed["diameter_mm"]) == ([0.8] * 3, [0.5] * 3, [10.0] * 3)
    assert listed["sha256"] == report.case_list(cases[::-1])["sha256"] != report.case_list(cases[:2])["sha256"]
    better = listed | {"malignancy": [0.5, 0.9, 0.1]}
    assert gain(better, listed, "auc") is not None
    assert gain(better, listed, "auc")["value"] == 0.5  # type: ignore[index]


def test_the_operating_score_is_set_on_what_is_found_as_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 tuning phantoms 8 false findings are allowed. With all asked 0.8 leaves 8; asked as served, 0.85 does."""
    asked = []

    def found(seeds, *models, score):  # type: ignore[no-untyped-def]
        asked.append((tuple(seeds), score))
        scores = (0.9, 0.79) if score == 0.0 else (0.9, 0.84)
        return [_phantom(seed, tuple(s for s in scores if s >= score)) for seed in seeds]

    monkeypatch.setattr(judging.phantoms, "evaluate", found)
    detector, head = (one.contract for one in _models())
    figures = judging.evaluate([a_nodule(radius=6)], detector, head, _Bright(), lambda text: None).figures
    assert [score for _, score in asked] == [0.0, 0.8, 0.0, 0.85]
    assert [seeds for seeds, _ in asked] == [judging.TUNING_SEEDS] * 2 + [judging.UNSEEN_SEEDS] * 2
    assert figures["real"]["operating_score"] == figures["synthetic"]["operating_score"] == 0.85


def test_what_is_served_never_lowers_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the first score nothing is known of what is served: that nothing is found there means nothing."""
    monkeypatch.setattr(
        judging.phantoms,
        "evaluate",
        lambda seeds, *models, score: [_phantom(seed, (0.9, 0.79) if score == 0.0 else ()) for seed in seeds],
    )
    detector, head = (one.contract for one in _models())
    figures = judging.evaluate([a_nodule(radius=6)], detector, head, _Bright(), lambda text: None).figures
    assert figures["real"]["operating_score"] == 0.8


def test_of_phantoms_all_scores_count_with_all_asked_and_the_operating_score_as_served() -> None:
    everything, served = [_phantom(1, (0.9, 0.2, 0.1)), _phantom(2, ())], [_phantom(1, (0.9, 0.8)), _phantom(2, ())]
    figures = report.phantom_report(everything, served, 0.7)
    assert figures["false_per_scan"]["value"] == 1.0, "0.9 and 0.8 of two phantoms"
    assert figures["cpm"]["value"] == report.phantom_report(everything, everything, 0.7)["cpm"]["value"] != 1.0
    assert figures["sensitivity_at_false_per_scan"] == {"1.0": 1.0, "4.0": 1.0, "8.0": 1.0}


def test_no_figure_needs_more_than_torch_s_own_modules() -> None:
    torch.manual_seed(0)
    detector, head = (one.contract for one in _models())
    (case,) = patches.evaluate([a_nodule()], detector, head, TorchPredictor(_models()))
    assert case.truth.sum() == a_nodule().mask.sum()
