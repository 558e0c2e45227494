"""Results to put into DICOM: a small CT of pear-shaped nodules in lung, and what is found in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from scipy import ndimage

from inference.contract import SeriesLimits
from inference.eligibility import Eligibility, judge
from inference.findings import CroppedMask, Finding, Laterality, ModelUse, Result
from inference.geometry import FloatArray, Grid, Point
from inference.measure import measure
from inference.series import load, read_headers
from inference.volume import BoolArray, HuArray, Volume
from pacs_node.domain.rule import Reason
from pacs_node.report import Document, DocumentRole, ReportOptions, ReportRequest, ResultIdentity

COMPOSED_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STUDY_UID, SERIES_UID, FRAME_UID = "1.2.826.0.1.1", "1.2.826.0.1.1.1", "1.2.826.0.1.9"
ANY_SERIES = SeriesLimits(
    slice_thickness_mm=(0.0, 100.0),
    slice_spacing_mm=(0.0, 100.0),
    pixel_spacing_mm=(0.0, 100.0),
    minimum_slices=1,
    minimum_coverage_mm=0.0,
)
WITH_LUNGS = ReportOptions().objects | {DocumentRole.LUNGS}
A_MODEL = ModelUse(role="detector", name="jnsc", version=3, sha256="ab" * 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pear:
    """A nodule to be put into the CT: a sphere and a smaller one towards the head, the back and the left.

    No mirror image of it is itself, so that no mistake of order or side can hide.
    """

    centre_kji: tuple[float, float, float]
    diameter_mm: float
    hu: int = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A CT with what was found in it."""

    source: tuple[Dataset, ...]
    volume_hu: HuArray
    result: Result


NODULES = (
    Pear(centre_kji=(10.0, 22.3, 18.0), diameter_mm=9.0),
    Pear(centre_kji=(19.4, 36.0, 42.0), diameter_mm=6.5, hu=-60),
)


def a_grid(shape_kji: tuple[int, int, int] = (32, 64, 64), spacing_mm: float = 1.25) -> Grid:
    """An axial grid from feet to head with pixels of 0.7 mm."""
    return Grid(
        shape_kji=shape_kji,
        spacing_mm=(spacing_mm, 0.7, 0.7),
        origin_lps=(-30.5, -20.25, -100.0),
        directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )


def a_case(nodules: Sequence[Pear] = NODULES, grid: Grid | None = None, **header: Any) -> Case:
    """A CT with these nodules, all found exactly; `header` overrides attributes of every instance."""
    grid = grid or a_grid()
    volume_hu = np.full(grid.shape_kji, -850, np.int16)
    masks = [_mask(grid, nodule) for nodule in nodules]
    for mask, nodule in zip(masks, nodules, strict=True):
        volume_hu[mask] = nodule.hu
    volume_hu += np.random.default_rng(7).integers(-15, 16, grid.shape_kji).astype(np.int16)
    lungs = np.zeros(grid.shape_kji, bool)
    lungs[2:-2, 4:-4, 4:-4] = True
    findings = tuple(a_finding(grid, volume_hu, mask, number) for number, mask in enumerate(masks, start=1))
    return Case(
        source=tuple(a_ct_header(grid, k, **header) for k in range(grid.shape_kji[0])),
        volume_hu=volume_hu,
        result=Result(
            grid=grid, findings=findings, lungs=lungs, models=(A_MODEL,), malignancy_labels="median of ratings"
        ),
    )


def a_finding(grid: Grid, volume_hu: HuArray, mask: BoolArray, number: int) -> Finding:
    """The finding of a mask."""
    start = [int(axis.min()) for axis in np.nonzero(mask)]
    stop = [int(axis.max()) + 1 for axis in np.nonzero(mask)]
    box = tuple(slice(first, last) for first, last in zip(start, stop, strict=True))
    cropped = CroppedMask(start_kji=(start[0], start[1], start[2]), voxels=mask[box])
    measured = measure(cropped, Volume(volume_hu=volume_hu, grid=grid, frame_of_reference_uid=FRAME_UID))
    values = {field.name: getattr(measured, field.name) for field in dataclasses.fields(measured)}
    return Finding(
        number=number,
        mask=cropped,
        outlined_by="jnsc",
        laterality=Laterality.RIGHT if number % 2 else Laterality.LEFT,
        score=0.9,
        malignancy=0.25,
        **values,
    )


