"""Every ground for which a study is not analysed makes a valid report that says so; no code can be forgotten here."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pydicom.dataset import Dataset

from inference.eligibility import CODES, judge
from inference.errors import InferenceError, SeriesIneligible
from pacs_node.domain.identifiers import SeriesUid
from pacs_node.domain.rule import Reason, Rule, SeriesFacts, match
from pacs_node.errors import NodeError
from pacs_node.report import compose
from pacs_node.report.check import check
from pacs_node.steps.failure import failure_of
from tests.support.grounds import GROUNDS
from tests.support.headers import LIMITS, a_header, a_slice
from tests.support.results import a_refusal, read_back

ROOT = Path(__file__).parents[4]
GATE = sorted(path for path in (ROOT / "inference/eligibility").glob("*.py") if path.stem != "verdict")
RULES = [ROOT / "pacs_node" / name for name in ("domain/rule.py", "domain/withholding.py", "steps/plan.py")]
TIES = ROOT / "pacs_node/domain/retention.py"
"""Says why something is not deleted, to administrators; never in a report."""
CODE = re.compile(r"[a-z]+\.[a-z-]+")
Kind = TypeVar("Kind", InferenceError, NodeError)
CONSEQUENCES = {"name", "pipeline", "segmentation", "malignancy", "destinations", "is_stat", "keep_days"}
"""What is no condition of a rule."""
SOURCE_OF_A_NAME = {"code"}
"""A code that is not spelled where a reason is made has this name, and stands in a table of the same file."""


def _of_the_gate() -> Iterator[Reason]:
    twice = a_header(change={30: {"position_lps": a_slice(29).position_lps}})
    huge = a_header(rows=65535, columns=65535, transfer_syntax_uid="1.2.840.10008.1.2.4.80")
    for header in (*(header for _, header, _ in GROUNDS.values()), twice, huge):
        yield from (Reason(code=ground.code, text=ground.text) for ground in judge(header, LIMITS).reasons)


def _of_rules() -> Iterator[Reason]:
    """A rule with every condition that there is, on a series that meets none."""
    series = SeriesFacts(
        series_instance_uid=SeriesUid("1.2"),
        modality="MR",
        body_part="HEAD",
        description="scout",
        kernel="B70f",
        orientation="coronal",
        slice_count=3,
        thickness_mm=9.0,
        coverage_mm=27.0,
        calling_ae_titles=("OTHER",),
    )
    chest, anything = ("CHEST",), ("*",)
    rule = Rule(name="chest", body_part=chest, description=chest, not_description=anything, kernel=chest,
                not_kernel=anything, orientation=("axial",), calling_ae_title=("CT*",), thickness_mm=(0.5, 5.0),
                slices=20)  # fmt: skip
    yield from match(rule, series)
    yield Reason(code="series.own-result", text="results of this node that came back are not analysed")


def _kinds(kind: type[Kind]) -> Iterator[type[Kind]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def _of_errors() -> Iterator[Reason]:
    for kind in (*_kinds(InferenceError), *_kinds(NodeError)):
        error = SeriesIneligible(("series.gap",)) if kind is SeriesIneligible else kind()
        yield Reason(code=error.code, text=str(error))
    surprise = failure_of(ValueError("CANARY"))
    yield Reason(code=surprise.code, text=str(surprise))


REASONS = {reason.code: reason for reason in (*_of_the_gate(), *_of_rules(), *_of_errors())}


def test_the_reasons_of_the_gate_are_all_here() -> None:
    named = set(_codes(GATE))
    assert len(named) > 25
    assert named == {reason.code for reason in _of_the_gate()} == set(CODES)


def test_the_reasons_of_rules_are_all_here() -> None:
    conditions = {field.name for field in dataclasses.fields(Rule)} - CONSEQUENCES
    refusals = {reason.code for reason in _of_rules()}
    assert {f"rule.{name.replace('_', '-').removesuffix('-mm')}" for name in conditions} <= refusals
    chosen = {"series.best", "rule.matched"}
    no_job = {"series.not-best", "series.deleted", "rule.none"}
    assert set(_codes(RULES)) - refusals == chosen | no_job


def test_no_other_place_makes_reasons_of_its_own() -> None:
    """A reason that is made elsewhere passes a code on."""
    known = {*GATE, *RULES, TIES}
    shipped = [path for package in ("inference", "pacs_node") for path in (ROOT / package).rglob("*.py")]
    spelled = {path for path in shipped if path not in known and any(isinstance(c, ast.Constant) for c in _asked(path))}
    assert spelled == set()


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_is_reported_in_a_code_and_in_words(code: str) -> None:
    reason, request = REASONS[code], a_refusal(REASONS[code])
    (report,) = read_back(compose(request))
    assert check(request.source, [report]) == ()
    coded = {_value(item) for item in _statements(report) if item.ValueType == "CODE"}
    assert (code, "99PULMONODE") in coded
    assert ("373068000", "SCT") in coded  # Undetermined
    words = [item.TextValue for item in _statements(report) if item.ValueType == "TEXT"]
    assert words[0] == "Not analysed."
    assert f"Not analysed: {reason.text}" in words
    assert len(reason.text.split()) >= 3
    assert "CANARY" not in " ".join(words)


def test_all_reasons_at_once_still_make_a_valid_report() -> None:
    request = a_refusal(*REASONS.values())
    (report,) = read_back(compose(request))
    assert check(request.source, [report]) == ()
    assert {_value(item)[0] for item in _statements(report) if item.ValueType == "CODE"} >= REASONS.keys()


def test_the_same_words_for_several_codes_are_said_once() -> None:
    twice = [Reason(code=code, text="the slices are no CT") for code in ("series.not-ct", "series.not-hu")]
    (report,) = read_back(compose(a_refusal(*twice)))
    words = [item.TextValue for item in _statements(report) if item.ValueType == "TEXT"]
    assert words.count("Not analysed: the slices are no CT") == 1


def _codes(paths: Iterable[Path]) -> Iterator[str]:
    """Every code that reasons are made with, spelled in place or in a table."""
    for path in paths:
        for code in _asked(path):
            if isinstance(code, ast.Constant):
                yield str(code.value)
            elif isinstance(code, ast.Name) and code.id in SOURCE_OF_A_NAME:
                yield from _spelled(path)
            elif not isinstance(code, ast.Attribute):  # which passes a code on
                assert ast.unparse(code).startswith("f'rule."), f"{path}: {ast.unparse(code)}"


def _asked(path: Path) -> Iterator[ast.expr]:
    """What is given as code wherever a reason is made."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Reason":
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")


def _spelled(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


def _statements(report: Dataset) -> list[Dataset]:
    (container,) = (i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "C0034375")
    return list(container.ContentSequence)


def _value(item: Dataset) -> tuple[str, str]:
    code = item.ConceptCodeSequence[0]
    return code.get("CodeValue") or code.LongCodeValue, code.CodingSchemeDesignator
