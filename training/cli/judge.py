"""`pulmonode-train jnsc-judge`: a published JNSC measured again, as it is served now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.contract import Contract
from inference.onnx import OnnxPredictor
from inference.registry import Member, ModelRepository
from training import results, runs
from training.cli.options import CACHE, CacheFolder, DataFolder, Threads, console, sources
from training.data.splits import SplitBroken
from training.evaluation import pages
from training.export import release_again, see_that_it_is_free
from training.sources import Sources
from training.systems.jnsc import judging

TRAINED = ("recipe", "steps", "of_steps")
PROVEN = ("parity", "onnx_torch_max_abs_difference")
"""What an evaluation says that measuring again does not change: of the training, and of the export."""


def judge(
    target: Annotated[Path, typer.Argument(metavar="RELEASE", help="A new folder for `pulmonode model publish`.")],
    data: DataFolder,
    cache: CacheFolder = CACHE,
    models: Annotated[Path, typer.Option(help="The model repository.", exists=True)] = Path("model_repository"),
    records: Annotated[
        Path | None, typer.Option(help="Where records of runs are: that of its recipe gets the figures, too.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Measure the active version of JNSC as it is served now, and set its operating score anew.

    For when what is around a network has changed: the mask of the lungs, how a CT is asked. The weights stay.
    """
    see_that_it_is_free(target)
    repository = ModelRepository(models)
    contracts = {contract.model: contract for contract in repository.members("jnsc")}
    detector = contracts["jnsc"]
    head = contracts[detector.head or ""]
    own = sources(data, cache, detector.trained_on.get("fold"))
    _guard(detector, own)
    nodules = own.luna16_nodules(own.luna16_split.validation)
    predictor = OnnxPredictor(repository, threads=threads, exact=True)
    outcome = judging.evaluate(nodules, detector, head, predictor, own.tell)
    trained = {key: value for key, value in detector.evaluation.items() if key in TRAINED}
    figures = {**trained, **outcome.figures, **runs.said(own)}
    console.print(pages.table(figures))
    new = {detector.model: judging.calibrated(detector, figures), head.model: head}
    for proof in release_again([_member(repository, one, figures) for one in new.values()], target):
        console.print(f"{proof.model}: {proof.cases} golden cases, off by at most {proof.difference:.2g}")
    if records is not None:
        _record(records / f"{figures['recipe']}.json", figures)
    console.print(f"Next: pulmonode model publish {target}")


def _guard(detector: Contract, own: Sources) -> None:
    """Refuse data in which a patient may validate whom the version was trained on."""
    known, here = detector.trained_on.get("splits_sha256", {}).get("luna16"), own.luna16_split.sha256
    if known != here:
        raise SplitBroken(
            f"{detector.model} version {detector.version} was trained with another split of patients than that of "
            f"{own.data}; it may know those who would validate it: name the data that it was trained on"
        )


def _member(repository: ModelRepository, contract: Contract, figures: Mapping[str, Any]) -> Member:
    """A model as it is published, with other figures; what was proven at its export stays."""
    name, version = contract.model, contract.version
    proven = {key: value for key, value in contract.evaluation.items() if key in PROVEN}
    return Member(
        contract=dataclasses.replace(contract, evaluation={**pages.without_cases(figures), **proven}),
        artefact=repository.artefact(name, version),
        golden=repository.golden(name, version),
    )


def _record(path: Path, figures: dict[str, Any]) -> None:
    run = results.from_text(path.read_text(encoding="utf-8"))
    path.write_text(results.as_text(dataclasses.replace(run, figures=figures)), encoding="utf-8")
