"""`pulmonode job`: the work that was planned."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pacs_node.archive.queries import jobs
from pacs_node.cli.options import AsJson, ConfigFile, Limit, opened
from pacs_node.cli.study import whole_job
from pacs_node.domain.identifiers import JobId
from pacs_node.domain.job import JobState
from pacs_node.printing import say, show_facts, show_json, show_rows
from pacs_node.steps.retry import retry_job

app = typer.Typer(no_args_is_help=True, help="The work that was planned.")
Number = Annotated[int, typer.Argument(help="Number of the job, as `job list` shows it.")]
COLUMNS = ("id", "study_instance_uid", "rule", "pipeline", "state", "attempt", "created_at", "finished_at")


@app.command(name="list")
def list_jobs(
    config: ConfigFile = None,
    limit: Limit = 20,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """The newest jobs."""
    node = opened(config)
    with node.database.transaction() as tx:
        rows = [asdict(job) for job in jobs.listed(tx, limit, state)]
    shown = rows if as_json else [{key: row[key] for key in COLUMNS} for row in rows]
    show_rows(shown, as_json=as_json, empty="There is no such job.")


@app.command()
def show(number: Number, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """One job: its findings, results, deliveries and history."""
    node = opened(config)
    with node.database.transaction() as tx:
        facts = whole_job(tx, jobs.get(tx, JobId(number)))
    if as_json:
        show_json(facts)
        return
    tables = ("findings", "results", "deliveries", "history")
    show_facts({key: value for key, value in facts.items() if key not in tables}, title=f"Job {number}")
    for name in tables:
        show_rows(facts[name], as_json=False, title=name.capitalize(), empty=f"No {name}.")


@app.command()
def retry(number: Number, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Run an ended job again, with the same models."""
    retry_job(opened(config), JobId(number))
    show_json({"id": number, "state": JobState.QUEUED}) if as_json else say(f"Job {number} is queued again.")
