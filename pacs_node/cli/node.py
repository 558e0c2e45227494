"""`pulmonode node`: run the node and look after it. `status` is asked often, so it imports nothing of the others."""

from __future__ import annotations

import os
import queue
import signal
import threading
from dataclasses import asdict
from typing import Annotated

import typer

from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.cli.options import AsJson, ConfigFile, configured, opened
from pacs_node.printing import show_facts, show_json, show_rows

app = typer.Typer(no_args_is_help=True, help="Run the node and look after it.")


@app.command()
def up(config: ConfigFile = None) -> None:
    """Run the whole node in the foreground: SCP, workers and, where it is embedded, Triton. Ctrl-C stops it."""
    from pacs_node.processes import up as everything

    _keep_private()
    everything.up(configured(config), config, _stop_event())


@app.command()
def serve(config: ConfigFile = None) -> None:
    """Only receive: the SCP, the index and the sweep. Several may run beside `node work` on other machines."""
    from pacs_node.processes import serve as receiving

    _keep_private()
    receiving.serve(configured(config), _stop_event())


@app.command()
def work(
    config: ConfigFile = None,
    queue: Annotated[list[str] | None, typer.Option(help="Only this kind of work: io, gpu or deliver.")] = None,
) -> None:
    """Only work: plan, analyse, compose and deliver what was received."""
    from pacs_node.processes import work as working

    _keep_private()
    working.work(configured(config), queue or working.ALL_QUEUES, _stop_event())


@app.command()
def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Examine database, disk, broker, models, inference and destinations, and say what to do about each fault."""
    from pacs_node.processes import check as doctor

    found = list(doctor.check_node(configured(config)))
    rows = [
        asdict(item) | {"is_well": item.is_well if as_json else "ok" if item.is_well else "FAULT"} for item in found
    ]
    show_rows(rows, as_json=as_json)
    if not all(item.is_well for item in found):
        raise typer.Exit(1)


@app.command()
def status(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Count what was received and what became of it."""
    node = opened(config)
    with node.database.transaction() as tx:
        facts = {
            "instances": studies.count_instances(tx),
            "studies": sum(machine.count_states(tx, machine.STUDIES).values()),
            "results": jobs.count_results(tx),
            "study_states": machine.count_states(tx, machine.STUDIES),
            "job_states": machine.count_states(tx, machine.JOBS),
            "delivery_states": machine.count_states(tx, machine.DELIVERIES),
        }
    show_json(facts) if as_json else show_facts(facts)


@app.command()
def conformance(config: ConfigFile = None) -> None:
    """Print the DICOM conformance statement of this configuration as Markdown."""
    from pacs_node.conformance import statement

    typer.echo(statement(configured(config)), nl=False)


def _keep_private() -> None:
    """Write for the user of the node, and its group to read, here and in all children: instances name patients."""
    os.umask(0o027)


def _stop_event() -> threading.Event:
    """Set by SIGTERM and SIGINT, in a thread: `Event.set` takes a lock, which whoever is interrupted may hold."""
    stop = threading.Event()
    told: queue.SimpleQueue[None] = queue.SimpleQueue()  # its `put` may interrupt itself
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.put(None))

    def wait() -> None:
        told.get()
        stop.set()

    threading.Thread(target=wait, name="stopping", daemon=True).start()
    return stop
