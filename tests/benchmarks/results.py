"""The CPU seconds of SEG and SR of 20 nodules on 300 slices, as the node and the plain libraries write them.

Both see the same nodules in the same run, so that the figures can be compared on a busy machine too.
"""

from __future__ import annotations

import io
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from highdicom import sr
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from pacs_node.report import ReportRequest, codes
from pacs_node.report.encoding import file_bytes
from pacs_node.report.measurements import algorithm_of, tracking_identifier, tracking_uid
from pacs_node.report.segmentation import nodule_segment, nodule_segmentation
from pacs_node.report.structured import structured_report
from tests.benchmarks.goals import Goal, Measured
from tests.support.results import Case, Pear, a_case, a_grid, a_request

NODULES, SLICES = 20, 300
REPEATS = 5
MOST_S = 0.35
"""Of CPU, for SEG, SR and their bytes together."""

OURS = ("SEG", "SR", "their bytes")
DEVICE = {
    "series_instance_uid": "1.2.3",
    "series_number": 1,
    "sop_instance_uid": "1.2.4",
    "instance_number": 1,
    "manufacturer": "X",
    "manufacturer_model_name": "X",
    "software_versions": "X",
    "device_serial_number": "X",
}


def measured() -> Measured:
    """What the node and plain highdicom need."""
    seconds = measure()
    rows = [f"  {name:62} {value:7.2f}" for name, value in seconds.items()]
    goal = Goal(
        what="SEG, SR and their bytes, CPU seconds",
        value=sum(seconds[name] for name in OURS),
        bound=MOST_S,
        is_least=False,
    )
    return Measured(
        text="\n".join([f"SEG and SR of {NODULES} nodules on {SLICES} slices, CPU seconds", *rows]), goals=(goal,)
    )


def measure() -> dict[str, float]:
    """CPU seconds, the median of five: SEG, SR and their bytes by the node and by the plain libraries."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)
    case = a_large_case()
    request = a_request(case)
    seg = nodule_segmentation(request, case.result)
    report = structured_report(request, [seg])
    return {
        "SEG": _cpu_s(lambda: nodule_segmentation(request, case.result)),
        "SR": _cpu_s(lambda: structured_report(request, [seg])),
        "their bytes": _cpu_s(lambda: [file_bytes(dataset) for dataset in (seg, report)]),
        "SEG by plain highdicom": _cpu_s(lambda: plain_segmentation(request, case)),
        "SR by plain highdicom": _cpu_s(lambda: plain_report(request, case, seg)),
        "their bytes by pydicom": _cpu_s(lambda: [written(dataset) for dataset in (seg, report)]),
    }


def a_large_case(nodules: int = NODULES) -> Case:
    """Nodules of 6 to 13 mm all over the lungs, 11 to 12 slices each."""
    grid = a_grid((SLICES, 512, 512), 1.0)
    places = [(15.0 + (14.0 * n) % 270, 60.0 + (37 * n) % 390, 60.0 + (91 * n) % 390) for n in range(nodules)]
    return a_case([Pear(centre_kji=place, diameter_mm=6.0 + n % 8) for n, place in enumerate(places)], grid)


def plain_segmentation(request: ReportRequest, case: Case) -> Dataset:
    """All slices and masks as they are."""
    labels = np.zeros(case.result.grid.shape_kji, np.uint8)
    for finding in case.result.findings:
        labels[finding.mask.box][finding.mask.voxels] = finding.number
    return Segmentation(
        source_images=case.source,
        pixel_array=labels,
        segmentation_type="BINARY",
        segment_descriptions=[nodule_segment(request, finding, finding.number) for finding in case.result.findings],
        **DEVICE,
    )


def plain_report(request: ReportRequest, case: Case, seg: Dataset) -> Dataset:
    """One `MeasurementReport` with the groups of all nodules, and every slice as evidence."""
    device = sr.DeviceObserverIdentifyingAttributes(uid="1.2.5", name="X")
    observer = sr.ObserverContext(observer_type=codes.DEVICE, observer_identifying_attributes=device)
    groups: list[Any] = []
    for finding in case.result.findings:
        tracking = sr.TrackingIdentifier(
            uid=tracking_uid(request, finding), identifier=tracking_identifier(request, finding)
        )
        common = {
            "tracking_identifier": tracking,
            "finding_type": codes.NODULE,
            "finding_category": codes.MORPHOLOGICALLY_ABNORMAL,
            "finding_sites": [sr.FindingSite(anatomic_location=codes.LUNG)],
        }
        groups += [_volume(request, case, seg, finding, common), _axes(case, finding, common)]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.PROCEDURE_CT,
        imaging_measurements=groups,
    )
    return sr.Comprehensive3DSR(evidence=[*case.source, seg], content=report[0], is_complete=True, **DEVICE)


def _volume(request: ReportRequest, case: Case, seg: Dataset, finding: Any, common: dict[str, Any]) -> Any:
    number, millimetre = float(finding.volume_mm3), codes.MILLIMETRE
    scalars: list[tuple[Code, float, Code]] = [
        (codes.VOLUME, number, codes.CUBIC_MILLIMETRE),
        (codes.DIAMETER, finding.equivalent_diameter_mm, millimetre),
        (codes.CERTAINTY, 100.0 * finding.score, codes.PERCENT),
        (codes.PROBABILITY_OF_CANCER, 100.0 * finding.malignancy, codes.PERCENT),
        (codes.MEAN_ATTENUATION, finding.mean_hu, codes.HOUNSFIELD_UNIT),
        (codes.SD_ATTENUATION, finding.sd_hu, codes.HOUNSFIELD_UNIT),
    ]
    occupied = finding.mask.start_kji[0] + np.flatnonzero(finding.mask.voxels.any(axis=(1, 2)))
    segment = sr.ReferencedSegment(
        sop_class_uid=seg.SOPClassUID,
        sop_instance_uid=seg.SOPInstanceUID,
        segment_number=finding.number,
        source_images=[
            sr.SourceImageForSegmentation(case.source[k].SOPClassUID, case.source[k].SOPInstanceUID) for k in occupied
        ],
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment,
        algorithm_id=algorithm_of(request),
        measurements=[sr.Measurement(name=name, value=round(value, 1), unit=unit) for name, value, unit in scalars],
        **common,
    )


def _axes(case: Case, finding: Any, common: dict[str, Any]) -> Any:
    measurements = []
    for name, axis in ((codes.LONG_AXIS, finding.long_axis), (codes.SHORT_AXIS, finding.short_axis)):
        header = case.source[axis.slice_k]
        line = sr.CoordinatesForMeasurement(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.array([(column + 0.5, row + 0.5) for row, column in axis.ends_ji]),
            source_image=sr.SourceImageForRegion(header.SOPClassUID, header.SOPInstanceUID),
        )
        measurements.append(
            sr.Measurement(
                name=name, value=round(axis.length_mm, 1), unit=codes.MILLIMETRE, referenced_coordinates=[line]
            )
        )
    return sr.MeasurementsAndQualitativeEvaluations(measurements=measurements, **common)


def written(dataset: Dataset) -> bytes:
    """The dataset as a DICOM file, by pydicom."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _cpu_s(build: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        build()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)
