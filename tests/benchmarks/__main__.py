"""`make bench`: every figure beside its goal, PASS or SHORT. `ARGS="receive send"` measures only those.

All peers of a benchmark run in the same interleaved run; compare ratios inside one run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import inference, load, queue, receive, results, send, study, whole
from tests.benchmarks.goals import Goal, Measured, table


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description="Every figure beside its goal, PASS or SHORT.")
    parser.add_argument("benchmark", nargs="*", help=f"{', '.join(BENCHMARKS)}; all of them if none is named")
    parser.add_argument("--beside", type=Path, help="another checkout, whose node receives in the same run")
    asked = parser.parse_args()
    if unknown := set(asked.benchmark) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    goals: list[Goal] = []
    for name in asked.benchmark or BENCHMARKS:
        measured = receive.measured(asked.beside) if name == "receive" else BENCHMARKS[name]()
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
    rows = [f"  {stage:62} {wall_s:7.2f} {cpu_s:7.2f}" for stage, (wall_s, cpu_s) in seconds.items()]
    return Measured(text="\n".join([f"One study, wall and CPU seconds: {title}", *rows]))


BENCHMARKS: dict[str, Callable[[], Measured]] = {
    "receive": receive.measured,
    "send": send.measured,
    "load": load.measured,
    "queue": _queue,
    "study": _study,
    "inference": inference.measured,
    "results": results.measured,
    "whole": whole.measured,
}

if __name__ == "__main__":
    sys.exit(main())
