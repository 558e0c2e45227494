"""What a phantom is: the profile that it is made by, its known nodules, and the finished synthetic CT.

Plain frozen values; made by `training.data.phantom.build`, written by `dicomise` and `truth`, read by training.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inference.findings import Attenuation, CroppedMask, Laterality
from inference.geometry import Grid, Point
from inference.volume import BoolArray, HuArray, Volume


class Placement(StrEnum):
    """Where in the lung a nodule was put."""

    ISOLATED = "isolated"
    VASCULAR = "vascular"
    JUXTAPLEURAL = "juxtapleural"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How large a phantom is and how much is in it.

    Parameters
    ----------
    name : label of the profile
    extent_mm : edge of the cube that is drawn at 1 mm before the scanner model
    sides : lungs that are drawn; with one, it is the right lung and takes most of the chest
    pixels, pixel_mm : matrix and pixel spacing of the finished slices
    thicknesses_mm : slice thicknesses to draw from; slices touch, so spacing = thickness
    nodules : fewest and most true nodules
    diameters_mm : least and largest diameter of their shapes; smoothing takes off up to 5 %, the pleura more
    distractors : fewest and most findings that are not nodules
    """

    name: str
    extent_mm: int
    sides: tuple[Laterality, ...]
    pixels: int
    pixel_mm: float
    thicknesses_mm: tuple[float, ...]
    nodules: tuple[int, int]
    diameters_mm: tuple[float, float]
    distractors: tuple[int, int]


ADULT = Profile(
    name="adult",
    extent_mm=300,
    sides=(Laterality.RIGHT, Laterality.LEFT),
    pixels=512,
    pixel_mm=350 / 512,
    thicknesses_mm=(1.25, 2.0, 2.5),
    nodules=(4, 7),
    diameters_mm=(4.0, 25.0),
    distractors=(2, 6),
)
SMALL = Profile(
    name="small",
    extent_mm=128,
    sides=(Laterality.RIGHT,),
    pixels=192,
    pixel_mm=0.7,
    thicknesses_mm=(1.25, 2.0),
    nodules=(1, 3),
    diameters_mm=(5.0, 14.0),
    distractors=(1, 2),
)
PROFILES = {profile.name: profile for profile in (ADULT, SMALL)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the scanner model took the CT.

    Parameters
    ----------
    kernel : "SOFT" or "SHARP"
    psf_mm : standard deviation of the in-plane point spread
    edge_gain : strength of the edge enhancement, 0 = none
    noise_hu : standard deviation of the noise in the lung
    thickness_mm : slice thickness and spacing
    """

    kernel: str
    psf_mm: float
    edge_gain: float
    noise_hu: float
    thickness_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueNodule:
    """A nodule that is known to be there.

    Parameters
    ----------
    number : from 1, in order of falling volume
    mask : its voxels on the grid of the CT
    centre_lps : centre of mass of the drawn shape, mm
    volume_mm3 : of the drawn shape, before sampling by the scanner
    diameter_mm : diameter of the sphere of that volume
    attenuation : type that it was drawn as
    malignancy : mean of the 1..5 ratings of the LIDC readers of the nodule that gave its shape
    placement : where it was put
    patient_id : LIDC patient whose outlines gave its shape
    """

    number: int
    mask: CroppedMask
    centre_lps: Point
    volume_mm3: float
    diameter_mm: float
    attenuation: Attenuation
    malignancy: float
    placement: Placement
    patient_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """A synthetic chest CT with known nodules.

    Parameters
    ----------
    seed : all randomness comes from it
    profile : name of the profile
    protocol : how the scanner model took it
    volume_hu : shape (k, j, i), int16, read-only
    grid : its grid in patient space
    lungs : shape of the grid; lungs with the vessels, airways and nodules in them
    nodules : ordered by number
    """

    seed: int
    profile: str
    protocol: Protocol
    volume_hu: HuArray
    grid: Grid
    lungs: BoolArray
    nodules: tuple[TrueNodule, ...]

    @property
    def volume(self) -> Volume:
        """The CT as the pipeline takes it; it has no Frame of Reference before it is written as DICOM."""
        return Volume(volume_hu=self.volume_hu, grid=self.grid, frame_of_reference_uid="")
