"""Plan: decide about every series of a settled study, and make the jobs that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from inference import eligibility
from inference.contract import SeriesLimits
from inference.errors import InferenceError, SeriesUnreadable
from inference.registry import ModelRepository
from inference.series import SeriesHeader, read_headers
from inference.systems import detector_among
from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import FRESH, STUDIES, Move
from pacs_node.domain.identifiers import SeriesUid, StudyId
from pacs_node.domain.retry import PLAN, check_worth, delay_s
from pacs_node.domain.rule import Decision, JudgedSeries, Reason, Rule, SeriesFacts, Verdict, decide
from pacs_node.domain.step import Step
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.domain.withholding import withheld
from pacs_node.errors import NodeError, StepTimeout
from pacs_node.node import Node
from pacs_node.steps.failure import failure_of
from pacs_node.steps.identity import digest, input_digest
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.pipelines import pipeline_chosen

OWN = Reason(code="series.own-result", text="results of this node that came back are not analysed")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be done about a study."""

    decisions: tuple[Decision, ...]
    jobs: tuple[records.NewJob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What was done about a study before: the series of its jobs by rule, and the instances that were deleted."""

    analysed: Mapping[str, tuple[SeriesUid, ...]]
    deleted: Mapping[SeriesUid, int]


def plan_study(node: Node, study_id: StudyId) -> bool:
    """Plan a settled study; False if it is not settled (any more).

    New instances end the lease, so a plan of what the study was before them is never recorded.
    """
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not studies.claim(tx, study_id, now, holder, until):
            return False
        study, instances, past = _known(tx, study_id)
    try:
        check_worth(PLAN, study.attempt, study.strikes)
        with kept(
            node, Step.PLAN, STUDIES, study_id, holder, lambda error: _record_failure(node, study, holder, error)
        ):
            plan = _planned(node, study, instances, past)
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, study, holder, failure_of(error))
        return True
    _record_plan(node, study, holder, plan)
    return True


def foreseen(node: Node, study_id: StudyId) -> tuple[tuple[records.NewJob, tuple[records.Instance, ...]], ...]:
    """The jobs that a plan of the study as it is now would make, each with the instances of its series.

    Raises
    ------
    InferenceError, NodeError
    """
    with node.database.transaction() as tx:
        study, instances, past = _known(tx, study_id)
    new = _planned(node, study, instances, past).jobs
    return tuple((job, tuple(i for i in instances if i.series_instance_uid == job.series_instance_uid)) for job in new)


def explain(
    rules: Sequence[Rule], models: ModelRepository, paths: Sequence[Path], calling_ae_title: str
) -> tuple[tuple[JudgedSeries, Decision], ...]:
    """What would be decided about the series in these files, for `pulmonode rule explain`."""
    limits = _limits(models)
    judged = [_judge(series, (calling_ae_title,), limits) for series in read_headers(paths)]
    return tuple(zip(judged, decide(rules, judged), strict=True))


def _known(tx: Any, study_id: StudyId) -> tuple[records.Study, tuple[records.Instance, ...], _Past]:
    """What the index says about a study."""
    past = _Past(analysed=jobs.series_by_rule(tx, study_id), deleted=studies.deleted_counts(tx, study_id))
    return studies.get(tx, study_id), studies.instances(tx, study_id), past


def _planned(node: Node, study: records.Study, instances: Sequence[records.Instance], past: _Past) -> _Plan:
    """A decision for every series, and the jobs that follow."""
    own, foreign = _parted(instances)
    judged, unreadable = _judged(node, foreign)
    decisions = decide(node.config.rule, judged) + unreadable + tuple(_own_decision(uid) for uid in own)
    held = Counter(instance.series_instance_uid for instance in instances)
    decisions = withheld(decisions, held, past.deleted, past.analysed)
    return _Plan(decisions=decisions, jobs=_jobs(node, study, decisions, judged, foreign))


def _record_plan(node: Node, study: records.Study, holder: str, plan: _Plan) -> None:
    now = node.now()
    step = Move(row_id=study.id, state=StudyState.PLANNING, event=StudyEvent.PLAN, at=now, holder=holder)
    with node.database.transaction() as tx:
        if not machine.move(tx, STUDIES, step, **FRESH, checks=0, check_until=None):
            return
        studies.replace_decisions(tx, study.id, plan.decisions, now)
        created = [jobs.create(tx, job, now) for job in plan.jobs]
    log.event("study_planned", study_id=study.id, count=sum(job_id is not None for job_id in created))


def _record_failure(node: Node, study: records.Study, holder: str, error: InferenceError | NodeError) -> None:
    """Try again later, also where the models cannot be used, which passes; else set the study aside."""
    strikes = study.strikes + isinstance(error, StepTimeout)
    may_pass = error.retryable or isinstance(error, InferenceError)
    wait_s = delay_s(PLAN, study.attempt, node.chance(), strikes) if may_pass else None
    now = node.now()
    step = Move(
        row_id=study.id,
        state=StudyState.PLANNING,
        event=StudyEvent.SET_ASIDE if wait_s is None else StudyEvent.DELAY,
        at=now,
        holder=holder,
        code=error.code,
        text=str(error),
    )
    with node.database.transaction() as tx:
        until = None if wait_s is None else now + timedelta(seconds=wait_s)
        machine.move(tx, STUDIES, step, next_at=until, strikes=strikes)
    log.event("study_not_planned", study_id=study.id, code=error.code, attempt=study.attempt, next_s=wait_s)


def _parted(
    instances: Sequence[records.Instance],
) -> tuple[frozenset[SeriesUid], dict[SeriesUid, list[records.Instance]]]:
    foreign: dict[SeriesUid, list[records.Instance]] = {}
    for instance in instances:
        if not instance.is_own_result:
            foreign.setdefault(instance.series_instance_uid, []).append(instance)
    return frozenset(i.series_instance_uid for i in instances) - foreign.keys(), foreign


def _own_decision(uid: SeriesUid) -> Decision:
    return Decision(series_instance_uid=uid, verdict=Verdict.OWN_RESULT, rule=None, reasons=(OWN,))


def _judged(
    node: Node, foreign: dict[SeriesUid, list[records.Instance]]
) -> tuple[list[JudgedSeries], tuple[Decision, ...]]:
    """Every series that can be read, and a decision for each that cannot: it must not keep the others waiting."""
    limits = _limits(node.models)
    judged, unreadable = [], []
    for uid, group in foreign.items():
        callers = tuple(sorted({instance.calling_ae_title for instance in group}))
        try:
            headers = read_headers([node.files.path(instance.file_key) for instance in group])
            (header,) = [header for header in headers if header.series_instance_uid == uid]
            judged.append(_judge(header, callers, limits))
        except (SeriesUnreadable, ValueError):
            reason = Reason(code=SeriesUnreadable.code, text=str(SeriesUnreadable()))
            unreadable.append(Decision(series_instance_uid=uid, verdict=Verdict.NO_RULE, rule=None, reasons=(reason,)))
    return judged, tuple(unreadable)


def _judge(header: SeriesHeader, callers: tuple[str, ...], limits: SeriesLimits) -> JudgedSeries:
    verdict = eligibility.judge(header, limits)
    facts = SeriesFacts(
        series_instance_uid=SeriesUid(header.series_instance_uid),
        modality=header.modality,
        body_part=header.body_part_examined,
        description=header.series_description,
        kernel=header.convolution_kernel,
        orientation=header.orientation,
        slice_count=header.slice_count,
        thickness_mm=header.thickness_mm,
        coverage_mm=header.coverage_mm,
        calling_ae_titles=callers,
    )
    return JudgedSeries(facts=facts, ineligible=tuple(Reason(code=r.code, text=r.text) for r in verdict.reasons))


def _limits(models: ModelRepository) -> SeriesLimits:
    """Of the detector, which is the same in every pipeline."""
    limits = detector_among(models.active()).limits
    if limits is None:
        raise InferenceError("the detector's contract states no limits for series; publish it again")
    return limits


def _jobs(
    node: Node,
    study: records.Study,
    decisions: Sequence[Decision],
    judged: Sequence[JudgedSeries],
    foreign: dict[SeriesUid, list[records.Instance]],
) -> tuple[records.NewJob, ...]:
    """One job per rule that matched: on its chosen series, else a report on why its best series is ineligible."""
    slices = {series.facts.series_instance_uid: series.facts.slice_count for series in judged}
    new = []
    for rule in node.config.rule:
        mine = [d for d in decisions if d.rule == rule and d.verdict is not Verdict.WITHHELD]
        chosen = [decision for decision in mine if decision.verdict is Verdict.CHOSEN]
        refused = sorted(mine, key=lambda d: (-slices[d.series_instance_uid], d.series_instance_uid))
        for decision in (chosen or refused)[:1]:
            new.append(_job(node, study, decision, foreign[decision.series_instance_uid]))
    return tuple(new)


def _job(node: Node, study: records.Study, decision: Decision, instances: Sequence[records.Instance]) -> records.NewJob:
    assert decision.rule is not None
    reasons = decision.reasons if decision.verdict is Verdict.INELIGIBLE else ()
    pipeline = None if reasons else pipeline_chosen(node.models, decision.rule)
    models = () if pipeline is None else pipeline.uses
    return records.NewJob(
        study_id=study.id,
        series_instance_uid=decision.series_instance_uid,
        rule=decision.rule.name,
        pipeline=decision.rule.pipeline if pipeline is None else pipeline.name,
        input_digest=input_digest(instances, reasons),
        models=models,
        model_digest=digest([asdict(model) for model in models]),
        destinations=decision.rule.destinations,
        reasons=reasons,
        is_stat=decision.rule.is_stat,
    )
