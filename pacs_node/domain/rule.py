"""Which series is analysed, by which pipeline, for whom - and why.

A rule is data; nothing in it is evaluated as code. Every answer, also "no", is a Decision that carries its reasons.
Called from `steps.plan` and `pulmonode rule explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from pacs_node.domain.identifiers import SeriesUid


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One ground of a decision: a stable code and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """What rules may ask about a series; empty text or None where the series does not say."""

    series_instance_uid: SeriesUid
    modality: str
    body_part: str
    description: str
    kernel: str
    orientation: str
    slice_count: int
    thickness_mm: float | None
    coverage_mm: float | None
    calling_ae_titles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A predicate over series facts and what follows from it.

    Text conditions are lists of patterns with `*` and `?`, upper and lower case alike; one of them has to match.
    An empty list or None means that the rule does not care.

    Parameters
    ----------
    name : shown in decisions
    pipeline : the system whose models outline and rate what the detector finds
    segmentation, malignancy : another system for one of the two; empty for the pipeline's
    destinations : names of the destinations of its results
    is_stat : its jobs go before all others
    keep_days : how long instances and results of its studies are kept; None for the times of `[retention]`
    modality, body_part, description, kernel, orientation, calling_ae_title : patterns, one has to match
    not_description, not_kernel : patterns of which none may match
    thickness_mm : lowest and highest slice thickness
    slices : lowest number of slices
    """

    name: str
    pipeline: str = "jnsc"
    segmentation: str = ""
    malignancy: str = ""
    destinations: tuple[str, ...] = ()
    is_stat: bool = False
    keep_days: float | None = None
    modality: tuple[str, ...] = ("CT",)
    body_part: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    not_description: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()
    not_kernel: tuple[str, ...] = ()
    orientation: tuple[str, ...] = ()
    calling_ae_title: tuple[str, ...] = ()
    thickness_mm: tuple[float, float] | None = None
    slices: int = 1


class Verdict(StrEnum):
    """What became of a series."""

    CHOSEN = "chosen"
    """it is analysed"""
    NOT_BEST = "not-best"
    """it could be analysed, another series of the study is better"""
    INELIGIBLE = "ineligible"
    """a rule matches, but the models may not be used on it"""
    NO_RULE = "no-rule"
    """no rule matches"""
    WITHHELD = "withheld"
    """only a part has come again of what was deleted, so nothing follows from its rule"""
    OWN_RESULT = "own-result"
    """it is a result of this node that came back"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about one series; `rule` is None where no rule matched."""

    series_instance_uid: SeriesUid
    verdict: Verdict
    rule: Rule | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSeries:
    """Facts of a series with what the geometry gate says about it (no grounds = eligible)."""

    facts: SeriesFacts
    ineligible: tuple[Reason, ...]


def match(rule: Rule, facts: SeriesFacts) -> tuple[Reason, ...]:
    """Why the rule does not match the series; empty if it does."""
    return tuple(_mismatches(rule, facts))


def decide(rules: Sequence[Rule], judged: Sequence[JudgedSeries]) -> tuple[Decision, ...]:
    """Decide about every series of a study.

    The first rule that matches a series applies to it. Of the eligible series of one rule the best is chosen: those
    that cover at least 90 % of the longest coverage compete, the thinnest slices win, then the longest coverage, the
    most slices, and the smallest UID, so that the choice does not depend on the order of arrival.
    """
    decisions = [_first_verdict(rules, series) for series in judged]
    facts = {series.facts.series_instance_uid: series.facts for series in judged}
    for rule in rules:
        rivals = [d for d in decisions if d.rule == rule and d.verdict is Verdict.CHOSEN]
        if len(rivals) > 1:
            best = _best([facts[d.series_instance_uid] for d in rivals])
            decisions = [_demoted(d, best) if d in rivals else d for d in decisions]
    return tuple(decisions)