def a_request(case: Case, **fields: Any) -> ReportRequest:
    """A request for the case; `fields` replace those of the request, `options` and `identity` included."""
    request = ReportRequest(
        source=case.source,
        volume=Volume(volume_hu=case.volume_hu, grid=case.result.grid, frame_of_reference_uid=FRAME_UID),
        result=case.result,
        identity=an_identity(case.result.models),
        composed_at=COMPOSED_AT,
    )
    return dataclasses.replace(request, **fields)


def a_refusal(*reasons: Reason, **fields: Any) -> ReportRequest:
    """A request for a study that was not analysed."""
    header = a_ct_header(a_grid(), 0)
    given = reasons or (Reason(code="series.gap", text="Slices are missing."),)
    request = ReportRequest(source=(header,), identity=an_identity(()), composed_at=COMPOSED_AT, reasons=given)
    return dataclasses.replace(request, **fields)


def an_identity(models: tuple[ModelUse, ...] = (A_MODEL,), **fields: Any) -> ResultIdentity:
    """The identity of the case's result."""
    identity = ResultIdentity(
        study_instance_uid=STUDY_UID,
        series_instance_uid=SERIES_UID,
        pipeline="jnsc",
        models=models,
        input_digest="00ff",
    )
    return dataclasses.replace(identity, **fields)


def options(**fields: Any) -> ReportOptions:
    """Report options that differ from the default in `fields`."""
    return ReportOptions(**fields)


def read_back(documents: Sequence[Document]) -> list[Dataset]:
    """The documents as another program would read them: written to bytes and parsed again."""
    return [parsed(as_bytes(document.dataset)) for document in documents]


def as_bytes(dataset: Dataset) -> bytes:
    """The file of a document."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def parsed(file: bytes) -> Dataset:
    """A document from its file."""
    return dcmread(BytesIO(file))


def a_ct_header(grid: Grid, k: int, **header: Any) -> Dataset:
    """Header of the CT instance that is slice k of the grid."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{SERIES_UID}.{k + 1}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    dataset.FrameOfReferenceUID, dataset.Modality = FRAME_UID, "CT"
    dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = "Müller^Jörg", "PAT-7", "HOSPITAL"
    dataset.PatientBirthDate, dataset.PatientSex = "19500102", "M"
    dataset.StudyID, dataset.StudyDate, dataset.StudyTime = "S1", "20260303", "101500"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "ACC-1", "Ärztin^Anna"
    dataset.Manufacturer, dataset.ManufacturerModelName = "ScannerWorks", "S-1"
    dataset.Rows, dataset.Columns = grid.shape_kji[1:]
    dataset.PixelSpacing = [grid.spacing_mm[1], grid.spacing_mm[2]]
    dataset.SliceThickness = grid.spacing_mm[0]
    dataset.ImageOrientationPatient = [*grid.directions[2], *grid.directions[1]]
    dataset.ImagePositionPatient = [round(float(value), 6) for value in grid.lps_from_kji((k, 0, 0))]
    dataset.InstanceNumber = k + 1
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return dataset


def _mask(grid: Grid, nodule: Pear) -> BoolArray:
    tail = np.asarray(nodule.centre_kji) + 0.5 * nodule.diameter_mm / np.asarray(grid.spacing_mm)
    return _sphere(grid, nodule.centre_kji, nodule.diameter_mm) | _sphere(grid, tail, 0.5 * nodule.diameter_mm)


def _sphere(grid: Grid, centre_kji: Any, diameter_mm: float) -> BoolArray:
    k, j, i = np.ogrid[: grid.shape_kji[0], : grid.shape_kji[1], : grid.shape_kji[2]]
    squares = [
        ((index - at) * step) ** 2 for index, at, step in zip((k, j, i), centre_kji, grid.spacing_mm, strict=True)
    ]
    return np.asarray(squares[0] + squares[1] + squares[2] <= (diameter_mm / 2.0) ** 2)


