"""`contract.json`: all that pre- and post-processing must know about a model; nothing of it is hard-coded elsewhere.

Written by `training.export`, read by `inference.pipeline`, the registry, the predictors (tensor shapes) and the docs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from inference.errors import ContractInvalid
from inference.geometry import Shape, Spacing

COARSEST = 16
"""Voxels; the stride of the coarsest map of a one-pass detector divides it, so CTs can be cut at its multiples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A named float32 tensor; `shape` without the batch axis."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """HU are clipped to `window_hu`, then x = (hu - mean_hu) / sd_hu."""

    window_hu: tuple[float, float]
    mean_hu: float
    sd_hu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How a dense probability map becomes candidates (paper 4, section II).

    Parameters
    ----------
    roi_kji, stride_kji : windows and their steps, in voxels of `spacing_mm`
    threshold : probability at which a voxel counts
    nms_mm : of two candidates closer than this the weaker one goes
    minimum_diameter_mm : smaller ones are dropped
    operating_score : candidates below it are not reported
    is_one_pass : the network judges a voxel alike in windows of any size: a window may be longer than `roi_kji` along
        each axis, by whole steps of the coarsest feature map, and the CT is asked as one (`inference.one_pass`); else
        windows of just that size overlap, and their answers are averaged
    """

    roi_kji: Shape
    stride_kji: Shape
    threshold: float
    nms_mm: float
    minimum_diameter_mm: float
    operating_score: float
    is_one_pass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLimits:
    """What the model may be used on; outside it a series is ineligible."""

    slice_thickness_mm: tuple[float, float]
    slice_spacing_mm: tuple[float, float]
    pixel_spacing_mm: tuple[float, float]
    minimum_slices: int
    minimum_coverage_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiSlices:
    """How the slices around a candidate become the images that a 2-D model takes.

    Parameters
    ----------
    size_ji : pixels of an image, the candidate in its middle
    pixel_spacing_mm : of an image along both axes; None for the CT's own pixels
    margin_mm : how far beyond the candidate's component slices are looked at, along the slice axis
    threshold : probability at which a pixel belongs to the nodule
    """

    size_ji: tuple[int, int]
    pixel_spacing_mm: float | None
    margin_mm: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """An input that another model answers first: `output` of `model`, in the same version."""

    input: str
    model: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of one model. The models of one system are published together and share the version number.

    Parameters
    ----------
    model, version : its place in the model repository
    kind : how it is asked: "dense-detector", "roi-head", "slice-model"
    system : the published system that it belongs to
    roles : what it answers for its system: "detection", "segmentation", "malignancy"; none if it only feeds others
    file, sha256 : the artefact and its hash
    inputs, outputs : its tensors
    spacing_mm : voxel size that it expects; None for models that take no voxels
    intensity : None for models that take no voxels
    detection, limits : for detectors only
    features : for detectors, the outputs that its head takes features from, in the head's order: (name, stride, bins)
    head : for detectors, the model that classifies its candidates; None if there is none
    roi : for slice models
    feeds : inputs that other models of the system answer; the remaining input is the image
    is_soft : for slice models, whether the probability is the share of each pixel that belongs to the nodule, learned
        from soft masks, so that values between 0 and 1 mean something; else only the threshold does
    classes : for heads, the meaning of the outputs in order
    label_rule : how the training labels came about
    trained_on, evaluation : free JSON for people: data, split, figures with intervals, baseline
    """

    model: str
    version: int
    kind: str
    file: str
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    system: str = ""
    roles: tuple[str, ...] = ()
    spacing_mm: Spacing | None = None
    intensity: Intensity | None = None
    detection: Detection | None = None
    limits: SeriesLimits | None = None
    features: tuple[tuple[str, int, int], ...] = ()
    head: str | None = None
    roi: RoiSlices | None = None
    feeds: tuple[Feed, ...] = ()
    is_soft: bool = False
    classes: tuple[str, ...] = ()
    label_rule: str = ""
    trained_on: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluation: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_one_pass(self) -> bool:
        """Whether a question may be longer than the tensors below say: see `Detection`."""
        return self.detection is not None and self.detection.is_one_pass

    @property
    def step(self) -> int:
        """By how many voxels a question to a one-pass detector may grow: the stride of its coarsest map."""
        return max((stride for _, stride, _ in self.features), default=1)

    def open_shape(self, spec: TensorSpec) -> tuple[int | None, ...]:
        """A tensor's shape with None for each axis that may be longer in a question."""
        return (spec.shape[0], *(None for _ in spec.shape[1:])) if self.is_one_pass else spec.shape

    def to_json(self) -> str:
        """The text of `contract.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `contract.json`.

        Raises
        ------
        ContractInvalid : not JSON, an unknown or missing key, or a value that is not allowed
        """
        try:
            contract = cls(**_typed(json.loads(text)))
            if contract.is_one_pass and COARSEST % contract.step:
                raise ValueError(f"the stride of each map of a one-pass detector divides {COARSEST} voxels")
            if contract.detection and contract.is_one_pass and any(n % COARSEST for n in contract.detection.roi_kji):
                raise ValueError(f"the window of a one-pass detector is a multiple of {COARSEST} voxels long")
            return contract
        except (ValueError, TypeError, KeyError) as error:
            raise ContractInvalid(f"contract.json cannot be read: {error}") from error


def _typed(raw: dict[str, Any]) -> dict[str, Any]:
    nested = {"intensity": Intensity, "detection": Detection, "limits": SeriesLimits, "roi": RoiSlices}
    typed = {key: _tuples(value) for key, value in raw.items() if key not in {"trained_on", "evaluation"}}
    typed |= {key: raw[key] for key in ("trained_on", "evaluation") if key in raw}
    for key in ("inputs", "outputs"):
        typed[key] = tuple(TensorSpec(name=spec["name"], shape=tuple(spec["shape"])) for spec in raw[key])
    typed["feeds"] = tuple(Feed(**feed) for feed in raw.get("feeds", ()))
    for key, kind in nested.items():
        if raw.get(key) is not None:
            typed[key] = kind(**{name: _tuples(value) for name, value in raw[key].items()})
    return typed


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
