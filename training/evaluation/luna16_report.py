"""FROC and CPM over whole LUNA16 scans: figures, a page and the curve. Called from `training.cli.froc`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Picture

from training.data.known import Refusal
from training.data.luna16_mhd import Luna16Scan
from training.data.luna16_mhd import Mark as Known
from training.evaluation.luna16_scans import Found
from training.metrics import luna16
from training.metrics.luna16 import Annotation, LunaCase
from training.metrics.statistics import Figure

DATA = (
    "LUNA16, whole scans of patients that the run was not trained on; its rules and exclusions. The challenge's own "
    "figures are of all 888 scans in ten folds"
)
FIGURES, PAGE, PICTURE, SERIES = "froc.json", "froc.md", "froc.png", "froc_seriesuids.csv"
RATES_SHOWN = (0.125, 8.0)


def cases_of(scans: Sequence[Luna16Scan], found: Mapping[str, Found]) -> tuple[LunaCase, ...]:
    """What was found against what is known, by the rules of the challenge.

    Parameters
    ----------
    found : by series
    """
    return tuple(
        luna16.judged(
            scan.series_uid,
            found[scan.series_uid].marks,
            [_annotation(mark) for mark in scan.marks if mark.is_nodule],
            [_annotation(mark) for mark in scan.marks if not mark.is_nodule],
        )
        for scan in scans
    )


def figures(scans: Sequence[Luna16Scan], found: Mapping[str, Found], left_out: Iterable[Refusal]) -> dict[str, Any]:
    """All that `froc.json` says of the scans; intervals are over scans."""
    result = luna16.froc(cases_of(scans, found))
    mine = [found[scan.series_uid] for scan in scans]
    return {
        "data": DATA,
        "scans": len(scans),
        "patients": len({scan.patient_id for scan in scans}),
        "nodules": sum(mark.is_nodule for scan in scans for mark in scan.marks),
        "excluded_findings": sum(not mark.is_nodule for scan in scans for mark in scan.marks),
        "candidates": sum(len(one.marks) for one in mine),
        "failed": dict(Counter(one.failure for one in mine if one.failure)),
        "left_out": by_code(left_out),
        "cpm": _json(result.cpm),
        "sensitivity_at_false_per_scan": {str(rate): _json(one) for rate, one in result.sensitivities.items()},
    }


def by_code(refusals: Iterable[Refusal]) -> dict[str, int]:
    """How often each code was given."""
    return dict(Counter(refusal.code for refusal in refusals))


def write(content: Mapping[str, Any], scans: Sequence[Luna16Scan], found: Mapping[str, Found], folder: Path) -> None:
    """The figures for programs, for people and as a curve; and which scans they are of, as LUNA16's script asks for."""
    (folder / FIGURES).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(content), encoding="utf-8")
    (folder / SERIES).write_text("".join(f"{scan.series_uid}\n" for scan in scans), encoding="utf-8")
    draw(cases_of(scans, found), content, folder / PICTURE)


def page(content: Mapping[str, Any]) -> str:
    """`froc.md`: the figures for people."""
    rows = {f"sensitivity at {rate}": one for rate, one in content["sensitivity_at_false_per_scan"].items()}
    of = f"{content['nodules']} nodules in {content['scans']} scans of {content['patients']} patients"
    lines = [
        f"# FROC of `{content['recipe']}`",
        "",
        f"{content['data']}. {of}; {content['excluded_findings']} excluded findings count neither way. "
        "For research use.",
        "",
        "| false candidates per scan | value | 95 % interval over scans |",
        "|---|---|---|",
        *(_line(name, one) for name, one in {**rows, "CPM": content["cpm"]}.items()),
        "",
        f"Failed scans count as scans without candidates: {_counted(content['failed'])}. Left out: "
        f"{_counted(content['left_out'])}.",
    ]
    return "\n".join(lines) + "\n"


def draw(cases: Sequence[LunaCase], content: Mapping[str, Any], path: Path) -> None:
    """The curve, with the interval through the seven rates that the challenge asks for."""
    picture = Picture(figsize=(6, 4.5), layout="constrained")
    axes = picture.subplots()
    false, sensitivity = luna16.curve(cases)
    points = {float(rate): one for rate, one in content["sensitivity_at_false_per_scan"].items()}
    low, high = zip(*(one["interval_95"] for one in points.values()), strict=True)
    axes.plot([*false, max(false[-1], RATES_SHOWN[1])], [*sensitivity, sensitivity[-1]], linewidth=1.5)
    if None not in low:
        axes.fill_between(list(points), low, high, alpha=0.2, label="95 % interval over scans, at the seven rates")
        axes.legend(fontsize="small", loc="lower right")
    axes.set_xscale("log", base=2)
    axes.set_xlim(*RATES_SHOWN)
    axes.set_ylim(0, 1)
    axes.set_xticks(list(points), [f"{rate:g}" for rate in points])
    axes.set_xlabel("false candidates per scan")
    axes.set_ylabel("sensitivity")
    axes.set_title(f"{content['recipe']}: {content['nodules']} nodules in {content['scans']} scans", fontsize=9)
    axes.grid(alpha=0.3)
    picture.savefig(path, dpi=120)


def _annotation(mark: Known) -> Annotation:
    """LUNA16's reader writes 0 where the list has no diameter, the challenge's rules ask for a negative number."""
    return Annotation(centre_mm=mark.centre_lps, diameter_mm=mark.diameter_mm or -1.0)


def _json(figure: Figure) -> dict[str, Any]:
    content: dict[str, Any] = figure.to_json()
    return {"value": content["value"], "interval_95": content["interval_95"], "scans": content["patients"]}


def _line(name: str, figure: Mapping[str, Any]) -> str:
    low, high = figure["interval_95"]
    return f"| {name} | {_number(figure['value'])} | {_number(low)} to {_number(high)} |"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in counts.items()) or "none"
