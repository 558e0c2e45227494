"""`pulmonode rule`: try the rules on files before a PACS sends them."""

from __future__ import annotations

from typing import Annotated

import typer

from inference.registry import ModelRepository
from inference.series import find_files
from pacs_node.cli.options import AsJson, ConfigFile, Directory, configured
from pacs_node.printing import show_rows
from pacs_node.steps import plan
from pacs_node.steps.pipelines import check_rules

app = typer.Typer(no_args_is_help=True, help="Try the rules on files before a PACS sends them.")


@app.command()
def explain(
    directory: Directory,
    config: ConfigFile = None,
    calling_ae_title: Annotated[str, typer.Option(help="AE title of the sender to assume.")] = "",
    as_json: AsJson = False,
) -> None:
    """What would be decided about every series in a folder, and why."""
    settings = configured(config)
    models = ModelRepository(settings.models)
    chosen = check_rules(models, settings.rule)
    pipelines = {rule.name: pipeline.name for rule, pipeline in zip(settings.rule, chosen, strict=True)}
    explained = plan.explain(settings.rule, models, find_files(directory), calling_ae_title)
    rows = [
        {
            "series_instance_uid": judged.facts.series_instance_uid,
            "description": judged.facts.description,
            "modality": judged.facts.modality,
            "slices": judged.facts.slice_count,
            "thickness_mm": judged.facts.thickness_mm,
            "verdict": decision.verdict,
            "rule": decision.rule.name if decision.rule else None,
            "pipeline": pipelines[decision.rule.name] if decision.rule else None,
            "reasons": [f"{reason.text} [{reason.code}]" for reason in decision.reasons],
        }
        for judged, decision in explained
    ]
    show_rows(rows, as_json=as_json, empty="There is no DICOM file in this folder.")
