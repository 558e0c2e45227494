"""The page says what the paper prints, what was reached, whether that is the floor, and why the two do not compare."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.unit.training.results.records import a_run, figure
from training.papers import HEADLINES, PUBLISHED
from training.results import page
from training.results.figures import difference, shown, value_at

TODAY = {"hr_mpf": {"hr_mpf_paper": {"name": "hr_mpf_paper", "epochs": 80}}}
PAPER = a_run("hr_mpf_paper", dice=0.86, epochs=80)


def test_paper_and_own_figure_stand_side_by_side_with_the_reason() -> None:
    (line,) = [line for line in page([PAPER], HEADLINES, TODAY).splitlines() if line.startswith("| Dice |")]
    assert "0.937 (table 1)" in line and "0.860 (0.800 to 0.900)" in line
    assert "0.85: reached" in line and "augmentation" in line


def test_a_floor_that_is_missed_is_said_to_be() -> None:
    assert "0.85: **not reached**" in page([a_run("hr_mpf_paper", dice=0.84)], HEADLINES, TODAY)


def test_a_run_that_did_not_end_is_said_to_be_cut() -> None:
    assert "stopped early" in page([a_run("hr_mpf_paper", steps=50)], HEADLINES, TODAY)
    assert "stopped early" not in page([PAPER], HEADLINES, TODAY)


def test_a_run_of_another_split_and_a_note_on_a_run_are_told() -> None:
    folded = dataclasses.replace(PAPER, about={**PAPER.about, "fold": 2, "note": "by hand"})
    assert "**Fold 2, not the committed split.**" in page([folded], HEADLINES, TODAY)
    assert "Note: by hand." in page([folded], HEADLINES, TODAY)


def test_the_headline_s_run_counts_and_the_others_follow_in_a_table() -> None:
    content = page([a_run("hr_mpf_s", dice=0.5), PAPER], {"hr_mpf": "hr_mpf_paper"}, TODAY)
    assert "| Dice | 0.937 (table 1) | 0.860" in content
    assert "| hr_mpf_s | The paper's. | 100 of 100 | 0.500 (0.800 to 0.900) | epochs | " in content


def test_a_run_whose_recipe_is_gone_or_has_changed_is_named_as_such() -> None:
    content = page([PAPER, a_run("hr_mpf_once"), a_run("else", system="of old")], HEADLINES, TODAY)
    states = {line.split(" | ")[0]: line.split(" | ")[-1] for line in content.splitlines() if line.startswith("| ")}
    assert states["| hr_mpf_paper"] == "the same |"
    assert states["| hr_mpf_once"] == "**is gone** |"
    assert "## of old" in content and states["| else"] == "**is gone** |"
    longer = {"hr_mpf": {"hr_mpf_paper": {"name": "hr_mpf_paper", "epochs": 90, "batch": 16}}}
    assert "**changed**: batch (only one has it), epochs |" in page([PAPER], HEADLINES, longer)


def test_recipes_that_were_not_run_are_named() -> None:
    today: dict[str, dict[str, Any]] = {"hr_mpf": {"hr_mpf_paper": {}, "hr_mpf_s": {}}, "dsnet": {"dsnet_32": {}}}
    content = page([PAPER], HEADLINES, today)
    assert "Not run: `hr_mpf_s`." in content
    assert "Not run: `dsnet_32`." in content.partition("## dsnet")[2]


def test_a_figure_that_was_not_measured_is_a_dash_and_an_undefined_one_says_so() -> None:
    assert shown(value_at(PAPER.figures, "malignancy.auc")) == "-"
    assert shown(figure(None)) == "undefined"
    assert (difference(0.9, 0.95), difference(0.9, None)) == ("-0.050", "-")


def test_every_printed_number_is_a_share_and_has_a_reason() -> None:
    assert all(row.reason for row in PUBLISHED)
    assert all(0 < row.value < 1 for row in PUBLISHED if row.value is not None)
    assert {row.system for row in PUBLISHED} == set(HEADLINES)


def test_kinds_of_labels_are_compared_where_a_run_compared_them() -> None:
    part = {"auc": figure(0.9), "accuracy": figure(0.8)}
    labels = {
        "data": "two readers",
        "seeds": 5,
        "training_nodules": 370,
        "marginal_of_them": 96,
        "validation_nodules": 110,
        "auc_by_diameter_alone": figure(0.88),
        "hard": part,
        "pseudo_alpha_10": {**part, "auc_gain_over_hard": figure(-0.01)},
    }
    content = page([dataclasses.replace(PAPER, labels=labels)], HEADLINES, TODAY)
    assert "| hard | 0.900 (0.800 to 0.900) | - |" in content
    assert "| pseudo alpha 10 | 0.900 (0.800 to 0.900) | -0.010 (" in content
    assert "| the diameter alone | 0.880 (" in content


def test_sensitivities_on_whole_scans_stand_beside_the_paper_s_where_a_run_has_them() -> None:
    froc = {
        "data": "LUNA16",
        "scans": 20,
        "patients": 19,
        "nodules": 25,
        "sensitivity_at_false_per_scan": {"0.125": figure(0.5), "1": figure(0.8)},
        "cpm": figure(0.7),
    }
    content = page([dataclasses.replace(PAPER, froc=froc)], HEADLINES, TODAY)
    assert "| 0.125 | 0.776 | 0.500 (" in content
    assert "| 1 | - | 0.800 (" in content
    assert "| CPM | - | 0.700 (" in content
