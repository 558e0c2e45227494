"""`make bench`: receiving, the queue, the stages of one study, and results. `ARGS=queue` measures only that."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import queue, receive, results, study


def main() -> int:
    """Measure and print; 2 for a benchmark that does not exist."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = set(wanted) - BENCHMARKS.keys()
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
        return 2
    for name in wanted:
        print(f"\n{BENCHMARKS[name]()}")
    return 0


def _receive() -> str:
    return "Received, 512 x 512 CT instances per second\n" + receive.table(receive.measure())


def _queue() -> str:
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            f"  {name:10} {middle:6.0f} {longest:6.0f}"
            for name, (middle, longest) in queue.measure(Path(folder)).items()
        ]
    return "\n".join(["From queueing a step to its start, ms: median, longest", *rows])


def _study() -> str:
    with tempfile.TemporaryDirectory() as folder:
        title, seconds = study.measure(Path(folder))
    rows = [f"  {stage:62} {value:7.2f}" for stage, value in seconds.items()]
    return "\n".join([f"One study, seconds: {title}", *rows])


def _results() -> str:
    rows = [
        f"  {name:62} {seconds:7.2f}" + ("  TOO SLOW" if seconds >= results.FLOOR_S and name in results.OURS else "")
        for name, seconds in results.measure().items()
    ]
    title = f"SEG and SR of {results.NODULES} nodules on {results.SLICES} slices, CPU seconds"
    return "\n".join([f"{title}; the node's have to stay below {results.FLOOR_S}", *rows])


BENCHMARKS: dict[str, Callable[[], str]] = {"receive": _receive, "queue": _queue, "study": _study, "results": _results}

if __name__ == "__main__":
    sys.exit(main())
