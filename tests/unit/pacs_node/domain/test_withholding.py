"""What a plan withholds when a part of a deleted study comes again."""

from __future__ import annotations

import pytest

from pacs_node.domain.identifiers import SeriesUid
from pacs_node.domain.rule import Decision, Reason, Rule, Verdict
from pacs_node.domain.withholding import withheld

A, B, C = SeriesUid("1.2.1"), SeriesUid("1.2.2"), SeriesUid("1.2.3")
CHEST, LUNGS = Rule(name="chest-ct"), Rule(name="lungs")
MATCHED = (Reason(code="rule.matched", text="it matches"),)


def decided(uid: SeriesUid, rule: Rule | None, verdict: Verdict = Verdict.CHOSEN) -> Decision:
    return Decision(series_instance_uid=uid, verdict=verdict, rule=rule, reasons=MATCHED)


@pytest.mark.parametrize(
    ("held", "deleted", "analysed", "wanted"),
    [
        pytest.param({A: 40}, {}, {}, [], id="nothing was deleted"),
        pytest.param({A: 1}, {A: 40}, {"chest-ct": [A]}, [A], id="one late slice"),
        pytest.param({A: 39}, {A: 40}, {"chest-ct": [A]}, [A], id="all but one"),
        pytest.param({A: 40}, {A: 40}, {"chest-ct": [A]}, [], id="all again"),
        pytest.param({A: 41}, {A: 40}, {"chest-ct": [A]}, [], id="one more"),
        pytest.param({A: 40}, {B: 9}, {"chest-ct": [B]}, [A], id="another series of the rule"),
        pytest.param({A: 40, B: 9}, {B: 9}, {"chest-ct": [B]}, [], id="both series"),
        pytest.param({A: 40}, {B: 9}, {"lungs": [B]}, [], id="a series of another rule"),
        pytest.param({A: 40}, {B: 9}, {}, [], id="a series of no rule"),
        pytest.param({A: 1}, {A: 40}, {}, [A], id="the rule is new"),
    ],
)
def test_a_rule_waits_for_all_that_was_deleted_of_its_series(
    held: dict[SeriesUid, int],
    deleted: dict[SeriesUid, int],
    analysed: dict[str, list[SeriesUid]],
    wanted: list[SeriesUid],
) -> None:
    found = withheld([decided(A, CHEST)], held, deleted, analysed)
    assert [d.series_instance_uid for d in found if d.verdict is Verdict.WITHHELD] == wanted


def test_all_decisions_of_a_rule_are_withheld_and_no_others() -> None:
    decisions = [decided(A, CHEST), decided(B, CHEST, Verdict.NOT_BEST), decided(C, LUNGS), decided(C, None)]
    found = withheld(decisions, {A: 1, B: 9, C: 9}, {A: 2}, {})
    assert [d.verdict for d in found] == [Verdict.WITHHELD, Verdict.WITHHELD, Verdict.CHOSEN, Verdict.CHOSEN]
    assert [d.reasons[0].code for d in found] == ["series.deleted", "series.deleted", "rule.matched", "rule.matched"]
