"""The own check: every planted mistake is found, and nothing is said about results that are right.

The mistakes are those of which public validators see hardly any: 41 of them, each planted in an otherwise right result.
"""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from pacs_node.report import ReportOptions, SrClass, compose
from pacs_node.report.check import Problem, check
from tests.support.results import (
    WITH_LUNGS,
    Case,
    Pear,
    a_case,
    a_finding,
    a_grid,
    a_refusal,
    a_request,
    as_bytes,
    options,
    parsed,
    read_back,
)

Mistake = Callable[[Dataset, Dataset], None]


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def files(case: Case) -> tuple[bytes, bytes]:
    seg, report = compose(a_request(case))
    return as_bytes(seg.dataset), as_bytes(report.dataset)


@pytest.fixture
def seg_and_report(files: tuple[bytes, bytes]) -> tuple[Dataset, Dataset]:
    return parsed(files[0]), parsed(files[1])


@pytest.mark.parametrize("kind", list(SrClass))
@pytest.mark.parametrize("lungs", [False, True])
def test_a_right_result_has_no_problem(case: Case, kind: SrClass, lungs: bool) -> None:
    documents = read_back(
        compose(
            a_request(case, options=options(sr_class=kind, objects=WITH_LUNGS if lungs else ReportOptions().objects))
        )
    )
    assert check(case.source, documents, case.volume_hu) == ()


def test_a_right_negative_result_has_no_problem() -> None:
    case = a_case(nodules=())
    assert check(case.source, read_back(compose(a_request(case))), case.volume_hu) == ()


def test_a_right_refusal_has_no_problem() -> None:
    request = a_refusal()
    assert check(request.source, read_back(compose(request))) == ()


