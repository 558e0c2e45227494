from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_node.domain.identifiers import SeriesUid
from pacs_node.domain.rule import Decision, JudgedSeries, Reason, Rule, SeriesFacts, Verdict, decide, match

CHEST = Rule(name="chest")
GAP = Reason(code="series.gap", text="a slice is missing")


def _facts(uid: str = "1.2", **changes: Any) -> SeriesFacts:
    facts = SeriesFacts(
        series_instance_uid=SeriesUid(uid),
        modality="CT",
        body_part="CHEST",
        description="Thorax 1.0 B30f",
        kernel="B30f",
        orientation="axial",
        slice_count=300,
        thickness_mm=1.0,
        coverage_mm=300.0,
        calling_ae_titles=("CT1", "PACS"),
    )
    return dataclasses.replace(facts, **changes)


def _judged(uid: str = "1.2", *ineligible: Reason, **changes: Any) -> JudgedSeries:
    return JudgedSeries(facts=_facts(uid, **changes), ineligible=ineligible)


def _codes(rule: Rule, facts: SeriesFacts) -> list[str]:
    return [reason.code for reason in match(rule, facts)]


def _verdicts(decisions: tuple[Decision, ...]) -> dict[str, str]:
    return {decision.series_instance_uid: decision.verdict.value for decision in decisions}


def _chosen(*series: JudgedSeries) -> str:
    (uid,) = [uid for uid, verdict in _verdicts(decide([CHEST], series)).items() if verdict == "chosen"]
    return uid


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        ({"modality": ("MR",)}, "rule.modality"),
        ({"body_part": ("HEAD", "NECK")}, "rule.body-part"),
        ({"description": ("*B70?",)}, "rule.description"),
        ({"description": ("THORAX",)}, "rule.description"),
        ({"kernel": ("B7*",)}, "rule.kernel"),
        ({"orientation": ("coronal",)}, "rule.orientation"),
        ({"calling_ae_title": ("CT2",)}, "rule.calling-ae-title"),
        ({"not_description": ("*b30*",)}, "rule.not-description"),
        ({"not_kernel": ("b30f",)}, "rule.not-kernel"),
        ({"thickness_mm": (1.1, 3.0)}, "rule.thickness"),
        ({"thickness_mm": (0.1, 0.9)}, "rule.thickness"),
        ({"slices": 301}, "rule.slices"),
    ],
)
def test_each_condition_alone_can_refuse_and_names_itself(conditions: dict[str, Any], code: str) -> None:
    assert _codes(Rule(name="r", **conditions), _facts()) == [code]


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"body_part": ("HEAD", "chest")},
        {"description": ("thorax*",)},
        {"description": ("Thorax 1.? B30?",)},
        {"kernel": ("B7*", "B3*")},
        {"orientation": ("AXIAL",)},
        {"calling_ae_title": ("PACS",)},
        {"not_description": ("*MIP*",), "not_kernel": ("B7*",)},
        {"thickness_mm": (1.0, 1.0)},
        {"slices": 300},
    ],
)
def test_each_condition_alone_can_be_met(conditions: dict[str, Any]) -> None:
    assert _codes(Rule(name="r", **conditions), _facts()) == []


def test_spaces_that_a_scanner_pads_with_do_not_matter() -> None:
    assert _codes(Rule(name="r", kernel=("B30f",)), _facts(kernel=" B30f ")) == []


def test_brackets_in_a_pattern_mean_themselves() -> None:
    rule = Rule(name="r", description=("lung [0-9]*",))
    assert _codes(rule, _facts(description="Lung [0-9] 1 mm")) == []
    assert _codes(rule, _facts(description="Lung 5 1 mm")) == ["rule.description"]


def test_a_missing_value_meets_no_condition_but_breaks_no_exclusion() -> None:
    rule = Rule(name="r", body_part=("*CHEST*",), not_kernel=("B7*",), thickness_mm=(0.5, 3.0))
    assert _codes(rule, _facts(body_part="", kernel="", thickness_mm=None)) == ["rule.body-part", "rule.thickness"]


def test_every_refusal_is_named_not_only_the_first() -> None:
    rule = Rule(name="r", modality=("MR",), slices=1000)
    assert _codes(rule, _facts()) == ["rule.modality", "rule.slices"]


def test_a_series_that_no_rule_matches_hears_why_from_every_rule() -> None:
    rules = [Rule(name="head", body_part=("HEAD",)), Rule(name="thin", slices=500)]
    (decision,) = decide(rules, [_judged()])
    assert (decision.verdict, decision.rule) == (Verdict.NO_RULE, None)
    assert [(r.code, r.text.split(":")[0]) for r in decision.reasons] == [
        ("rule.body-part", "rule head"),
        ("rule.slices", "rule thin"),
    ]


