"""The report: a table and a few sentences in Markdown, everything as JSON, and a picture over time."""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure

from tests.soak.judgement import Judgement
from tests.soak.watching import PARTS

COLOURS = {"kills": "tab:red", "disk": "tab:purple", "PACS": "tab:blue", "second PACS": "tab:cyan"}
LINES = {
    "studies": "studies acknowledged",
    "finished": "studies with a result",
    "delivered": "deliveries made, to two PACS",
    "waiting": "studies that wait",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run went, apart from the judgement.

    Parameters
    ----------
    minutes, rest_s : of traffic and faults, and until the node had come to rest after them
    unfinished : studies and results that had not come to rest in time
    faults, habits, statuses, errors : how many of each; statuses of C-STORE, errors of senders' associations
    left_behind : processes of the node that did not end with it
    starts : of the node
    has_disk : whether there was a small disk to fill
    """

    seed: int
    begun: str
    machine: str
    minutes: float
    rest_s: float
    unfinished: int
    left_behind: int
    starts: int
    has_disk: bool
    faults: Mapping[str, int]
    habits: Mapping[str, int]
    statuses: Mapping[str, int]
    errors: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Whether it came to rest, and to an end."""
        return self.unfinished == self.left_behind == 0


def write(folder: Path, run: Run, judgement: Judgement) -> None:
    """Write `report.md`, `report.json` and `soak.png`."""
    rows = _rows(folder / "timeline.csv")
    faults = [json.loads(line) for line in (folder / "faults.jsonl").read_text(encoding="utf-8").splitlines()]
    content = {"run": asdict(run), "judgement": asdict(judgement), "held": _held(rows)}
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(text(run, judgement, _held(rows)), encoding="utf-8")
    draw(rows, faults, folder / "soak.png")


def text(run: Run, judgement: Judgement, held: Mapping[str, list[float]]) -> str:
    """The report for people."""
    parts = [
        _wrapped(_told(run)),
        "\n".join(_stages(judgement)),
        _wrapped(_answered(judgement)),
        _wrapped(f"Faults: {_counted(run.faults)}."),
        _wrapped(f"Senders: {_counted(run.habits)}."),
        _wrapped(
            f"C-STORE was answered {_counted(run.statuses)}. Associations of honest senders ended with"
            f" {_counted(run.errors)}; what had no answer was sent again."
        ),
        "\n".join(_table(held)),
        "\n".join(f"- {line}" for line in (*judgement.lost, *judgement.doubled, *judgement.wrong)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _told(run: Run) -> str:
    disk = "" if run.has_disk else " No small disk could be mounted, so none was full."
    rest = f"came to rest after {run.rest_s:.0f} s" if not run.unfinished else f"left {run.unfinished} unfinished"
    return (
        f"{run.begun}, {run.minutes:g} minutes of traffic and faults with seed {run.seed}, on {run.machine}. Then the"
        f" faults were mended, and the node {rest}; it had been started {run.starts} times. When it was stopped,"
        f" {run.left_behind} of its processes did not end.{disk}"
    )


def _stages(judgement: Judgement) -> list[str]:
    return [
        "| | instances | studies |",
        "|---|---:|---:|",
        *(f"| {stage.name} | {stage.instances:,} | {stage.studies:,} |" for stage in judgement.stages),
        f"| **lost** | **{len(judgement.lost):,}** | |",
        f"| **doubled** | | **{len(judgement.doubled):,}** |",
        f"| **wrong** | | **{len(judgement.wrong):,}** |",
    ]


def _answered(judgement: Judgement) -> str:
    return (
        f"{judgement.analysed} studies were analysed, and {judgement.explained} got a report that says why not"
        f" ({_counted(judgement.reasons)}). {judgement.revised} got more than one result, because slices came late."
        f" Whole chests that were not analysed, by the reason that the report gives:"
        f" {_counted(judgement.spoiled)}."
    )


def _table(held: Mapping[str, list[float]]) -> list[str]:
    return [
        f"| | {' | '.join(PARTS)} |",
        "|---|" + "---:|" * len(PARTS),
        *(f"| {name} | {' | '.join(f'{value:,.0f}' for value in values)} |" for name, values in held.items()),
    ]


def draw(rows: list[dict[str, float]], faults: list[dict[str, object]], path: Path) -> None:
    """Memory, descriptors and studies over the minutes; a line for each fault."""
    figure = Figure(figsize=(10, 9), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True)
    minutes = [row["seconds"] / 60 for row in rows]
    for axes, what in ((above, "rss_mib"), (middle, "descriptors")):
        for part in PARTS:
            axes.plot(minutes, [row[f"{what} {part}"] for row in rows], label=part, linewidth=0.8)
        axes.plot(minutes, [_all(row, what) for row in rows], "k", label="all", linewidth=1.2)
    for what, label in LINES.items():
        below.plot(minutes, [row[what] for row in rows], label=label, linewidth=1)
    above.set_ylabel("resident memory, MiB")
    middle.set_ylabel("open descriptors")
    below.set_ylabel("number")
    below.set_xlabel("minutes")
    for axes in (above, middle, below):
        for stream, colour in COLOURS.items():
            at = [float(str(fault["at_s"])) / 60 for fault in faults if fault["stream"] == stream]
            axes.vlines(at, 0, 0.04, colour, transform=axes.get_xaxis_transform(), label=f"{stream}")
        axes.grid(alpha=0.3)
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=9, fontsize="small")
    below.legend(below.lines, [str(line.get_label()) for line in below.lines], fontsize="small", loc="upper left")
    figure.savefig(path, dpi=110)


def _held(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """What each part held at most, and at rest in the end."""
    named = {"rss_mib": "resident memory, MiB", "descriptors": "open descriptors"}
    return {
        f"{name}, {when}": [of([_known(row[f"{what} {part}"]) for row in rows]) for part in PARTS]
        for what, name in named.items()
        for when, of in (("at most", max), ("at rest", lambda values: values[-1]))
    }


def _all(row: dict[str, float], what: str) -> float:
    return sum(_known(row[f"{what} {part}"]) for part in PARTS)


def _known(value: float) -> float:
    return 0 if value != value else value


def _rows(path: Path) -> list[dict[str, float]]:
    """The rows of the table; what was not known is not a number."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda i: -i[1])) or "none"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, 120, break_long_words=False, break_on_hyphens=False)