def _first_verdict(rules: Sequence[Rule], series: JudgedSeries) -> Decision:
    uid, refusals = series.facts.series_instance_uid, []
    for rule in rules:
        mismatches = match(rule, series.facts)
        if mismatches:
            refusals += [Reason(code=r.code, text=f"rule {rule.name}: {r.text}") for r in mismatches]
            continue
        if series.ineligible:
            return Decision(series_instance_uid=uid, verdict=Verdict.INELIGIBLE, rule=rule, reasons=series.ineligible)
        matched = Reason(code="rule.matched", text=f"rule {rule.name} matches and the series is eligible")
        return Decision(series_instance_uid=uid, verdict=Verdict.CHOSEN, rule=rule, reasons=(matched,))
    nothing = Reason(code="rule.none", text="there is no rule")
    return Decision(series_instance_uid=uid, verdict=Verdict.NO_RULE, rule=None, reasons=tuple(refusals) or (nothing,))


def _best(rivals: Sequence[SeriesFacts]) -> SeriesFacts:
    longest = max(facts.coverage_mm or 0.0 for facts in rivals)
    covering = [facts for facts in rivals if (facts.coverage_mm or 0.0) >= 0.9 * longest]
    return min(
        covering,
        key=lambda f: (
            round(f.thickness_mm or 99.0, 1),
            -(f.coverage_mm or 0.0),
            -f.slice_count,
            f.series_instance_uid,
        ),
    )


def _demoted(decision: Decision, best: SeriesFacts) -> Decision:
    if decision.series_instance_uid == best.series_instance_uid:
        text = (
            f"the best of several: {best.slice_count} slices of {best.thickness_mm} mm over {best.coverage_mm} mm"
            " (90 % of the longest coverage, then thinnest slices, longest coverage, most slices)"
        )
        reason = Reason(code="series.best", text=text)
        verdict = Verdict.CHOSEN
    else:
        reason = Reason(code="series.not-best", text="another series of the study has thinner slices or covers more")
        verdict = Verdict.NOT_BEST
    return Decision(
        series_instance_uid=decision.series_instance_uid,
        verdict=verdict,
        rule=decision.rule,
        reasons=(*decision.reasons, reason),
    )


def _mismatches(rule: Rule, facts: SeriesFacts) -> Iterator[Reason]:
    wanted = {
        "modality": (rule.modality, (facts.modality,)),
        "body-part": (rule.body_part, (facts.body_part,)),
        "description": (rule.description, (facts.description,)),
        "kernel": (rule.kernel, (facts.kernel,)),
        "orientation": (rule.orientation, (facts.orientation,)),
        "calling-ae-title": (rule.calling_ae_title, facts.calling_ae_titles),
    }
    for name, (patterns, values) in wanted.items():
        if patterns and not any(_like(value, patterns) for value in values):
            yield Reason(code=f"rule.{name}", text=f"the {name.replace('-', ' ')} is none of {', '.join(patterns)}")
    unwanted = {"description": (rule.not_description, facts.description), "kernel": (rule.not_kernel, facts.kernel)}
    for name, (patterns, value) in unwanted.items():
        if _like(value, patterns):
            yield Reason(code=f"rule.not-{name}", text=f"the {name} is one of {', '.join(patterns)}")
    yield from _out_of_range(rule, facts)


def _out_of_range(rule: Rule, facts: SeriesFacts) -> Iterator[Reason]:
    if rule.thickness_mm is not None:
        low, high = rule.thickness_mm
        if facts.thickness_mm is None or not low <= facts.thickness_mm <= high:
            text = f"the slice thickness {facts.thickness_mm} mm is outside {low} to {high} mm"
            yield Reason(code="rule.thickness", text=text)
    if facts.slice_count < rule.slices:
        yield Reason(code="rule.slices", text=f"it has {facts.slice_count} slices, fewer than {rule.slices}")


def _like(value: str, patterns: Sequence[str]) -> bool:
    plain = (pattern.upper().replace("[", "[[]") for pattern in patterns)
    return any(fnmatchcase(value.strip().upper(), pattern) for pattern in plain)
