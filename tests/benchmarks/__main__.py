"""`make bench`: every figure beside its goal, PASS or SHORT. `ARGS="receive send"` measures only those.

All peers of a benchmark run in the same interleaved run; compare ratios inside one run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import load, queue, receive, results, send, study
from tests.benchmarks.goals import Goal, Measured, table


def main() -> int:
    """Measure and print; 2 for a benchmark that does not exist."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = set(wanted) - BENCHMARKS.keys()
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
        return 2
    goals: list[Goal] = []
    for name in wanted:
        measured = BENCHMARKS[name]()
        print(f"\n{measured.text}", flush=True)
        goals += measured.goals
    if goals:
        print(f"\n{table(goals)}")
    return 0


def _queue() -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            f"  {name:10} {middle:6.0f} {longest:6.0f}"
            for name, (middle, longest) in queue.measure(Path(folder)).items()
        ]
    return Measured(text="\n".join(["From queueing a step to its start, ms: median, longest", *rows]))


def _study() -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        title, seconds = study.measure(Path(folder))
    rows = [f"  {stage:62} {value:7.2f}" for stage, value in seconds.items()]
    return Measured(text="\n".join([f"One study, seconds: {title}", *rows]))


BENCHMARKS: dict[str, Callable[[], Measured]] = {
    "receive": receive.measured,
    "send": send.measured,
    "load": load.measured,
    "queue": _queue,
    "study": _study,
    "results": results.measured,
}

if __name__ == "__main__":
    sys.exit(main())
