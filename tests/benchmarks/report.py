"""`make bench-report`: how cost grows and what sites need, as a picture and tables in deploy/docs/performance.md.

The part of the page between the two marks is written anew; the rest is left as it is. Takes about ten minutes on two
cores that do nothing else.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.benchmarks import capacity, growth, study
from tests.benchmarks.capacity import Plan, Stage
from tests.benchmarks.growth import Points

DOCS = Path(__file__).parents[2] / "deploy/docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "growth.png"
BEGIN, END = "<!-- written by make bench-report -->", "<!-- end of what make bench-report writes -->"

GROWTHS: dict[str, Callable[[], dict[str, Points]]] = {
    "slices": growth.slices,
    "nodules": growth.nodules,
    "concurrent senders": growth.senders,
    "studies waiting": growth.waiting,
}

DETECTING = ("detect", "classify", "outline", "rate")
"""Stages of `study.measure` that a GPU takes over."""
BESIDE = "("
"""Stages with a bracket in their name are no part of a study."""
SLICES_OF_A_STUDY = 300
GPU_S = 1.0
"""The goal for one study on a data-centre GPU; not measured here."""


def main() -> int:
    """Measure everything, then write page and picture."""
    curves = {}
    for name, measure in GROWTHS.items():
        print(f"growth with {name} ...", file=sys.stderr, flush=True)
        curves[name] = measure()
    print("one study ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        title, seconds = study.measure(Path(folder))
    per_s = dict(curves["concurrent senders"]["received, instances/s"])
    wall_s = {stage: wall for stage, (wall, _) in seconds.items()}
    cpu, gpu = costs(wall_s, per_s=max(per_s.values()))
    plans = {}
    for site, studies in capacity.SITES.items():
        print(f"a {site} ...", file=sys.stderr, flush=True)
        plans[site] = {kind: capacity.planned(studies, stages) for kind, stages in (("CPU", cpu), ("GPU", gpu))}
    draw(curves, PICTURE)
    text = "\n".join(
        [
            f"Measured on {machine()}.",
            "",
            *growth_table(curves),
            "",
            title_of(title),
            *stage_table(cpu, gpu),
            "",
            *site_table(plans),
        ]
    )
    before = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    PAGE.write_text(replaced(before, text))
    print(f"{PAGE}\n{PICTURE}")
    return 0


def costs(seconds: dict[str, float], *, per_s: float) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """The stages of a study without and with a GPU.

    Parameters
    ----------
    seconds : by stage, from `study.measure`
    per_s : instances that one node receives a second
    """
    own = {name: value for name, value in seconds.items() if BESIDE not in name}
    on_gpu = sum(value for name, value in own.items() if name.startswith(DETECTING))
    all_s = sum(own.values())
    receiving = Stage(name="receiving (nodes)", seconds=SLICES_OF_A_STUDY / per_s)
    return (
        (receiving, Stage(name="analysing (workers)", seconds=all_s)),
        (
            receiving,
            Stage(name="preparing and reporting (workers)", seconds=all_s - on_gpu),
            Stage(name="inferring (GPUs)", seconds=GPU_S),
        ),
    )


def growth_table(curves: dict[str, dict[str, Points]]) -> list[str]:
    """One row for each figure, its sizes and its values."""
    rows = ["| with | figure | at |", "|---|---|---|"]
    for name, figures in curves.items():
        for figure, points in figures.items():
            at = ", ".join(f"{size}: {value:.3g}" for size, value in points)
            rows.append(f"| {name} | {figure} | {at} |")
    return [*rows, "", f"![How cost grows]({PICTURE.name})"]


def stage_table(*kinds: tuple[Stage, ...]) -> list[str]:
    """What one server of each stage manages."""
    rows = ["| one server | seconds a study | studies an hour |", "|---|---|---|"]
    for stage in dict.fromkeys(stage for stages in kinds for stage in stages):
        rows.append(f"| {stage.name} | {stage.seconds:.2f} | {3600 / stage.seconds:,.0f} |")
    return rows


def site_table(plans: dict[str, dict[str, Plan]]) -> list[str]:
    """What each site needs, with and without GPUs."""
    rows = ["| site | chest CTs a day | inference | needs | p95 from last slice, s | breaks first |", "|" + "---|" * 6]
    for site, kinds in plans.items():
        for kind, plan in kinds.items():
            needs = ", ".join(f"{count} x {stage.name}" for count, stage in zip(plan.servers, plan.stages, strict=True))
            rows.append(
                f"| {site} | {plan.studies:,} | {kind} | {needs} | {plan.p95_s:.0f} | {plan.breaks_first.name},"
                f" {max(plan.busy):.0%} busy |"
            )
    return rows


def title_of(study_title: str) -> str:
    """What the simulation stands on."""
    return (
        f"The simulation (`tests/benchmarks/capacity.py`) takes the stages of one study as measured ({study_title};"
        f" a worker has {os.cpu_count()} cores), {capacity.BUSY_SHARE:.0%} of a day's studies within"
        f" {capacity.BUSY_HOURS[1] - capacity.BUSY_HOURS[0]} hours, and {capacity.TARGET_S / 60:.0f} minutes from the"
        f" last slice to the result for 95 % of them, without the settle time. A GPU is taken to need {GPU_S:.0f} s a"
        " study, which is the goal and was not measured. Every node keeps an index of its own, which is part of"
        " receiving; network and PACS are taken to keep up.\n"
    )


def draw(curves: dict[str, dict[str, Points]], path: Path) -> None:
    """One panel for each kind of growth, both axes logarithmic."""
    mpl.use("agg")
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (name, figures) in zip(figure.subplots(2, 2).flat, curves.items(), strict=True):
        for label, points in figures.items():
            axes.loglog(*zip(*points, strict=True), marker="o", label=label)
        sizes = [size for size, _ in next(iter(figures.values()))]
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axes.set_xlabel(name)
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=100)


def replaced(page: str, text: str) -> str:
    """The page with another text between the marks; they are added at the end where there are none."""
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


def machine() -> str:
    """What it ran on, in words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
