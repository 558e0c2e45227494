"""Milliseconds from queueing a step to its start, on the embedded broker and on those of this machine that answer."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from pacs_node.config import Config, Queue
from pacs_node.domain.step import Step
from pacs_node.errors import BrokerUnavailable
from pacs_node.work.app import celery_app, connect

BROKERS = {"embedded": "", "RabbitMQ": "amqp://guest:guest@127.0.0.1//", "Redis": "redis://127.0.0.1:6379/14"}
MESSAGES = 40

_WORKER = """
import sys, time
from pathlib import Path
from tests.benchmarks.queue import application
folder = Path(sys.argv[1])
app = application(folder, sys.argv[2])
def started(sent):
    with (folder / "starts").open("a") as file:
        file.write(f"{time.time() - sent}\\n")
app.task(started, name="pulmonode.plan")
app.Worker(pool="solo", queues=["io"], without_gossip=True, without_mingle=True, quiet=True).start()
"""


def application(folder: Path, broker_url: str):  # type: ignore[no-untyped-def]
    """The node's own Celery application on a broker."""
    return celery_app(Config(data=folder, queue=Queue(broker_url=broker_url)))


def measure(folder: Path) -> dict[str, tuple[float, float]]:
    """Median and longest delay in ms by broker."""
    return {name: delays for name, url in BROKERS.items() if (delays := _delays(folder / name, url)) is not None}


def _delays(folder: Path, broker_url: str) -> tuple[float, float] | None:
    folder.mkdir(parents=True)
    app = application(folder, broker_url)
    try:
        connect(app, timeout_s=2)
    except BrokerUnavailable:
        return None
    starts = folder / "starts"
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WORKER, str(folder), broker_url], stderr=subprocess.DEVNULL
    )
    try:
        for number in range(MESSAGES + 1):
            app.send_task(f"pulmonode.{Step.PLAN}", args=[time.time()])
            while not starts.exists() or len(starts.read_text().splitlines()) <= number:
                time.sleep(0.01)
    finally:
        worker.terminate()
        worker.wait()
    delays = [1000 * float(line) for line in starts.read_text().splitlines()[1:]]  # the first one waits for the worker
    return statistics.median(delays), max(delays)
