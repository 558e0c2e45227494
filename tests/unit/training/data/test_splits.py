"""A patient is on one side only, and the file says so for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.torch_networks import a_nodule
from training.data.luna16 import DEMO_PATIENTS
from training.data.phantom.lidc_shapes import Pool, pool_of
from training.data.splits import LEAKY, Split, SplitBroken, SplitRule, guard, leaky, load, make_split, save, strata_of
from training.sources import HERE


def test_the_guard_names_a_patient_on_both_sides() -> None:
    with pytest.raises(SplitBroken, match="1 patients .* P2"):
        guard(["P1", "P2"], ["P2", "P3"])


def test_the_guard_lets_disjoint_sides_pass() -> None:
    guard(["P1"], ["P2"])


def test_only_a_recipe_that_says_so_may_leak_and_its_figures_say_it() -> None:
    samples = [f"P{number // 7}" for number in range(70)]  # seven images of each of ten patients
    train, tested = leaky(len(samples), 0.15, seed=1)
    sides = [samples[n] for n in train], [samples[n] for n in tested]
    with pytest.raises(SplitBroken):
        guard(*sides)
    assert guard(*sides, SplitRule.AS_PRINTED) == (LEAKY,)
    assert guard(["P1"], ["P2"]) == ()
    assert SplitRule("as_printed") is SplitRule.AS_PRINTED


def test_a_leaky_split_has_every_sample_once_and_as_many_tested_as_paper_1() -> None:
    train, tested = leaky(5845, 0.15, seed=1)
    assert (len(train), len(tested)) == (4968, 877)
    assert sorted([*train, *tested]) == list(range(5845))
    assert leaky(5845, 0.15, seed=1)[1].tolist() == tested.tolist()
    assert leaky(5845, 0.15, seed=2)[1].tolist() != tested.tolist()


def test_every_stratum_gets_the_same_share_of_validation_patients() -> None:
    strata = {f"M{n}": "malignant" for n in range(20)} | {f"B{n}": "benign" for n in range(10)}
    held_out = {patient: patient in {"M0", "M1", "M2", "M3", "B0", "B1", "B2"} for patient in strata}
    split = make_split(strata, held_out)
    # the malignant stratum has 4 of 20, so the benign one gives 2 of its 3
    assert len([p for p in split.validation if p[0] == "M"]) == 4
    assert len([p for p in split.validation if p[0] == "B"]) == 2
    assert len(split.unused) == 1
    assert len(split.train) == 23
    assert not set(split.train) & set(split.validation)


def test_a_patient_has_the_stratum_of_the_worst_nodule() -> None:
    nodules = [a_nodule("P1", ratings=(1, 1, 1)), a_nodule("P1", ratings=(5, 5, 5)), a_nodule("P2", ratings=(3, 3, 3))]
    assert strata_of(nodules) == {"P1": "malignant", "P2": "uncertain"}


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    save(Split(train=("P1", "P2"), validation=("P3",)), path)
    assert load(path).validation == ("P3",)
    raw = json.loads(path.read_text())
    raw["train"].remove("P2")
    path.write_text(json.dumps(raw))
    with pytest.raises(SplitBroken, match="was changed"):
        load(path)


def test_a_file_with_a_patient_on_both_sides_is_refused(tmp_path: Path) -> None:
    save(Split(train=("P1",), validation=("P1",)), tmp_path / "split.json")
    with pytest.raises(SplitBroken, match="both sides"):
        load(tmp_path / "split.json")


def test_the_committed_split_keeps_the_demo_and_the_held_out_shapes_off_the_training_side() -> None:
    split = load(HERE / "luna16_split.json")
    assert not DEMO_PATIENTS & {*split.train, *split.validation}
    assert all(pool_of(patient) is Pool.TRAINING for patient in split.train)
    assert all(pool_of(patient) is Pool.HELD_OUT for patient in split.validation)