def test_without_any_rule_there_is_a_reason_too() -> None:
    (decision,) = decide([], [_judged()])
    assert (decision.verdict, [r.code for r in decision.reasons]) == (Verdict.NO_RULE, ["rule.none"])


def test_the_first_rule_that_matches_applies_even_if_the_series_is_ineligible() -> None:
    rules = [Rule(name="none", modality=("MR",)), Rule(name="first"), Rule(name="second")]
    (chosen,) = decide(rules, [_judged()])
    (refused,) = decide(rules, [_judged("1.2", GAP)])
    assert (chosen.verdict, chosen.rule) == (Verdict.CHOSEN, rules[1])
    assert (refused.verdict, refused.rule, refused.reasons) == (Verdict.INELIGIBLE, rules[1], (GAP,))


def test_of_two_thicknesses_the_thinner_is_chosen_whatever_else_is_larger() -> None:
    thick = _judged("1.1", thickness_mm=3.0, coverage_mm=320.0, slice_count=900)
    assert _chosen(thick, _judged("1.2", thickness_mm=1.0)) == "1.2"


def test_a_thin_series_of_a_part_of_the_lungs_does_not_compete() -> None:
    whole = _judged("1.1", thickness_mm=3.0, coverage_mm=300.0)
    assert _chosen(whole, _judged("1.2", thickness_mm=0.6, coverage_mm=269.0)) == "1.1"
    assert _chosen(whole, _judged("1.2", thickness_mm=0.6, coverage_mm=270.0)) == "1.2"


def test_thickness_is_compared_to_a_tenth_of_a_millimetre() -> None:
    shorter = _judged("1.1", thickness_mm=0.98, coverage_mm=290.0)
    assert _chosen(shorter, _judged("1.2", thickness_mm=1.02, coverage_mm=300.0)) == "1.2"


def test_at_equal_thickness_the_longest_then_the_most_slices_then_the_smallest_uid_is_chosen() -> None:
    assert _chosen(_judged("1.1"), _judged("1.2", coverage_mm=310.0)) == "1.2"
    assert _chosen(_judged("1.1"), _judged("1.2", slice_count=301)) == "1.2"
    assert _chosen(_judged("1.2"), _judged("1.1")) == "1.1"


def test_an_unknown_thickness_or_coverage_is_the_worst() -> None:
    assert _chosen(_judged("1.1", thickness_mm=None), _judged("1.2", thickness_mm=5.0)) == "1.2"
    assert _chosen(_judged("1.1", coverage_mm=None), _judged("1.2", coverage_mm=10.0)) == "1.2"
    assert _chosen(_judged("1.2", coverage_mm=None), _judged("1.1", coverage_mm=None)) == "1.1"


def test_an_ineligible_series_never_competes() -> None:
    decisions = decide([CHEST], [_judged("1.1", GAP, thickness_mm=0.6), _judged("1.2")])
    assert _verdicts(decisions) == {"1.1": "ineligible", "1.2": "chosen"}


def test_the_best_says_what_made_it_the_best_and_the_others_that_they_are_not() -> None:
    best, other = decide([CHEST], [_judged("1.1", thickness_mm=0.6), _judged("1.2")])
    assert [reason.code for reason in best.reasons] == ["rule.matched", "series.best"]
    assert "300 slices of 0.6 mm over 300.0 mm" in best.reasons[1].text
    assert (other.verdict, other.reasons[-1].code) == (Verdict.NOT_BEST, "series.not-best")


def test_every_rule_chooses_a_series_of_its_own() -> None:
    rules = [Rule(name="soft", kernel=("B30*",)), Rule(name="lung", kernel=("B70*",))]
    series = [_judged("1.1"), _judged("1.2", thickness_mm=2.0), _judged("1.3", kernel="B70f", thickness_mm=5.0)]
    assert _verdicts(decide(rules, series)) == {"1.1": "chosen", "1.2": "not-best", "1.3": "chosen"}


@given(st.permutations(range(6)))
def test_the_order_of_arrival_is_irrelevant(order: list[int]) -> None:
    rules = [Rule(name="soft", kernel=("B3*",)), Rule(name="any", modality=("CT",))]
    kinds = itertools.product(("B30f", "B70f"), (1.0, 1.0, 2.0))
    series = [_judged(f"1.{n}", kernel=kernel, thickness_mm=mm) for n, (kernel, mm) in enumerate(kinds, start=1)]
    shuffled = decide(rules, [series[index] for index in order])
    assert {d.series_instance_uid: d for d in shuffled} == {d.series_instance_uid: d for d in decide(rules, series)}
    assert [d.series_instance_uid for d in shuffled] == [series[i].facts.series_instance_uid for i in order]
