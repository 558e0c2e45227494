"""The page says what the paper prints, what was reached, whether that is the floor, and why the two do not compare."""

from __future__ import annotations

import dataclasses
from typing import Any

from training.papers import HEADLINES, PUBLISHED
from training.results import Run, page, shown, value_at


def _figure(value: float | None) -> dict[str, Any]:
    return {"value": value, "interval_95": [0.8, 0.9], "patients": 88}


def _run(recipe: str = "hr_mpf_paper", dice: float = 0.86, steps: int = 100) -> Run:
    figures = {"data": "LUNA16 slices", "steps": steps, "of_steps": 100, "segmentation": {"dice": _figure(dice)}}
    return Run(system="hr_mpf", recipe=recipe, purpose="The paper's.", about={"commit": "c" * 40}, figures=figures)


def test_paper_and_own_figure_stand_side_by_side_with_the_reason() -> None:
    (line,) = [line for line in page([_run()], HEADLINES).splitlines() if line.startswith("| Dice |")]
    assert "0.937 (table 1)" in line and "0.860 (0.800 to 0.900)" in line
    assert "0.85: reached" in line and "augmentation" in line


def test_a_floor_that_is_missed_is_said_to_be() -> None:
    assert "0.85: **not reached**" in page([_run(dice=0.84)], HEADLINES)


def test_a_run_that_did_not_end_is_said_to_be_cut() -> None:
    assert "stopped early" in page([_run(steps=50)], HEADLINES)
    assert "stopped early" not in page([_run()], HEADLINES)


def test_the_headline_s_run_counts_and_the_others_follow_in_a_table() -> None:
    content = page([_run("hr_mpf_s", dice=0.5), _run()], {"hr_mpf": "hr_mpf_paper"})
    assert "| Dice | 0.937 (table 1) | 0.860" in content
    assert "| hr_mpf_s | The paper's. | 100 of 100 | 0.500" in content


def test_a_figure_that_was_not_measured_is_a_dash_and_an_undefined_one_says_so() -> None:
    assert shown(value_at(_run().figures, "malignancy.auc")) == "-"
    assert shown(_figure(None)) == "undefined"


def test_every_printed_number_is_a_share_and_has_a_reason() -> None:
    assert all(row.reason for row in PUBLISHED)
    assert all(0 < row.value < 1 for row in PUBLISHED if row.value is not None)
    assert {row.system for row in PUBLISHED} == set(HEADLINES)


def test_kinds_of_labels_are_compared_where_a_run_compared_them() -> None:
    part = {"auc": _figure(0.9), "accuracy": _figure(0.8)}
    labels = {
        "data": "two readers",
        "seeds": 5,
        "training_nodules": 370,
        "marginal_of_them": 96,
        "validation_nodules": 110,
        "auc_by_diameter_alone": _figure(0.88),
        "hard": part,
        "pseudo_alpha_10": {**part, "auc_gain_over_hard": _figure(-0.01)},
    }
    content = page([dataclasses.replace(_run(), labels=labels)], HEADLINES)
    assert "| hard | 0.900 (0.800 to 0.900) | - |" in content
    assert "| pseudo alpha 10 | 0.900 (0.800 to 0.900) | -0.010 (" in content
    assert "| the diameter alone | 0.880 (" in content
