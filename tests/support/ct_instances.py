"""CT instances as datasets and files: pixels, functional groups, encodings. Called from `tests.support.series`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    generate_uid,
)

StoredArray = NDArray[np.integer]

FUNCTIONAL_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "CTAcquisitionDetailsSequence": ("GantryDetectorTilt",),
    "CTReconstructionSequence": ("ConvolutionKernel",),
    "CTImageFrameTypeSequence": ("ImageType",),
}
"""where an Enhanced CT keeps what a single-frame CT has at its top (PS3.3 A.38.1.4)"""


CT_COMMON = {
    "PixelPresentation": "MONOCHROME",
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
}
"""at the top of an Enhanced CT and again in its Frame Type (PS3.3 C.8.16.2)"""


def write_instance(directory: Path, dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a dataset, whose pixels are little endian, in any transfer syntax; the file is named by its number."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{int(dataset.InstanceNumber):04}.dcm"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    if transfer_syntax == ExplicitVRBigEndian and "PixelData" in dataset:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    elif transfer_syntax in {HTJ2KLossless, HTJ2KLosslessRPCL}:
        _compress_htj2k(dataset)
    elif UID(transfer_syntax).is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def edit(path: Path, change: Callable[[Dataset], object]) -> None:
    """Change the dataset of a file."""
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)


def patch(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of a file by as many others, for values that pydicom would not write."""
    content = path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    path.write_bytes(content.replace(old, new))


def override(dataset: Dataset, **attributes: Any) -> None:
    """Set attributes by keyword; None deletes."""
    for keyword, value in attributes.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)


def decimals(*values: float) -> Any:
    """Values of a decimal string, which holds 16 characters."""
    texts = [f"{value:.9g}" for value in values]
    return texts if len(texts) > 1 else texts[0]


def uid(*names: object) -> str:
    """A UID that is the same for the same names."""
    return str(generate_uid(entropy_srcs=["pulmonode tests", *map(str, names)]))


def set_pixels(dataset: Dataset, stored: StoredArray, *, bits_stored: int = 16) -> None:
    """Put one frame of 16-bit pixels, shape (row, column), or several, shape (frame, row, column), into a dataset."""
    override(
        dataset,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=stored.shape[-2],
        Columns=stored.shape[-1],
        BitsAllocated=16,
        BitsStored=bits_stored,
        HighBit=bits_stored - 1,
        PixelRepresentation=int(np.issubdtype(stored.dtype, np.signedinteger)),
    )
    dataset.add_new("PixelData", "OW", stored.astype(stored.dtype.newbyteorder("<")).tobytes())


def enhanced_of(slices: Sequence[Dataset]) -> Dataset:
    """One Enhanced CT of single-frame slices, its frames from head to feet; what all have in common is shared.

    The functional groups that say how the CT was acquired are left out.
    """
    frames = sorted(slices, key=lambda item: int(item.InstanceNumber))
    dataset = Dataset()
    moved = {keyword for keywords in FUNCTIONAL_GROUPS.values() for keyword in keywords}
    for element in frames[0]:
        if element.keyword not in moved:
            dataset.add(element)
    override(
        dataset,
        SOPClassUID=EnhancedCTImageStorage,
        ImageType=[*frames[0].ImageType, "NONE"],
        ContentDate="20260102",
        ContentTime="030405",
        DeviceSerialNumber="1",
        SoftwareVersions="1",
        InstanceNumber=1,
        NumberOfFrames=len(frames),
        PixelData=b"".join(frame.PixelData for frame in frames),
        **CT_COMMON,
    )
    shared, per_frame = Dataset(), [Dataset() for _ in frames]
    for sequence, keywords in FUNCTIONAL_GROUPS.items():
        groups = [_group(frame, keywords) for frame in frames]
        alike = all(group == groups[0] for group in groups)
        for item, group in [(shared, groups[0])] if alike else zip(per_frame, groups, strict=True):
            if len(group):
                setattr(item, sequence, [group])
    for number, item in enumerate(per_frame, start=1):
        item.FrameContentSequence = [Dataset()]
        item.FrameContentSequence[0].FrameAcquisitionNumber = number
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    return dataset


def _group(frame: Dataset, keywords: Sequence[str]) -> Dataset:
    """The item of a functional group; Image Type is called Frame Type there and has a fourth value."""
    group = Dataset()
    for keyword in keywords:
        if keyword == "ImageType":
            override(group, FrameType=[*frame.ImageType, "NONE"], **CT_COMMON)
        elif keyword in frame:
            setattr(group, keyword, frame[keyword].value)
    return group


def _compress_htj2k(dataset: Dataset) -> None:
    """OpenJPH writes resolution by resolution (RPCL) by itself, and the lengths that PS3.5 A.4.4 asks for with it."""
    dtype = np.dtype("<i2" if dataset.PixelRepresentation else "<u2")
    frames = np.frombuffer(dataset.PixelData, dtype).reshape(-1, dataset.Rows, dataset.Columns)
    encoded = [bytes(imagecodecs.htj2k_encode(frame, reversible=True, tlm=True)) for frame in frames]
    dataset.PixelData = encapsulate(encoded)
    dataset["PixelData"].VR = "OB"
