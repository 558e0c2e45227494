"""`pulmonode-train`: check data, make labels, train, evaluate, export. Each verb parses, calls, prints.

pulmonode-train data check DIR
pulmonode-train data pack DIR... OUT
pulmonode-train label soft-masks FOLDER OUT
pulmonode-train recipes
pulmonode-train fit RECIPE RUN --data DIR
pulmonode-train evaluate RUN --data DIR
pulmonode-train froc RUN --scans LUNA16 --data DIR
pulmonode-train export RUN DIR --data DIR
pulmonode-train reproduce SYSTEM --budget 60m --data DIR
pulmonode-train results [RUNS]
pulmonode-train jnsc-labels RUN --data DIR
pulmonode-train jnsc-judge RELEASE --data DIR
pulmonode-train cards REPOSITORY
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from inference.errors import InferenceError
from training.cli import cards, data, fit, froc, judge, label, labels, measure, reproduce
from training.errors import TrainingError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train, evaluate and export the models. Offline.")
app.add_typer(data.data_app, name="data")
app.add_typer(label.label_app, name="label")
app.command("recipes")(fit.show_recipes)
app.command("fit")(fit.fit)
app.command("evaluate")(measure.evaluate)
app.command("froc")(froc.froc)
app.command("export")(measure.export)
app.command("reproduce")(reproduce.reproduce)
app.command("results")(reproduce.write_results)
app.command("jnsc-labels")(labels.compare_labels)
app.command("jnsc-judge")(judge.judge)
app.command("cards")(cards.write_cards)


def main() -> None:
    """Entry point of `pulmonode-train`."""
    try:
        app()
    except (TrainingError, InferenceError) as error:
        Console(stderr=True).print(f"[red]{error.code}[/]: {error}")
        sys.exit(1)
