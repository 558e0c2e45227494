"""A phantom as a CT Image Storage series that says everywhere that it is synthetic, with `truth.json` beside it.

UIDs derive from the seed and the pixels: the same phantom is always the same series, and one that came out otherwise
(another version of this code) is another series, never the same UID with other content. Used by `__main__` and tests.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from training.data.phantom.model import Phantom
from training.data.phantom.truth import truth_json

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "pulmonode.phantom")
LABEL = "SYNTHETIC PHANTOM"
DATE, TIME = "20260101", "120000"  # fixed, so that the same seed gives the same file
INTERCEPT_HU = -1024
LUNG_WINDOW_HU = (-600, 1500)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesIdentity:
    """UIDs of a phantom's series; `instance_uids` in the order of the slices of the volume."""

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    instance_uids: tuple[str, ...]


def identity(phantom: Phantom) -> SeriesIdentity:
    """UIDs of the series of a phantom (PS3.5 section B.2: 2.25. and a UUID as a decimal number)."""
    content = hashlib.sha256(phantom.volume_hu.tobytes()).hexdigest()

    def uid(*role: object) -> str:
        return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps([phantom.seed, phantom.profile, content, *role])).int}"

    return SeriesIdentity(
        study_uid=uid("study"),
        series_uid=uid("series"),
        frame_of_reference_uid=uid("frame of reference"),
        instance_uids=tuple(uid("instance", k) for k in range(len(phantom.volume_hu))),
    )


def write(phantom: Phantom, directory: Path, *, transfer_syntax: str = ExplicitVRLittleEndian) -> list[Path]:
    """Write a phantom as one DICOM file a slice; `truth.json` comes last, so where it is the series is complete.

    Parameters
    ----------
    phantom : what to write
    directory : made if it is not there
    transfer_syntax : an uncompressed one, JPEG-LS lossless (1.2.840.10008.1.2.4.80) or RLE (1.2.840.10008.1.2.5)

    Returns
    -------
    the DICOM files in the order of their instance numbers, from the head to the feet
    """
    directory.mkdir(parents=True, exist_ok=True)
    uids = identity(phantom)
    paths = []
    for number, k in enumerate(reversed(range(len(phantom.volume_hu))), start=1):
        instance = _instance(phantom, uids, k, number)
        _encode(instance, UID(transfer_syntax))
        paths.append(directory / f"CT{number:04d}.dcm")
        instance.save_as(paths[-1], enforce_file_format=True)
    (directory / "truth.json").write_text(truth_json(phantom, uids.study_uid, uids.series_uid))
    return paths


def _instance(phantom: Phantom, uids: SeriesIdentity, k: int, number: int) -> Dataset:
    """One slice, not yet encoded."""
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.SOPClassUID = CTImageStorage
    instance.SOPInstanceUID = uids.instance_uids[k]
    instance.InstanceNumber = number
    _describe_study(instance, phantom, uids)
    _describe_series(instance, phantom, uids)
    _describe_pixels(instance, phantom, k)
    return instance


def _describe_study(instance: Dataset, phantom: Phantom, uids: SeriesIdentity) -> None:
    instance.PatientName = "PHANTOM^SYNTHETIC"
    instance.PatientID = f"SYNTHETIC-{phantom.seed}"
    instance.PatientBirthDate = ""
    instance.PatientSex = ""
    instance.PatientComments = f"{LABEL}: drawn by a computer, not a patient"
    instance.StudyInstanceUID = uids.study_uid
    instance.StudyDescription = f"{LABEL} chest CT"
    instance.StudyID = f"{phantom.seed}"[:16]
    instance.AccessionNumber = ""
    instance.ReferringPhysicianName = ""
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(instance, f"{name}Date", DATE)
        setattr(instance, f"{name}Time", TIME)


def _describe_series(instance: Dataset, phantom: Phantom, uids: SeriesIdentity) -> None:
    protocol = phantom.protocol
    instance.Modality = "CT"
    instance.SeriesInstanceUID = uids.series_uid
    instance.SeriesNumber = 1
    instance.AcquisitionNumber = 1
    instance.SeriesDescription = f"{LABEL} {protocol.kernel} {protocol.thickness_mm:g} mm"
    instance.BodyPartExamined = "CHEST"
    instance.PatientPosition = "HFS"
    instance.FrameOfReferenceUID = uids.frame_of_reference_uid
    instance.PositionReferenceIndicator = ""
    instance.Manufacturer = "PulmoNode"
    instance.ManufacturerModelName = LABEL
    instance.KVP = 120
    instance.ConvolutionKernel = f"SYNTHETIC {protocol.kernel}"
    instance.SliceThickness = f"{protocol.thickness_mm:g}"


def _describe_pixels(instance: Dataset, phantom: Phantom, k: int) -> None:
    grid = phantom.grid
    instance.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    instance.DerivationDescription = f"{LABEL}: drawn by a computer, not acquired"
    instance.ImageComments = f"{LABEL}: not for diagnosis"
    instance.SyntheticData = "YES"
    instance.BurnedInAnnotation = "NO"
    instance.LossyImageCompression = "00"
    instance.ImagePositionPatient = [_decimal(at) for at in grid.lps_from_kji((k, 0, 0))]
    instance.ImageOrientationPatient = [*grid.directions[2], *grid.directions[1]]
    instance.SliceLocation = instance.ImagePositionPatient[2]
    instance.PixelSpacing = [_decimal(spacing) for spacing in grid.spacing_mm[1:]]
    instance.Rows, instance.Columns = grid.shape_kji[1:]
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.BitsAllocated, instance.BitsStored, instance.HighBit, instance.PixelRepresentation = 16, 12, 11, 0
    instance.RescaleIntercept, instance.RescaleSlope, instance.RescaleType = INTERCEPT_HU, 1, "HU"
    instance.WindowCenter, instance.WindowWidth = LUNG_WINDOW_HU
    instance.PixelData = (phantom.volume_hu[k] - INTERCEPT_HU).astype("<u2").tobytes()


def _decimal(value: float) -> str:
    """At most 16 characters (PS3.5 section 6.2, DS), which is finer than a nanometre here."""
    return f"{value + 0.0:.9g}"


def _encode(instance: Dataset, transfer_syntax: UID) -> None:
    if transfer_syntax.is_compressed:
        stored_ji = np.frombuffer(instance.PixelData, "<u2").reshape(instance.Rows, -1)
        instance.compress(transfer_syntax, stored_ji, generate_instance_uid=False)
    else:
        instance.file_meta.TransferSyntaxUID = transfer_syntax