def an_enhanced_source(case: Case) -> tuple[Dataset, tuple[int, ...]]:
    """The CT of the case as one Enhanced instance whose frames lie in reverse order, and the frame of every k."""
    first, count = case.source[0], len(case.source)
    instance = Dataset()
    instance.update(first)
    del instance.ImagePositionPatient, instance.ImageOrientationPatient, instance.PixelSpacing, instance.SliceThickness
    instance["SOPClassUID"] = DataElement("SOPClassUID", "UI", EnhancedCTImageStorage)
    instance.NumberOfFrames = count
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    instance.SharedFunctionalGroupsSequence = [shared]
    instance.PerFrameFunctionalGroupsSequence = [_frame_item(header) for header in reversed(case.source)]
    return instance, tuple(range(count, 0, -1))


def _frame_item(header: Dataset) -> Dataset:
    frame, position = Dataset(), Dataset()
    position.ImagePositionPatient = header.ImagePositionPatient
    frame.PlanePositionSequence = [position]
    return frame


def balls_hu(points_lps: FloatArray) -> FloatArray:
    """Lung with a ball and, elsewhere, an egg with a tip towards the head, the back and the left; for `a_series`."""
    ball = np.linalg.norm(points_lps - (-12.0, 5.0, -14.0), axis=-1) < 6.0
    egg = np.linalg.norm((points_lps - (10.0, -6.0, 12.0)) / (1.0, 1.5, 2.0), axis=-1) < 5.0
    tip = np.linalg.norm(points_lps - (14.0, -1.0, 19.0), axis=-1) < 4.0
    return np.where(ball | egg | tip, 30.0, -850.0)


def air_hu(points_lps: FloatArray) -> FloatArray:
    """Nothing but lung; for `a_series`."""
    return np.full(points_lps.shape[:-1], -850.0)


def case_from_files(paths: Sequence[Path]) -> tuple[Case, tuple[int, ...]]:
    """A series on disk with everything above -500 HU as findings; and the frame of every k if it is an Enhanced CT."""
    eligibility, volume = _loaded(paths)
    components, count = ndimage.label(volume.volume_hu > -500)
    case = _found(eligibility, volume, [components == number for number in range(1, count + 1)])
    return case, tuple(item.frame for item in eligibility.slices if item.frame)


def real_case(paths: Sequence[Path], *, centre_lps: Point, radius_mm: float) -> Case:
    """A real CT with what is denser than -400 HU and not further than this from a point as its finding."""
    eligibility, volume = _loaded(paths)
    centre_kji = volume.grid.kji_from_lps(centre_lps)
    near = _sphere(volume.grid, centre_kji, 2.0 * radius_mm) & (volume.volume_hu > -400)
    components, _ = ndimage.label(ndimage.binary_opening(near))
    return _found(eligibility, volume, [components == components[tuple(np.rint(centre_kji).astype(int))]])


def case_of_masks(paths: Sequence[Path], masks: Sequence[CroppedMask]) -> Case:
    """A series on disk with these masks, on its own grid, as what was found."""
    eligibility, volume = _loaded(paths)
    whole = [np.zeros(volume.grid.shape_kji, bool) for _ in masks]
    for mask, array in zip(masks, whole, strict=True):
        array[mask.box] = mask.voxels
    return _found(eligibility, volume, whole)


def _loaded(paths: Sequence[Path]) -> tuple[Eligibility, Volume]:
    (series,) = read_headers(paths)
    eligibility = judge(series, ANY_SERIES)
    assert eligibility.grid is not None, eligibility.reasons
    return eligibility, load(eligibility.slices, eligibility.grid)


def _found(eligibility: Eligibility, volume: Volume, masks: Sequence[BoolArray]) -> Case:
    grid, volume_hu = volume.grid, volume.volume_hu
    findings = tuple(a_finding(grid, volume_hu, mask, number) for number, mask in enumerate(masks, start=1))
    result = Result(
        grid=grid, findings=findings, lungs=volume_hu < 0, models=(A_MODEL,), malignancy_labels="median of ratings"
    )
    source = tuple(dcmread(item.path, stop_before_pixels=True) for item in eligibility.slices)
    return Case(source=source, volume_hu=volume_hu, result=result)
