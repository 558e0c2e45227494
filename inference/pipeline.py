"""The way from a volume to findings. `run` is the only entry.

Called from `pacs_node.steps.analyse`, `pulmonode series analyse` and `training.evaluation`; which pipelines there are
says `inference.systems`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.candidates import judged, propose, select
from inference.classify import classify
from inference.contract import Contract
from inference.coverage import coverage_limits
from inference.errors import ContractInvalid
from inference.findings import Finding, ModelUse, Outline, Proposal, Result
from inference.geometry import Shape
from inference.intensity import hu_of
from inference.lungs import Lungs, find_lungs
from inference.measure import measure
from inference.outline import redrawn
from inference.predictor import FloatTensor, Predictor, Searcher
from inference.preprocess import Field, prepare
from inference.rating import rated
from inference.search import probability
from inference.segment import segment
from inference.tiling import window_starts
from inference.volume import Volume

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The models of one analysis.

    Parameters
    ----------
    name : what rules and reports call it
    detector : the dense network
    head : classifies its candidates: whether each is a nodule at all, and its malignancy
    segmentation : 2-D models in the order in which they are asked, the last one outlines; empty for the detector's mask
    malignancy : the same, the last one rates; empty for what the head says
    """

    name: str
    detector: Contract
    head: Contract | None
    segmentation: tuple[Contract, ...] = ()
    malignancy: tuple[Contract, ...] = ()

    @property
    def uses(self) -> tuple[ModelUse, ...]:
        """Every use of a model; a model that feeds another has the role of that one."""
        roles = [("detector", self.detector)] + ([("head", self.head)] if self.head is not None else [])
        roles += [("segmentation", contract) for contract in self.segmentation]
        roles += [("malignancy", contract) for contract in self.malignancy]
        return tuple(
            ModelUse(role=role, name=contract.model, version=contract.version, sha256=contract.sha256)
            for role, contract in roles
        )

    @property
    def malignancy_labels(self) -> str:
        """How the labels came about that malignancy was learned from; empty if no model says anything."""
        models = (self.head, *self.malignancy)
        return models[-1].label_rule if models[-1] is not None else ""


def run(volume: Volume, pipeline: Pipeline, predictor: Predictor, *, progress: Progress | None = None) -> Result:
    """Find, outline and measure the nodules of a CT.

    The same volume and models give the same result, whatever ran before.

    Parameters
    ----------
    progress : is told the stage ("lungs", "detect", "classify", "outline", "measure") and the share of it that is
        done, 0..1

    Raises
    ------
    LungsNotFound : the CT shows no lung
    ContractInvalid : the contracts do not describe a detector, its head and slice models
    PredictorUnavailable, InputRefused, ModelNotFound, ModelOutputInvalid : see `inference.predictor`
    """
    detection = pipeline.detector.detection
    if detection is None:
        raise ContractInvalid(f"{pipeline.detector.model} is no detector")
    tell = progress or _nobody
    tell("lungs", 0.0)
    lungs = find_lungs(volume)
    field = prepare(volume, lungs.mask_kji, pipeline.detector)
    starts = window_starts(field.lungs_kji, detection.roi_kji, detection.stride_kji)
    probability_kji = _searched(field, starts, pipeline.detector, predictor)
    if probability_kji is None:
        ask = _asking(pipeline.detector, predictor)
        probability_kji = probability(field.values_kji, starts, detection, ask, lambda share: tell("detect", share))
    proposals = propose(probability_kji, field.lungs_kji, field.grid, detection)
    tell("classify", 0.0)
    proposals = select(_judged(proposals, field, starts, pipeline, predictor), detection)
    tell("outline", 0.0)
    outlines = [
        Outline(proposal=proposal, mask=mask, model=pipeline.detector.model)
        for proposal, mask in segment(proposals, probability_kji, field.grid, volume.grid, detection.threshold)
    ]
    if pipeline.segmentation:
        outlines = redrawn(outlines, volume, pipeline.segmentation, predictor)
    if pipeline.malignancy:
        outlines = rated(outlines, volume, pipeline.malignancy, predictor)
    tell("measure", 0.0)
    findings = tuple(_finding(n, outline, volume, lungs) for n, outline in enumerate(_ordered(outlines), start=1))
    tell("measure", 1.0)
    return Result(
        grid=volume.grid,
        findings=findings,
        lungs=lungs.mask_kji,
        models=pipeline.uses,
        malignancy_labels=pipeline.malignancy_labels,
        limits=coverage_limits(lungs.mask_kji, volume.grid),
    )


def _searched(field: Field, starts: Sequence[Shape], detector: Contract, predictor: Predictor) -> FloatTensor | None:
    """The detector's probability by a server that searches by itself; None if this one does not."""
    if not isinstance(predictor, Searcher) or detector.intensity is None:
        return None
    return predictor.search(detector, hu_of(field.values_kji, detector.intensity), starts)


def _asking(detector: Contract, predictor: Predictor) -> Callable[[FloatTensor], FloatTensor]:
    """From windows, shape (B, 1, k, j, i), to their probabilities, shape (B, k, j, i)."""
    entry, output = detector.inputs[0].name, detector.outputs[0].name

    def ask(windows: FloatTensor) -> FloatTensor:
        answer = predictor.infer(detector.model, detector.version, {entry: windows}, [output])
        return answer[output][:, 0]

    return ask


def _judged(
    proposals: list[Proposal], field: Field, starts: Sequence[Shape], pipeline: Pipeline, predictor: Predictor
) -> list[Proposal]:
    if pipeline.head is None or not proposals:
        return proposals
    verdicts = classify(proposals, field.values_kji, starts, pipeline.detector, pipeline.head, predictor)
    return [judged(p, verdict.nodule, verdict.malignancy) for p, verdict in zip(proposals, verdicts, strict=True)]


def _ordered(outlines: list[Outline]) -> list[Outline]:
    """In order of falling score, then of volume, then of position."""
    return sorted(outlines, key=lambda o: (-o.proposal.candidate.score, -int(o.mask.voxels.sum()), o.mask.start_kji))


def _finding(number: int, outline: Outline, volume: Volume, lungs: Lungs) -> Finding:
    measurements = measure(outline.mask, volume)
    return Finding(
        number=number,
        mask=outline.mask,
        outlined_by=outline.model,
        laterality=lungs.laterality(measurements.centre_lps),
        score=outline.proposal.candidate.score,
        malignancy=outline.proposal.malignancy,
        soft=outline.soft,
        **{field.name: getattr(measurements, field.name) for field in dataclasses.fields(measurements)},
    )


def _nobody(stage: str, share: float) -> None:
    """Nobody wants to know."""