def test_the_order_of_the_source_does_not_matter(case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    assert check(case.source[::-1], seg_and_report, case.volume_hu[::-1]) == ()


def test_nothing_is_right_about_no_document(case: Case) -> None:
    assert [problem.code for problem in check(case.source, [])] == ["sr.document"]


def test_rubbish_is_a_problem_and_no_exception(case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    seg, report = seg_and_report
    del seg.SharedFunctionalGroupsSequence, seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    del report.ContentSequence, report.CompletionFlag
    codes = {problem.code for problem in check(case.source, [seg, report], case.volume_hu)}
    assert {"seg.geometry", "attributes.required", "sr.document", "sr.groups"} <= codes


def test_texts_never_quote_the_patient(case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    seg, report = seg_and_report
    for document in seg, report:
        document.PatientName, document.PatientID = "Canary^Cara", "CANARY-1"
    problems = check(case.source, [seg, report], case.volume_hu)
    assert problems
    assert not any("canary" in problem.text.casefold() or "Müller" in problem.text for problem in problems)


def _reversed_frames(seg: Dataset, _: Dataset) -> None:
    planes = _planes(seg)
    for number in {_segment(frame) for frame in seg.PerFrameFunctionalGroupsSequence}:
        mine = [n for n, frame in enumerate(seg.PerFrameFunctionalGroupsSequence) if _segment(frame) == number]
        planes[mine] = planes[mine[::-1]]
    _set_planes(seg, planes)


def _mirrored_in_z(seg: Dataset, _: Dataset) -> None:
    _move_positions(seg, lambda k: 31 - k)
    _move_references(seg, lambda k: 31 - k)


def _positions_shifted(seg: Dataset, _: Dataset) -> None:
    _move_positions(seg, lambda k: k + 1)


def _everything_shifted(seg: Dataset, _: Dataset) -> None:
    _move_positions(seg, lambda k: k + 1)
    _move_references(seg, lambda k: k + 1)


def _origin_off_by_a_pixel(seg: Dataset, _: Dataset) -> None:
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[0] += 0.7


def _wrong_pixel_spacing(seg: Dataset, _: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.8]


def _transposed(seg: Dataset, _: Dataset) -> None:
    _set_planes(seg, _planes(seg).transpose(0, 2, 1))


def _big_endian_bits(seg: Dataset, _: Dataset) -> None:
    seg.PixelData = np.packbits(_planes(seg), bitorder="big").tobytes()


def _wrong_slice_distance(seg: Dataset, _: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 2.5


def _wrong_frame_of_reference(seg: Dataset, _: Dataset) -> None:
    seg.FrameOfReferenceUID = "1.2.3.4"


def _unknown_source_instance(seg: Dataset, _: Dataset) -> None:
    _source_item(seg.PerFrameFunctionalGroupsSequence[3]).ReferencedSOPInstanceUID = "1.2.3.4"


def _no_derivation(seg: Dataset, _: Dataset) -> None:
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence


def _no_referenced_series(seg: Dataset, _: Dataset) -> None:
    del seg.ReferencedSeriesSequence


def _other_study(seg: Dataset, report: Dataset) -> None:
    seg.StudyInstanceUID = report.StudyInstanceUID = "1.2.3.4"


def _other_patient(seg: Dataset, _: Dataset) -> None:
    seg.PatientID = "PAT-8"


def _type_with_meaning_lung(seg: Dataset, _: Dataset) -> None:
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning = "Lung"


def _unknown_type(seg: Dataset, _: Dataset) -> None:
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "999999999"


def _no_tracking_uid(seg: Dataset, _: Dataset) -> None:
    del seg.SegmentSequence[0].TrackingUID


def _lossy(seg: Dataset, _: Dataset) -> None:
    seg.LossyImageCompression = "01"


def _wrong_charset(seg: Dataset, report: Dataset) -> None:
    for document in seg, report:
        document.PatientName = "Müller^Jörg".encode().decode("latin-1")


def _a_frame_too_many(seg: Dataset, _: Dataset) -> None:
    seg.NumberOfFrames += 1


def _numbers_from_zero(seg: Dataset, _: Dataset) -> None:
    for segment in seg.SegmentSequence:
        segment.SegmentNumber -= 1
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber -= 1


def _no_algorithm_name(seg: Dataset, _: Dataset) -> None:
    del seg.SegmentSequence[0].SegmentAlgorithmName


def _group_without_tracking_uid(_: Dataset, report: Dataset) -> None:
    items = _groups(report)[0].ContentSequence
    items.remove(_named(_groups(report)[0], "112040"))


def _another_tracking_uid(_: Dataset, report: Dataset) -> None:
    for group in _groups(report)[:2]:
        _named(group, "112040").UID = "1.2.3.4"


def _volume_unit(unit: str, meaning: str) -> Mistake:
    def plant(_: Dataset, report: Dataset) -> None:
        code = _measured(report, 0, "118565006").MeasurementUnitsCodeSequence[0]
        code.CodeValue, code.CodeMeaning = unit, meaning

    return plant


def _volume_by_thickness(_: Dataset, report: Dataset) -> None:
    _scale(report, 0, "118565006", 1.0 / 1.25)


def _radius_as_axis(_: Dataset, report: Dataset) -> None:
    _scale(report, 1, "103339001", 0.5)


def _radius_as_axis_with_its_line(_: Dataset, report: Dataset) -> None:
    _radius_as_axis(_, report)
    line = _named(_groups(report)[1], "103339001").ContentSequence[0]
    first, last = np.reshape(line.GraphicData, (2, 2))
    line.GraphicData = [*first, *((first + last) / 2.0)]


def _fraction(_: Dataset, report: Dataset) -> None:
    _set_number(_measured(report, 0, "111047"), "0.008")


def _certainty_as_fraction(_: Dataset, report: Dataset) -> None:
    _set_number(_measured(report, 0, "111012"), "0.9")


def _swapped_coordinates(_: Dataset, report: Dataset) -> None:
    line = _named(_groups(report)[1], "103339001").ContentSequence[0]
    line.GraphicData = np.reshape(line.GraphicData, (2, 2))[:, ::-1].ravel().tolist()


def _no_evidence(_: Dataset, report: Dataset) -> None:
    del report.CurrentRequestedProcedureEvidenceSequence


def _no_seg_in_evidence(seg: Dataset, report: Dataset) -> None:
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    series.remove(next(item for item in series if item.SeriesInstanceUID == seg.SeriesInstanceUID))


def _wrong_segment(_: Dataset, report: Dataset) -> None:
    _named(_groups(report)[0], "121191").ReferencedSOPSequence[0].ReferencedSegmentNumber = 9


def _exchanged_segments(_: Dataset, report: Dataset) -> None:
    for group, number in zip(_groups(report)[::2], (2, 1), strict=True):
        _named(group, "121191").ReferencedSOPSequence[0].ReferencedSegmentNumber = number


def _finding_with_meaning_mass(_: Dataset, report: Dataset) -> None:
    _named(_groups(report)[0], "121071").ConceptCodeSequence[0].CodeMeaning = "Mass"


def _retired_scheme(_: Dataset, report: Dataset) -> None:
    name = _named(_groups(report)[1], "103339001").ConceptNameCodeSequence[0]
    name.CodeValue, name.CodingSchemeDesignator = "G-A185", "SRT"


def _verified(_: Dataset, report: Dataset) -> None:
    report.VerificationFlag = "VERIFIED"


def _no_coordinates(_: Dataset, report: Dataset) -> None:
    container = _child(report, "126010")
    container.ContentSequence = _groups(report)[::2]


def _no_observer(_: Dataset, report: Dataset) -> None:
    observer = ("121005", "121012", "121013", "121014", "121015", "121016")
    report.ContentSequence = [item for item in report.ContentSequence if _name(item) not in observer]


def _wrong_relationship(_: Dataset, report: Dataset) -> None:
    _child(report, "121049").RelationshipType = "CONTAINS"


def _other_name(seg: Dataset, _: Dataset) -> None:
    seg.PatientName = "Maier^Jörg"


LISTED: dict[str, tuple[Mistake, set[str]]] = {
    "slice order reversed inside each segment (pixels), headers untouched": (
        _reversed_frames,
        {"seg.on_anatomy", "sr.values"},
    ),
    "whole volume mirrored in z: plane positions and sources taken from slice N-1-k": (
        _mirrored_in_z,
        {"seg.on_anatomy", "sr.values"},
    ),
    "plane positions shifted by one slice, source image references right": (
        _positions_shifted,
        {"seg.on_anatomy", "seg.references", "sr.values"},
    ),
    "plane positions and source images both shifted by one slice (self-consistent)": (
        _everything_shifted,
        {"seg.on_anatomy", "sr.values"},
    ),
    "in-plane origin off by one pixel in x": (_origin_off_by_a_pixel, {"seg.geometry", "sr.values"}),
    "pixel spacing rows and columns wrong (0.7\\0.8)": (
        _wrong_pixel_spacing,
        {"seg.geometry", "seg.on_anatomy", "sr.values"},
    ),
    "rows and columns transposed in the pixels": (_transposed, {"seg.on_anatomy", "sr.values"}),
    "bits packed in big-endian order inside bytes": (_big_endian_bits, {"sr.values"}),
    "SpacingBetweenSlices 2.5 instead of 1.25": (_wrong_slice_distance, {"seg.geometry"}),
    "wrong FrameOfReferenceUID": (_wrong_frame_of_reference, {"seg.geometry"}),
    "a frame references a CT instance that does not exist": (_unknown_source_instance, {"seg.references"}),
    "no DerivationImageSequence anywhere": (_no_derivation, {"seg.references"}),
    "no ReferencedSeriesSequence": (_no_referenced_series, {"seg.references"}),
    "other StudyInstanceUID": (_other_study, {"id.patient_study", "sr.evidence"}),
    "other PatientID": (_other_patient, {"id.patient_study"}),
    "segment type code wrong: (27925004) with meaning Lung": (_type_with_meaning_lung, {"codes.known"}),
    "segment type code does not exist": (_unknown_type, {"codes.known"}),
    "Tracking UID missing while Tracking ID present": (_no_tracking_uid, {"seg.segments", "sr.values"}),
    "LossyImageCompression 01 although nothing was lossy": (_lossy, {"image.lossy"}),
    "ISO_IR 100 declared while the bytes are UTF-8": (_wrong_charset, {"id.patient_study", "text.charset"}),
    "NumberOfFrames one too many": (_a_frame_too_many, {"seg.geometry", "sr.values"}),
    "segment numbers start at 0": (_numbers_from_zero, {"seg.segments", "sr.values"}),
    "segment algorithm name missing": (_no_algorithm_name, {"seg.segments"}),
    "Tracking Unique Identifier missing in one group": (_group_without_tracking_uid, {"sr.groups", "sr.values"}),
    "Tracking UID differs from the SEG": (_another_tracking_uid, {"sr.values"}),
    "volume value in mm3 but unit says cm3": (_volume_unit("cm3", "cubic centimeter"), {"sr.values"}),
    "volume with unit mm2": (_volume_unit("mm2", "square millimeter"), {"sr.values"}),
    "volume computed with slice thickness 1.0": (_volume_by_thickness, {"sr.values"}),
    "long axis is a radius": (_radius_as_axis, {"sr.values"}),
    "probability stored as a fraction 0.008 %": (_fraction, {"sr.values"}),
    "line drawn on row/column swapped coordinates": (_swapped_coordinates, {"sr.values"}),
    "evidence sequence missing": (_no_evidence, {"sr.evidence"}),
    "SEG missing from the evidence": (_no_seg_in_evidence, {"sr.evidence"}),
    "Referenced Segment points at segment 9": (_wrong_segment, {"sr.values"}),
    "finding code (27925004) with meaning Mass": (_finding_with_meaning_mass, {"codes.known"}),
    "retired SRT designator for long axis": (_retired_scheme, {"codes.known", "sr.values"}),
    "VERIFIED without a verifying observer": (_verified, {"sr.document"}),
    "no SCOORD in the report (segment references only)": (_no_coordinates, {"sr.groups"}),
    "Observer context and device UID left out": (_no_observer, {"sr.document"}),
    "relationship type CONTAINS where HAS CONCEPT MOD is required (language)": (_wrong_relationship, {"sr.document"}),
    "patient name differs": (_other_name, {"id.patient_study", "text.charset"}),
}
"""The 41 mistakes of the list, in its words, each with the parts of the check that have to find it."""

FURTHER: dict[str, tuple[Mistake, set[str]]] = {
    "volume in mm": (_volume_unit("mm", "mm"), {"sr.values"}),
    "long axis and its line are a radius": (_radius_as_axis_with_its_line, {"sr.values"}),
    "certainty as a fraction": (_certainty_as_fraction, {"sr.values"}),
    "segments exchanged": (_exchanged_segments, {"sr.values"}),
    "a unit that results never use": (_volume_unit("cm3", "cubic centimeter"), {"codes.known"}),
    "tracking that no segment has": (_another_tracking_uid, {"sr.groups"}),
}
MISTAKES = LISTED | FURTHER


def test_the_list_has_41_mistakes() -> None:
    assert len(LISTED) == 41


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake: str, case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    """In documents that were written and read again."""
    plant, expected = MISTAKES[mistake]
    seg, report = seg_and_report
    plant(seg, report)
    documents = [parsed(as_bytes(seg)), parsed(as_bytes(report))]
    assert expected - _codes(check(case.source, documents, case.volume_hu)) == set()


@pytest.mark.parametrize("seed", range(8))
def test_measurements_of_odd_shapes_pass(seed: int) -> None:
    """Blobs with holes and islands on pixels that are not square: the check measures as the product does."""
    rng = np.random.default_rng(seed)
    grid = dataclasses.replace(a_grid((12, 24, 24)), spacing_mm=(1.25, *rng.uniform(0.4, 1.0, 2)))
    case = a_case(nodules=(), grid=grid)
    mask = ndimage.gaussian_filter(rng.normal(size=(12, 24, 24)), 2.0) > 0.08
    findings = (a_finding(grid, case.volume_hu, mask, 1),)
    request = a_request(case, result=dataclasses.replace(case.result, findings=findings))
    assert _codes(check(case.source, read_back(compose(request)), case.volume_hu)) == set()


@pytest.mark.parametrize("shape", [(8, 63, 65), (8, 30, 50)], ids=["odd", "no multiple of 8"])
def test_frames_that_do_not_fill_bytes_pass(shape: tuple[int, int, int]) -> None:
    case = a_case([Pear(centre_kji=(4, 14, 20), diameter_mm=6.0)], grid=a_grid(shape))
    assert check(case.source, read_back(compose(a_request(case))), case.volume_hu) == ()


def test_a_volume_read_upside_down_is_found_by_anatomy_alone(case: Case) -> None:
    """The HU of the report agree with the masks here, since both were made on the same wrong volume."""
    upside_down = case.volume_hu[::-1]
    assert _codes(check(case.source, read_back(compose(a_request(case))), upside_down)) >= {"seg.on_anatomy"}


def test_two_numbers_of_one_value_that_differ_are_found(case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    seg, report = seg_and_report
    _measured(report, 0, "118565006").FloatingPointValue += 0.5
    assert _codes(check(case.source, [seg, report])) == {"sr.values"}


@pytest.mark.parametrize("seed", range(15))
def test_no_damage_raises(seed: int, case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    """Attributes anywhere in the documents are deleted or emptied; a text says what cannot be examined."""
    rng = random.Random(seed)
    for document in seg_and_report:
        for _ in range(3):
            holder, tag = rng.choice(list(_attributes(document)))
            if rng.random() < 0.5:
                holder[tag].value = [] if holder[tag].VR == "SQ" else None
            else:
                del holder[tag]
    assert check(case.source, seg_and_report, case.volume_hu) is not None


def test_lost_segments_of_an_overlap_are_found(case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    seg, report = seg_and_report
    planes = _planes(seg)
    frames = seg.PerFrameFunctionalGroupsSequence
    second = [n for n, frame in enumerate(frames) if _segment(frame) == 2]
    planes[second] |= planes[0]
    for n in second:
        frames[n].PlanePositionSequence = copy.deepcopy(frames[0].PlanePositionSequence)
    _set_planes(seg, planes)
    texts = [problem.text for problem in check(case.source, [seg, report], case.volume_hu)]
    assert any("overlap" in text for text in texts)


def test_a_document_outside_its_study_date_is_found(case: Case, seg_and_report: tuple[Dataset, Dataset]) -> None:
    seg, report = seg_and_report
    report.StudyDate = "20260304"
    assert _codes(check(case.source, [seg, report])) == {"id.patient_study"}


def _codes(problems: tuple[Problem, ...]) -> set[str]:
    return {problem.code for problem in problems}


def _attributes(dataset: Dataset) -> Iterator[tuple[Dataset, int]]:
    for element in dataset:
        yield dataset, element.tag
        if element.VR == "SQ":
            for item in element.value:
                yield from _attributes(item)


def _planes(seg: Dataset) -> NDArray[np.uint8]:
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    return bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)


def _set_planes(seg: Dataset, planes: Any) -> None:
    seg.PixelData = np.packbits(planes, bitorder="little").tobytes()


def _segment(frame: Dataset) -> int:
    return int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _source_item(frame: Dataset) -> Dataset:
    return frame.DerivationImageSequence[0].SourceImageSequence[0]


def _move_positions(seg: Dataset, moved: Callable[[int], int]) -> None:
    """The builder's slice k lies at z = 1.25 k - 100."""
    for frame in seg.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        position[2] = 1.25 * moved(round((position[2] + 100.0) / 1.25)) - 100.0


def _move_references(seg: Dataset, moved: Callable[[int], int]) -> None:
    """The builder's slice k is the instance that ends in k + 1."""
    items = [_source_item(frame) for frame in seg.PerFrameFunctionalGroupsSequence]
    for item in [*items, *seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence, *seg.SourceImageSequence]:
        root, number = item.ReferencedSOPInstanceUID.rsplit(".", 1)
        item.ReferencedSOPInstanceUID = f"{root}.{moved(int(number) - 1) + 1}"


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _children(item: Dataset, code: str) -> Iterator[Dataset]:
    return (child for child in item.ContentSequence if _name(child) == code)


def _child(item: Dataset, code: str) -> Dataset:
    return next(_children(item, code))


def _named(group: Dataset, code: str) -> Dataset:
    return _child(group, code)


def _groups(report: Dataset) -> list[Dataset]:
    return list(_child(report, "126010").ContentSequence)


def _measured(report: Dataset, group: int, code: str) -> Dataset:
    return _named(_groups(report)[group], code).MeasuredValueSequence[0]


def _scale(report: Dataset, group: int, code: str, factor: float) -> None:
    measured = _measured(report, group, code)
    _set_number(measured, f"{float(measured.NumericValue) * factor:.1f}")


def _set_number(measured: Dataset, text: str) -> None:
    measured.NumericValue, measured.FloatingPointValue = text, float(text)
