"""`pulmonode study`: what was received, what was decided about it and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from pacs_node.archive.queries import deliveries, jobs, machine, progress, studies
from pacs_node.archive.records import Job
from pacs_node.cli.options import AsJson, ConfigFile, Limit, opened
from pacs_node.domain.identifiers import StudyUid
from pacs_node.domain.study import StudyState
from pacs_node.node import Node
from pacs_node.printing import say, show_facts, show_json, show_rows
from pacs_node.steps import reindex as reindexing
from pacs_node.steps.retry import retry_study

app = typer.Typer(no_args_is_help=True, help="What was received, what was decided about it, and why.")
COLUMNS = ("study_instance_uid", "state", "instance_count", "calling_ae_title", "last_received_at")
Uid = Annotated[str, typer.Argument(help="Study Instance UID.")]


@app.command(name="list")
def list_studies(config: ConfigFile = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """The studies that received something last."""
    node = opened(config)
    with node.database.transaction() as tx:
        rows = [asdict(study) for study in studies.listed(tx, limit)]
    shown = rows if as_json else [{key: row[key] for key in COLUMNS} for row in rows]
    show_rows(shown, as_json=as_json, empty="No study has arrived yet.")


@app.command()
def show(uid: Uid, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """One study: every series with its decision and reasons, its jobs, findings, results, deliveries and history."""
    facts = _whole(opened(config), StudyUid(uid))
    if as_json:
        show_json(facts)
        return
    show_facts(facts["study"], title="Study")
    show_facts(_in_words(facts["progress"]), title="Progress")
    show_rows(facts["decisions"], as_json=False, title="Decisions", empty="No decision yet.")
    for job in facts["jobs"]:
        show_facts(
            {k: v for k, v in job.items() if not isinstance(v, list) or k == "reasons"}, title=f"Job {job['id']}"
        )
        show_rows(job["findings"], as_json=False, title="Findings", empty="No finding.")
        show_rows(job["deliveries"], as_json=False, title="Deliveries", empty="No delivery.")
        show_rows(job["history"], as_json=False, title="History of the job")
    show_rows(facts["history"], as_json=False, title="History of the study")


@app.command()
def retry(uid: Uid, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Plan a study again with the present rules and models, and run again what gave no findings."""
    retry_study(opened(config), StudyUid(uid))
    if as_json:
        show_json({"study_instance_uid": uid, "state": StudyState.SETTLED})
    else:
        say("It will be planned again as soon as a worker is free; `pulmonode study show` shows what becomes of it.")


@app.command()
def reindex(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Index the instances on disk that the database lacks."""
    added = reindexing.reindex(opened(config))
    show_json({"added": added}) if as_json else say(f"{added} instances were added to the index.")


def _whole(node: Node, uid: StudyUid) -> dict[str, Any]:
    with node.database.transaction() as tx:
        study = studies.find(tx, uid)
        return {
            "study": asdict(study),
            "progress": asdict(progress.of_study(tx, study.id)),
            "instances": [instance.sop_instance_uid for instance in studies.instances(tx, study.id)],
            "decisions": [
                asdict(decided) | {"reasons": [f"{reason.text} [{reason.code}]" for reason in decided.reasons]}
                for decided in studies.decisions(tx, study.id)
            ],
            "jobs": [whole_job(tx, job) for job in jobs.of_study(tx, study.id)],
            "history": [_event(event) for event in machine.history(tx, machine.STUDIES, study.id)],
        }


def _in_words(numbers: dict[str, Any]) -> dict[str, str]:
    """Received, expected, analysed, delivered, committed, as a person reads them."""
    expected = f"{numbers['expected']} instances; {numbers['missing'] or 'none'} of them missing"
    return {
        "received": f"{numbers['received']} instances; {numbers['promised']} of them committed to their sender",
        "expected": "not known: no PACS was asked, or none answered" if numbers["expected"] is None else expected,
        "analysed": f"{numbers['analysed']} of {numbers['jobs']} jobs",
        "delivered": f"{numbers['delivered']} of {numbers['deliveries']} deliveries",
        "committed": f"{numbers['committed']} of {numbers['deliveries']} deliveries",
    }


def whole_job(tx: Any, job: Job) -> dict[str, Any]:
    """A job with its findings, results, deliveries and history, for printing; each delivery with its own history."""
    return asdict(job) | {
        "models": ", ".join(f"{use.name} version {use.version} ({use.role})" for use in job.models),
        "destinations": ", ".join(job.destinations),
        "reasons": [f"{reason.text} [{reason.code}]" for reason in job.reasons],
        "findings": [asdict(finding) for finding in jobs.findings(tx, job.id)],
        "results": [asdict(item) for item in jobs.results(tx, job.id)],
        "deliveries": [
            asdict(item) | {"history": [_event(event) for event in machine.history(tx, machine.DELIVERIES, item.id)]}
            for item in deliveries.of_job(tx, job.id)
        ],
        "history": [_event(event) for event in machine.history(tx, machine.JOBS, job.id)],
    }


def _event(event: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(event).items() if value is not None or key in ("code", "text")}
