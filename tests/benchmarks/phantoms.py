"""How well a detector finds the nodules of whole phantoms, synthetic ones, that no training and no score saw.

Patches of real nodules are asked in one window; this is the whole way of a CT instead, as it is served. Called by
`make bench`, and to compare two model repositories: python -m tests.benchmarks.phantoms REPOSITORY...
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from inference.onnx import OnnxPredictor
from inference.registry import ModelRepository
from pacs_node.steps.offline import pipeline_named
from training.systems.jnsc import phantoms
from training.systems.jnsc.report import phantom_report

SHIPPED = Path(__file__).parents[2] / "model_repository"
SEEDS = range(10_005, 10_017)
"""Shapes that were not trained on; the four seeds before them are those of the evaluation."""

FIGURES = ("sensitivity_solid_6mm", "false_per_scan", "dice_of_found", "cpm")


def found(repository: Path = SHIPPED, seeds: Iterable[int] = SEEDS, *, threads: int = 2) -> str:
    """Figures of the active version, each with its 95 % interval over phantoms: with all asked, and as served.

    CPM is over all scores, and so always with all asked.
    """
    models = ModelRepository(repository)
    pipeline = pipeline_named(models, "jnsc")
    assert pipeline.head is not None and pipeline.detector.detection is not None
    predictor, seeds = OnnxPredictor(models, threads=threads), list(seeds)
    operating = pipeline.detector.detection.operating_score
    everything, served = (
        phantoms.evaluate(seeds, pipeline.detector, pipeline.head, predictor, lambda text: None, score=score)
        for score in (0.0, operating)
    )
    lines = []
    for name, cases in (("with all asked", everything), ("as served", served)):
        figures = phantom_report(everything, cases, operating)
        told = ", ".join(f"{key} {figures[key]['value']} {figures[key]['interval_95']}" for key in FIGURES)
        lines.append(
            f"  jnsc version {pipeline.detector.version} at {operating}, {figures['nodules']} nodules of {len(cases)} "
            f"SYNTHETIC phantoms, {name}: {told}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    for place in sys.argv[1:] or [str(SHIPPED)]:
        print(place)
        print(found(Path(place)))
