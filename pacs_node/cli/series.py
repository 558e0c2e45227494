"""`pulmonode series`: analyse a folder, without PACS and database."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from inference.findings import Finding
from inference.onnx import OnnxPredictor
from inference.predictor import Predictor
from inference.registry import ModelRepository
from inference.series import SeriesHeader, find_files, read_headers
from inference.triton import TritonPredictor
from pacs_node.cli.options import AsJson, ConfigFile, Directory, configured
from pacs_node.config import Config
from pacs_node.domain.document import DocumentRole
from pacs_node.domain.rule import Rule
from pacs_node.domain.shipment import PROFILES, roles_of
from pacs_node.printing import say, show_json, show_rows
from pacs_node.steps import plan
from pacs_node.steps.offline import Analysis, analyse_series
from pacs_node.steps.pipelines import check_rules, pipeline_chosen

app = typer.Typer(no_args_is_help=True, help="Analyse a folder, without PACS and database.")


@app.callback()
def series() -> None:
    """Analyse a folder, without PACS and database."""


@app.command()
def analyse(
    directory: Directory,
    out: Annotated[Path, typer.Option(help="Folder for SEG, SR and pictures; made if need be.")],
    config: ConfigFile = None,
    triton: Annotated[str, typer.Option(help="host:port of a Triton server; else this process runs the models.")] = "",
    every: Annotated[bool, typer.Option("--every", help="Every series, not only those that a rule chooses.")] = False,
    pipeline: Annotated[str, typer.Option(help="Pipeline to use instead of the one that the rule names.")] = "",
    profile: Annotated[list[str], typer.Option(help="Documents to write, or a profile; may be repeated.")] = ["seg+sr"],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Find nodules in the chest CTs of a folder; write SEG, SR and pictures. Exits with 1 if there is no answer."""
    settings = configured(config)
    roles = _roles(profile)
    models = ModelRepository(settings.models)
    rules = [dataclasses.replace(r, pipeline=pipeline, segmentation="", malignancy="") for r in settings.rule]
    settings = dataclasses.replace(settings, rule=tuple(rules)) if pipeline else settings
    check_rules(models, settings.rule)
    chosen = _chosen(settings, models, directory, is_every=every)
    predictor = _predictor(settings, models, triton)
    analyses = []
    for number, (header, rule) in enumerate(chosen, start=1):
        place = out if len(chosen) == 1 else out / f"series-{number}"
        with Console(stderr=True).status(f"series {number} of {len(chosen)}: {header.slice_count} slices"):
            analyses.append(analyse_series(header, pipeline_chosen(models, rule), predictor, place, roles))
    _show(analyses, as_json=as_json)
    if not any(analysis.result for analysis in analyses):
        raise typer.Exit(1)


def _roles(profile: list[str]) -> tuple[DocumentRole, ...]:
    try:
        return roles_of(profile)
    except ValueError:
        known = ", ".join((*PROFILES, *DocumentRole))
        raise typer.BadParameter(f"none of {known}", param_hint="--profile") from None


def _chosen(
    config: Config, models: ModelRepository, directory: Path, *, is_every: bool
) -> list[tuple[SeriesHeader, Rule]]:
    """One series per study as the rules choose, with its rule; the largest that a rule matches if none is eligible.

    If every series is wanted, the first rule says how.
    """
    paths = find_files(directory)
    headers = {header.series_instance_uid: header for header in read_headers(paths)}
    if is_every:
        return [(header, config.rule[0]) for header in headers.values()]
    chosen: dict[str, tuple[SeriesHeader, Rule]] = {}
    for judged, decision in plan.explain(config.rule, models, paths, ""):
        header = headers[judged.facts.series_instance_uid]
        rival, _ = chosen.get(header.study_instance_uid, (None, None))
        if decision.rule and (decision.verdict == "chosen" or rival is None or rival.slice_count < header.slice_count):
            chosen[header.study_instance_uid] = header, decision.rule
    return list(chosen.values())


def _predictor(config: Config, models: ModelRepository, triton: str) -> Predictor:
    if triton:
        is_embedded = config.triton.mode == "embedded"
        return TritonPredictor(triton, models, deadline_s=config.triton.deadline_s, is_embedded=is_embedded)
    return OnnxPredictor(models, threads=config.triton.threads)


def _show(analyses: list[Analysis], *, as_json: bool) -> None:
    if as_json:
        show_json([_facts(analysis) for analysis in analyses])
        return
    if not analyses:
        say("No series of this folder is a chest CT that a rule matches; `pulmonode rule explain` says why.")
    for analysis in analyses:
        rows = [
            finding | {"centre_lps_mm": ", ".join(f"{value:.1f}" for value in finding["centre_lps_mm"])}
            for finding in _facts(analysis)["findings"]
        ]
        show_rows(rows, as_json=False, title="Findings (research use only)", empty="No nodule was found.")
        for reason in analysis.reasons:
            say(f"Not analysed: {reason.text} [{reason.code}]")
        for limit in analysis.result.limits if analysis.result else ():
            say(f"Limited: {limit.text} [{limit.code}]")
        for warning in analysis.warnings:
            say(f"Warning: {warning}.")
        for path in analysis.files:
            say(str(path))


def _facts(analysis: Analysis) -> dict[str, Any]:
    return {
        "series_instance_uid": analysis.series.series_instance_uid,
        "analysed": analysis.result is not None,
        "reasons": [asdict(reason) for reason in analysis.reasons],
        "limits": [asdict(limit) for limit in (analysis.result.limits if analysis.result else ())],
        "models": [asdict(use) for use in (analysis.result.models if analysis.result else ())],
        "findings": [_finding(finding) for finding in (analysis.result.findings if analysis.result else ())],
        "warnings": list(analysis.warnings),
        "files": [str(path) for path in analysis.files],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "number": finding.number,
        "centre_lps_mm": finding.centre_lps,
        "diameter_mm": finding.equivalent_diameter_mm,
        "long_axis_mm": finding.long_axis.length_mm,
        "short_axis_mm": finding.short_axis.length_mm,
        "volume_mm3": finding.volume_mm3,
        "mean_hu": finding.mean_hu,
        "type": finding.attenuation,
        "side": finding.laterality,
        "certainty": finding.score,
        "malignancy": finding.malignancy,
        "outlined_by": finding.outlined_by,
    }
