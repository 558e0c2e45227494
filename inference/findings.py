"""What an analysis says: candidates, findings and the result of one run. Plain values, no pixels of the CT."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inference.geometry import Grid, Point, Shape
from inference.volume import BoolArray, ByteArray


class Attenuation(StrEnum):
    """Type of a nodule by attenuation (the rule and its source are in `inference.measure`)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    NON_SOLID = "non-solid"
    CALCIFIED = "calcified"


class Laterality(StrEnum):
    """Side of the patient's body."""

    RIGHT = "right"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place that the detector proposes; `score` in 0..1."""

    centre_lps: Point
    diameter_mm: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CroppedMask:
    """A mask on the CT's own grid, stored as its bounding box.

    Parameters
    ----------
    start_kji : index in the CT of the first voxel of the box
    voxels : shape (k, j, i) of the box, bool, touching all six faces of the box
    """

    start_kji: Shape
    voxels: BoolArray

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where it lies in an array of the whole CT."""
        k, j, i = (slice(a, a + n) for a, n in zip(self.start_kji, self.voxels.shape, strict=True))
        return k, j, i


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftMask:
    """How much of each voxel belongs to a finding, on the CT's own grid, stored as the bounding box of what is not 0.

    Parameters
    ----------
    start_kji : index in the CT of the first voxel of the box
    values : shape (k, j, i) of the box, uint8; 255 = all of the voxel
    """

    start_kji: Shape
    values: ByteArray

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where it lies in an array of the whole CT."""
        k, j, i = (slice(a, a + n) for a, n in zip(self.start_kji, self.values.shape, strict=True))
        return k, j, i


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate with the voxels that it came from.

    Parameters
    ----------
    component : its voxels on the grid of the detector, not of the CT
    centre_kji : centre of mass of the component, in voxels of that grid
    malignancy : what a model said, 0..1; None if none did
    """

    candidate: Candidate
    component: CroppedMask
    centre_kji: Point
    malignancy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A proposal with its mask on the grid of the CT, the model that drew it, and the soft mask if that one has any."""

    proposal: Proposal
    mask: CroppedMask
    model: str
    soft: SoftMask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A line in one axial slice.

    Parameters
    ----------
    length_mm : distance of the two ends
    slice_k : slice of the CT that both ends lie in
    ends_ji : the two ends as fractional (row, column) indices; (0, 0) is the centre of the first pixel
    """

    length_mm: float
    slice_k: int
    ends_ji: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A candidate above the operating point, with its mask and measurements.

    Parameters
    ----------
    number : from 1, in order of falling score, then of volume, then of position
    mask : its voxels; no voxel belongs to two findings
    outlined_by : the model that drew the mask: the one for segmentation, or the detector where that one drew nothing
    centre_lps : centre of mass of the mask, mm
    volume_mm3 : number of voxels times their volume
    equivalent_diameter_mm : diameter of the sphere of that volume
    long_axis : longest in-plane distance between outline points over all axial slices
    short_axis : longest chord perpendicular to it in the same slice
    mean_hu, sd_hu, minimum_hu, maximum_hu : of the CT inside the mask
    attenuation : type by the rule of `inference.measure`
    laterality : side of the lung it lies in; None if it cannot be told
    score : certainty of the detector, 0..1
    malignancy : probability in the sense of the result's `malignancy_labels`, 0..1; None if no model said
    soft : how much of each voxel belongs to it; None if the model that drew the mask does not say
    """

    number: int
    mask: CroppedMask
    outlined_by: str
    centre_lps: Point
    volume_mm3: float
    equivalent_diameter_mm: float
    long_axis: Axis
    short_axis: Axis
    mean_hu: float
    sd_hu: float
    minimum_hu: float
    maximum_hu: float
    attenuation: Attenuation
    laterality: Laterality | None
    score: float
    malignancy: float | None
    soft: SoftMask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """One use of a model: its name, version, the SHA-256 of its file and what it was used for.

    Roles are "detector", "head", "segmentation" and "malignancy"; a model that serves two of them is used twice.
    """

    role: str
    name: str
    version: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One way in which a result says less than it seems to: a stable code and a sentence without text of the header."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run of a pipeline on one volume found.

    Parameters
    ----------
    grid : grid of the CT that all masks refer to
    findings : ordered by number
    lungs : shape of the grid, bool
    models : every use of a model; of each role in the order in which they were asked
    malignancy_labels : how the labels came about that malignancy was learned from; empty if no model says anything
    limits : what was not covered; empty if the CT shows the lungs whole
    """

    grid: Grid
    findings: tuple[Finding, ...]
    lungs: BoolArray
    models: tuple[ModelUse, ...]
    malignancy_labels: str
    limits: tuple[Limit, ...] = ()
