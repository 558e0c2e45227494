"""Printed and own numbers of ablations and comparisons stand side by side; what was not run is said to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tests.unit.training.results.records import a_run, cases, figure
from training import catalogue
from training.papers import ABLATIONS, COMPARISONS
from training.papers.ablations import Ablation, Row
from training.results.records import Run
from training.results.tables import ablation_table, comparison_table

PARTS = Ablation(
    system="hr_mpf",
    place="table 6",
    asks="what helps?",
    rows=(
        Row(name="S", recipe="s", printed=0.9252),
        Row(name="S + C", recipe="sc", printed=0.9249, over="S"),
        Row(name="S + C + D", recipe="scd", over="S + C"),
    ),
)
OUTLINED = a_run("s", dice=0.8, cases=cases([0.5, 0.7]))
JUDGED = a_run("sc", dice=0.81, epochs=6, cases=cases([0.6, 0.9]))


def _lines(table: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def _table(runs: Sequence[Run], ablation: Ablation = PARTS) -> dict[str, list[str]]:
    return _lines(ablation_table(ablation, {run.recipe: run for run in runs}))


def test_a_row_stands_beside_the_paper_with_both_gains_and_what_else_is_other() -> None:
    rows = _table([OUTLINED, JUDGED])
    assert rows["S"] == ["`s`", "0.925", "0.800 (0.800 to 0.900)", "-", "-", "-", "-"]
    gained = "0.150 (0.150 to 0.150)"
    assert rows["S + C"] == ["`sc`", "0.925", "0.810 (0.800 to 0.900)", "S", "-0.000", gained, "epochs"]


def test_a_row_that_was_not_run_says_so() -> None:
    assert _table([OUTLINED, JUDGED])["S + C + D"] == ["`scd`", "-", "not run", "S + C", "-", "-", "-"]


def test_a_table_without_two_rows_to_compare_is_one_line() -> None:
    assert ablation_table(PARTS, {"s": OUTLINED}) == "Table 6: what helps? Not run."


def test_runs_without_lists_of_cases_have_figures_and_no_gain() -> None:
    bare = dataclasses.replace(JUDGED, figures={k: v for k, v in JUDGED.figures.items() if k != "cases"})
    assert _table([OUTLINED, bare])["S + C"][2] == "0.810 (0.800 to 0.900)"
    assert _table([OUTLINED, bare])["S + C"][5] == "-"


def test_a_row_that_was_stopped_early_says_so() -> None:
    cut = a_run("sc", steps=50, cases=cases([0.6, 0.9]))
    assert _table([OUTLINED, cut])["S + C"][0] == "`sc`, **stopped at step 50 of 100**"


def test_branches_of_one_run_are_rows_with_figures_and_cases_of_their_own() -> None:
    variants = {
        "plain": {"with_nodule": {"dice": figure(0.5)}, "cases": cases([0.4, 0.6])},
        "std": {"with_nodule": {"dice": figure(0.6)}, "cases": cases([0.6, 0.6])},
    }
    rows = (
        Row(name="plain", recipe="all", at="clinical.variants.plain.with_nodule"),
        Row(name="STD", recipe="all", at="clinical.variants.std.with_nodule", over="plain"),
    )
    ablation = dataclasses.replace(PARTS, figure="dice", rows=rows)
    found = _table([a_run("all", clinical={"variants": variants})], ablation)
    assert found["STD"][2] == "0.600 (0.800 to 0.900)" and found["STD"][5] == "0.100 (0.100 to 0.100)"


def test_a_gain_that_the_run_measured_itself_is_taken_as_it_is() -> None:
    rows = (
        Row(name="Coarse", recipe="both", at="coarse"),
        Row(name="Fine", recipe="both", over="Coarse", measured="dice_gain_over_coarse"),
    )
    run = a_run("both", coarse={"dice": figure(0.7)}, dice_gain_over_coarse=figure(0.02))
    found = _table([run], dataclasses.replace(PARTS, rows=rows))
    assert found["Coarse"][2] == "0.700 (0.800 to 0.900)" and found["Fine"][5] == "0.020 (0.800 to 0.900)"


def test_other_networks_stand_beside_the_system_with_what_it_gains_over_each() -> None:
    (comparison,) = (one for one in COMPARISONS if one.system == "hr_mpf")
    other = a_run("baseline_deeplab", system="baselines", dice=0.7, cases=cases([0.5, 0.7]))
    rows = _lines(comparison_table(comparison, JUDGED, {"baseline_deeplab": other}))
    assert rows["hr_mpf"] == ["`sc`", "0.937", "0.810 (0.800 to 0.900)", "-", "-"]
    gained = "0.150 (0.150 to 0.150)"
    assert rows["DeepLabv3+"] == ["`baseline_deeplab`", "0.920", "0.700 (0.800 to 0.900)", "+0.017", gained]
    assert rows["U-Net"] == ["`baseline_unet`", "-", "not run", "-", "-"]


def test_a_system_that_asks_in_eight_turns_is_said_to_where_others_ask_once() -> None:
    turned = dataclasses.replace(JUDGED, about={**JUDGED.about, "recipe": {"name": "sc", "is_turned": True}})
    assert "eight ways" in comparison_table(COMPARISONS[0], turned, {})
    assert "eight ways" not in comparison_table(COMPARISONS[0], JUDGED, {})


def test_every_row_is_of_a_recipe_and_set_against_a_row_of_its_table() -> None:
    known = {name for system in catalogue.SYSTEMS for name in catalogue.recipes(system)}
    for ablation in ABLATIONS:
        names = [row.name for row in ablation.rows]
        assert len(set(names)) == len(names), ablation.place
        assert {row.over for row in ablation.rows} <= {*names, ""}, ablation.place
        assert {row.recipe for row in ablation.rows} <= known, ablation.place
        assert all(0.7 < row.printed < 1 for row in ablation.rows if row.printed is not None)
    assert {recipe for one in COMPARISONS for recipe, _ in one.networks.values()} <= known


def test_every_branch_of_a_row_is_one_of_its_recipe() -> None:
    places = ("clinical.", "branches.")
    rows = [row for ablation in ABLATIONS for row in ablation.rows if row.at.startswith(places)]
    assert len(rows) == 15
    for row in rows:
        recipe: Any = catalogue.recipe(row.recipe)
        assert row.at.split(".")[2] in {branch.name for branch in recipe.branches}
