"""What compose writes, read back from its bytes with pydicom and numpy."""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.findings import Attenuation, ModelUse
from pacs_node.domain.rule import Reason
from pacs_node.report import DocumentRole, SrClass, compose
from pacs_node.report.check import check
from pacs_node.report.segmentation import nodule_segmentation
from tests.support.results import (
    A_MODEL,
    COMPOSED_AT,
    NODULES,
    SERIES_UID,
    STUDY_UID,
    WITH_LUNGS,
    Case,
    Pear,
    a_case,
    a_grid,
    a_refusal,
    a_request,
    an_enhanced_source,
    an_identity,
    as_bytes,
    options,
    read_back,
)


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def composed(case: Case) -> dict[DocumentRole, Dataset]:
    documents = compose(a_request(case, options=options(objects=WITH_LUNGS)))
    return dict(zip([document.role for document in documents], read_back(documents), strict=True))


def test_a_positive_result_is_a_seg_a_lung_seg_and_a_report(composed: dict[DocumentRole, Dataset]) -> None:
    assert list(composed) == [DocumentRole.SEG, DocumentRole.LUNGS, DocumentRole.SR]
    assert [document.SeriesNumber for document in composed.values()] == [901, 902, 911]
    assert len({document.SeriesInstanceUID for document in composed.values()}) == 3
    assert all(document.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1" for document in composed.values())


def test_every_voxel_of_the_masks_comes_back_at_its_place(case: Case, composed: dict[DocumentRole, Dataset]) -> None:
    seg = composed[DocumentRole.SEG]
    found = _volumes(seg, case)
    for finding in case.result.findings:
        expected = np.zeros(case.result.grid.shape_kji, bool)
        start, shape = finding.mask.start_kji, finding.mask.voxels.shape
        expected[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))] = finding.mask.voxels
        assert (found[finding.number] == expected).all()


def test_the_lungs_come_back_too(case: Case, composed: dict[DocumentRole, Dataset]) -> None:
    assert (_volumes(composed[DocumentRole.LUNGS], case)[1] == case.result.lungs).all()


def test_empty_frames_are_left_out(case: Case, composed: dict[DocumentRole, Dataset]) -> None:
    occupied = sum(int(finding.mask.voxels.any(axis=(1, 2)).sum()) for finding in case.result.findings)
    assert composed[DocumentRole.SEG].NumberOfFrames == occupied


def test_every_frame_names_the_instance_of_its_slice(case: Case, composed: dict[DocumentRole, Dataset]) -> None:
    position_of = {header.SOPInstanceUID: header.ImagePositionPatient for header in case.source}
    for frame in composed[DocumentRole.SEG].PerFrameFunctionalGroupsSequence:
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert frame.PlanePositionSequence[0].ImagePositionPatient == position_of[reference]


def test_the_distance_of_slices_is_measured_and_not_taken_from_the_header() -> None:
    case = a_case(SpacingBetweenSlices=9.0, SliceThickness=3.0)
    seg = read_back(compose(a_request(case)))[0]
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == 1.25
    assert measures.SliceThickness == 3.0


def test_patient_and_study_are_those_of_the_source(case: Case, composed: dict[DocumentRole, Dataset]) -> None:
    for document in composed.values():
        for keyword in ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
            assert document[keyword].value == case.source[0][keyword].value
        assert document.ReferringPhysicianName == "Ärztin^Anna"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Øßłđ^Ñandú"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_of_every_script_come_through_unchanged(charset: Any, name: str) -> None:
    case = a_case(SpecificCharacterSet=charset, PatientName=name, ReferringPhysicianName="Smith^Anna")
    for document in read_back(compose(a_request(case))):
        assert str(document.PatientName) == name
        assert document.SpecificCharacterSet == charset


def test_bytes_of_a_name_without_declared_character_set_are_kept() -> None:
    """Common in the wild: Latin-1 bytes, nothing declared. Another system may know what they mean."""
    case = a_case(PatientName="Müller^Jörg")
    for header in case.source:
        del header.SpecificCharacterSet
    for document in compose(a_request(case)):
        assert "Müller^Jörg".encode("latin-1") in as_bytes(document.dataset)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "W"),
        ("PatientBirthDate", "unknown"),
        ("StudyTime", "10:15:00"),
        ("AccessionNumber", "A" * 40),
        ("PatientName", "Only One Long Name Without Any Caret At All"),
        ("SliceThickness", None),
        ("TimezoneOffsetFromUTC", "+9900"),
    ],
)
def test_odd_headers_do_not_stop_a_result(keyword: str, value: Any) -> None:
    from pydicom.config import disable_value_validation

    with disable_value_validation():
        case = a_case(**{keyword: value})
        documents = read_back(compose(a_request(case)))
        assert documents[-1].get(keyword) == (value if keyword != "SliceThickness" else None)


def test_source_headers_without_optional_attributes_are_enough() -> None:
    case = a_case()
    for header in case.source:
        for keyword in ("PatientName", "PatientBirthDate", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
            del header[keyword]
        del header.FrameOfReferenceUID
    seg, report = read_back(compose(a_request(case)))
    assert seg.FrameOfReferenceUID.startswith("2.25.")
    assert report.PatientName == ""
    assert check(case.source, [seg, report], case.volume_hu) == ()


def test_a_jitter_of_the_direction_cosines_does_not_stop_a_result() -> None:
    case = a_case()
    case.source[11].ImageOrientationPatient = [1, 0, 0.000001, 0, 1, 0]
    assert check(case.source, read_back(compose(a_request(case))), case.volume_hu) == ()


def test_lossy_compression_of_the_source_is_declared() -> None:
    case = a_case(LossyImageCompression="01", LossyImageCompressionRatio=10, LossyImageCompressionMethod="ISO_10918_1")
    seg, report = read_back(compose(a_request(case)))
    assert (seg.LossyImageCompression, seg.LossyImageCompressionRatio) == ("01", 10)
    assert check(case.source, [seg, report], case.volume_hu) == ()


def test_nothing_of_the_patient_or_the_study_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    case = a_case(PatientName="Canary Without Caret", PatientID="CANARY-7")
    compose(a_request(case, options=options(objects=WITH_LUNGS)))
    assert not [text for text in ("Canary", "CANARY", STUDY_UID, SERIES_UID) if text in caplog.text]


def test_composing_twice_gives_the_same_bytes(case: Case) -> None:
    first, second = (compose(a_request(case, options=options(objects=WITH_LUNGS))) for _ in range(2))
    assert [as_bytes(item.dataset) for item in first] == [as_bytes(item.dataset) for item in second]


def test_the_source_is_left_untouched(case: Case) -> None:
    before = copy.deepcopy(case.source)
    documents = compose(a_request(case))
    documents[0].dataset.PatientName = "Somebody^Else"
    assert case.source == before
    assert documents[1].dataset.PatientName == "Müller^Jörg"


def test_another_model_makes_another_series(case: Case) -> None:
    newer = dataclasses.replace(A_MODEL, version=4)
    request = a_request(case)
    other = dataclasses.replace(request, identity=dataclasses.replace(request.identity, models=(newer,)))
    for old, new in zip(compose(request), compose(other), strict=True):
        assert old.dataset.SeriesInstanceUID != new.dataset.SeriesInstanceUID
        assert old.sop_instance_uid != new.sop_instance_uid


def test_times_are_in_the_zone_of_the_study() -> None:
    """05:06:07 UTC is 14:06:07 in Tokyo."""
    case = a_case(TimezoneOffsetFromUTC="+0900")
    for document in compose(a_request(case)):
        assert (document.dataset.ContentDate, document.dataset.ContentTime) == ("20260304", "140607")
        assert document.dataset.TimezoneOffsetFromUTC == "+0900"
    assert COMPOSED_AT.utcoffset() is not None


def test_each_segment_is_described_tracked_and_coloured(composed: dict[DocumentRole, Dataset]) -> None:
    segments = composed[DocumentRole.SEG].SegmentSequence
    assert [segment.SegmentNumber for segment in segments] == [1, 2]
    assert [segment.SegmentLabel for segment in segments] == ["Nodule 1", "Nodule 2"]
    assert [segment.TrackingID for segment in segments] == ["Nodule 1", "Nodule 2"]
    assert len({segment.TrackingUID for segment in segments}) == 2
    assert len({tuple(segment.RecommendedDisplayCIELabValue) for segment in segments}) == 2
    assert all(segment.SegmentAlgorithmType == "AUTOMATIC" for segment in segments)


def test_models_and_hashes_are_named_in_seg_and_report(composed: dict[DocumentRole, Dataset]) -> None:
    for document in composed.values():
        contributions = [item.ContributionDescription for item in document.ContributingEquipmentSequence[1:]]
        assert contributions == [f"Neural network (detector), SHA-256 {A_MODEL.sha256}"]
        assert document.ContributingEquipmentSequence[0].Manufacturer == "ScannerWorks"
    assert f"jnsc version 3 (detector), SHA-256 {A_MODEL.sha256}" in _texts(composed[DocumentRole.SR])


def by_two_systems(case: Case, *outlined_by: str) -> dict[DocumentRole, Dataset]:
    """The case as outlined and rated by systems other than the detector's."""
    models = (
        A_MODEL,
        ModelUse(role="segmentation", name="coarse", version=2, sha256="0c"),
        ModelUse(role="segmentation", name="fine", version=2, sha256="0f"),
        ModelUse(role="malignancy", name="coarse", version=2, sha256="0c"),
        ModelUse(role="malignancy", name="class", version=2, sha256="0a"),
    )
    findings = [dataclasses.replace(f, outlined_by=o) for f, o in zip(case.result.findings, outlined_by, strict=True)]
    result = dataclasses.replace(case.result, models=models, findings=tuple(findings))
    documents = compose(a_request(case, result=result, identity=an_identity(models)))
    return {document.role: dataset for document, dataset in zip(documents, read_back(documents), strict=True)}


def test_every_use_of_a_model_is_named_in_seg_and_report(case: Case) -> None:
    documents = by_two_systems(case, "fine", "fine")
    uses = ["jnsc 3 (detector)", "coarse 2 (segmentation)", "fine 2 (segmentation)", "coarse 2 (malignancy)"]
    uses.append("class 2 (malignancy)")
    for document in documents.values():
        items = document.ContributingEquipmentSequence[1:]
        roles = [item.ContributionDescription.split()[2].rstrip(",") for item in items]
        models = [f"{item.ManufacturerModelName} {item.SoftwareVersions}" for item in items]
        assert [" ".join(pair) for pair in zip(models, roles, strict=True)] == uses
    said = [text for text in _texts(documents[DocumentRole.SR]) if "SHA-256" in text]
    assert [text.partition(", SHA")[0] for text in said] == [use.replace(" ", " version ", 1) for use in uses]


def test_the_algorithm_of_a_segment_is_what_outlined_it_and_of_a_measurement_group_everything(case: Case) -> None:
    documents = by_two_systems(case, "fine", "fine")
    segment = documents[DocumentRole.SEG].SegmentSequence[0]
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "jnsc 3; coarse 2; fine 2"
    texts = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue
        for item in _groups(documents[DocumentRole.SR])[0].ContentSequence
        if item.ValueType == "TEXT"
    }
    assert texts["Algorithm Version"] == "jnsc 3; coarse 2; fine 2; class 2"


def test_the_report_says_from_which_labels_a_probability_of_cancer_was_learned(
    composed: dict[DocumentRole, Dataset],
) -> None:
    texts = _texts(composed[DocumentRole.SR])
    assert "Probability of cancer: as learned from these labels: median of ratings." in texts


def test_an_outline_that_is_not_by_the_model_for_it_is_said_in_the_report(case: Case) -> None:
    texts = _texts(by_two_systems(case, "fine", "jnsc")[DocumentRole.SR])
    assert [text for text in texts if "outlined by" in text] == [
        "Nodule 2: outlined by jnsc, because fine marked nothing there, or cannot see the whole of it."
    ]
    assert not any("outlined by" in text for text in _texts(by_two_systems(case, "fine", "fine")[DocumentRole.SR]))


def test_research_use_is_said_in_every_document(composed: dict[DocumentRole, Dataset]) -> None:
    assert all("research use" in document.SeriesDescription for document in composed.values())
    assert "Research use" in composed[DocumentRole.SEG].ContentDescription
    assert "Research use only. Not for diagnosis or treatment." in _texts(composed[DocumentRole.SR])


def test_values_of_the_report_are_those_of_the_findings(case: Case, composed: dict[DocumentRole, Dataset]) -> None:
    groups = _groups(composed[DocumentRole.SR])
    for finding, group in zip(case.result.findings, groups[::2], strict=True):
        assert _numbers(group) == {
            "Volume": (round(finding.volume_mm3, 1), "mm3"),
            "Diameter": (round(finding.equivalent_diameter_mm, 1), "mm"),
            "Mean Attenuation Coefficient": (round(finding.mean_hu, 1), "[hnsf'U]"),
            "Standard Deviation of Attenuation Coefficient": (round(finding.sd_hu, 1), "[hnsf'U]"),
            "Certainty of Finding": (90.0, "%"),
            "Probability of cancer": (25.0, "%"),
        }
    for finding, group in zip(case.result.findings, groups[1::2], strict=True):
        assert _numbers(group) == {
            "Long Axis": (round(finding.long_axis.length_mm, 1), "mm"),
            "Short Axis": (round(finding.short_axis.length_mm, 1), "mm"),
        }


def test_a_line_starts_at_half_a_pixel_for_the_first_pixel() -> None:
    """PS3.3 C.10.5.1.2: the centre of the pixel in the first row and column is 0.5 \\ 0.5; column comes before row."""
    case = a_case()
    finding = case.result.findings[0]
    axis = dataclasses.replace(finding.long_axis, ends_ji=((0.0, 3.0), (7.0, 5.5)))
    findings = (dataclasses.replace(finding, long_axis=axis), *case.result.findings[1:])
    result = dataclasses.replace(case.result, findings=findings)
    report = read_back(compose(a_request(case, result=result)))[-1]
    number = next(item for item in _groups(report)[1].ContentSequence if item.ValueType == "NUM")
    line = number.ContentSequence[0]
    assert (line.ValueType, line.RelationshipType, line.GraphicType) == ("SCOORD", "INFERRED FROM", "POLYLINE")
    assert list(line.GraphicData) == [3.5, 0.5, 6.0, 7.5]
    slice_uid = line.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert slice_uid == case.source[finding.long_axis.slice_k].SOPInstanceUID


def test_without_a_malignancy_model_nothing_is_said_about_cancer() -> None:
    case = a_case()
    findings = tuple(dataclasses.replace(finding, malignancy=None) for finding in case.result.findings)
    report = compose(a_request(case, result=dataclasses.replace(case.result, findings=findings)))[-1].dataset
    assert "Probability of cancer" not in _numbers(_groups(report)[0])


@pytest.mark.parametrize(
    ("attenuation", "expected"),
    [
        (Attenuation.SOLID, [("C41144", "RID50151")]),
        (Attenuation.PART_SOLID, [("C41144", "RID50152")]),
        (Attenuation.NON_SOLID, [("C41144", "RID50153")]),
        (Attenuation.CALCIFIED, [("C41144", "RID50151"), ("C3672", "52101004")]),
    ],
)
def test_the_type_by_attenuation_is_coded(attenuation: Attenuation, expected: list[tuple[str, str]]) -> None:
    case = a_case()
    finding = dataclasses.replace(case.result.findings[0], attenuation=attenuation)
    report = compose(a_request(case, result=dataclasses.replace(case.result, findings=(finding,))))[-1].dataset
    coded = [
        (item.ConceptNameCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodeValue)
        for item in _groups(report)[0].ContentSequence
        if item.ValueType == "CODE"
    ]
    assert [pair for pair in coded if pair[0] in ("C41144", "C3672")] == expected


def test_both_groups_of_a_finding_name_its_side_or_none() -> None:
    """Right, left and none, in one report: groups share what they have alike."""
    case = a_case((*NODULES, Pear(centre_kji=(20.0, 14.0, 40.0), diameter_mm=6.0)))
    findings = (*case.result.findings[:2], dataclasses.replace(case.result.findings[2], laterality=None))
    report = compose(a_request(case, result=dataclasses.replace(case.result, findings=findings)))[-1].dataset
    sites = [
        next(item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "363698007")
        for group in _groups(report)
    ]
    sides = [[item.ConceptCodeSequence[0].CodeMeaning for item in site.get("ContentSequence", ())] for site in sites]
    assert sides == [["Right"], ["Right"], ["Left"], ["Left"], [], []]


def test_a_group_names_its_segment_and_after_it_every_slice_of_the_nodule(
    case: Case, composed: dict[DocumentRole, Dataset]
) -> None:
    for finding, group in zip(case.result.findings, _groups(composed[DocumentRole.SR])[::2], strict=True):
        images = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
        names = [item.ConceptNameCodeSequence[0].CodeValue for item in images]
        slices = [finding.mask.start_kji[0] + k for k in np.flatnonzero(finding.mask.voxels.any(axis=(1, 2)))]
        assert len(slices) > 3
        assert names == ["121191", *["121233"] * len(slices)]  # Referenced Segment, Source Image for Segmentation
        assert images[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == finding.number
        sources = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images[1:]]
        assert sources == [case.source[k].SOPInstanceUID for k in slices]
        assert {item.RelationshipType for item in images} == {"CONTAINS"}
        first = list(group.ContentSequence).index(images[0])
        assert list(group.ContentSequence)[first : first + len(images)] == images


def test_no_nodule_found_is_a_report_that_says_absent_and_has_no_groups() -> None:
    case = a_case(nodules=())
    documents = compose(a_request(case))
    assert [document.role for document in documents] == [DocumentRole.SR]
    report = read_back(documents)[0]
    assert _statements(report)["Nodule"] == "Absent"
    assert not _groups(report)
    assert "No nodule found." in _texts(report)
    assert _evidence(report) == {header.SOPInstanceUID for header in case.source}


def test_not_analysed_is_a_report_that_says_why() -> None:
    reasons = (
        Reason(code="series.gap", text="2 gaps: neighbouring slices are up to 5.00 mm apart"),
        Reason(code="rule.no-match", text="no rule matches"),
    )
    report = read_back(compose(a_refusal(*reasons)))[0]
    assert _statements(report)["Nodule"] == "Undetermined"
    assert _statements(report)["Image Quality"] == "Non-diagnostic quality"
    assert "Not analysed: 2 gaps: neighbouring slices are up to 5.00 mm apart" in _texts(report)
    assert "Not analysed: no rule matches" in _texts(report)
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PULMONODE"


def test_image_quality_is_not_blamed_where_it_is_not_the_reason() -> None:
    report = compose(a_refusal(Reason(code="rule.no-match", text="no rule matches")))[0].dataset
    assert "Image Quality" not in _statements(report)


def test_a_study_of_unknown_objects_gets_its_report() -> None:
    private = "1.3.46.670589.11.0.0.12.1"  # Philips private MR spectrum storage
    request = a_refusal()
    header = copy.deepcopy(request.source[0])
    header.SOPClassUID = private
    report = read_back(compose(dataclasses.replace(request, source=(header,))))[0]
    item = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert item.ReferencedSOPClassUID == private
    assert check((header,), [report]) == ()


@pytest.mark.parametrize(
    ("kind", "sop_class_uid"),
    [
        (SrClass.ENHANCED, "1.2.840.10008.5.1.4.1.1.88.22"),
        (SrClass.COMPREHENSIVE, "1.2.840.10008.5.1.4.1.1.88.33"),
        (SrClass.COMPREHENSIVE_3D, "1.2.840.10008.5.1.4.1.1.88.34"),
    ],
)
def test_the_content_is_the_same_in_every_class_of_report(case: Case, kind: SrClass, sop_class_uid: str) -> None:
    report = compose(a_request(case, options=options(sr_class=kind)))[-1]
    assert report.sop_class_uid == sop_class_uid == report.dataset.SOPClassUID
    assert report.dataset.ContentSequence == compose(a_request(case))[-1].dataset.ContentSequence


def test_ohif_hydration_only_changes_the_tracking_identifiers(case: Case) -> None:
    seg, report = (document.dataset for document in compose(a_request(case, options=options(ohif_hydration=True))))
    assert seg.SegmentSequence[0].TrackingID == "Cornerstone3DTools@^0.1.0:Bidirectional:Nodule 1"
    assert seg.SegmentSequence[0].SegmentLabel == "Nodule 1"
    assert check(case.source, [seg, report], case.volume_hu) == ()


def test_a_superseding_report_names_its_predecessor(case: Case) -> None:
    old = compose(a_request(case))[-1].dataset
    request = a_request(case, predecessor=(old,))
    late = dataclasses.replace(request, identity=dataclasses.replace(request.identity, input_digest="01ff"))
    report = read_back(compose(late))[-1]
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert report.SOPInstanceUID != old.SOPInstanceUID


def test_more_than_255_findings_keep_their_numbers() -> None:
    case = a_case(nodules=())
    one = a_case().result.findings[0]
    mask = dataclasses.replace(one.mask, voxels=np.ones((1, 1, 1), bool))
    findings = tuple(
        dataclasses.replace(one, number=n + 1, mask=dataclasses.replace(mask, start_kji=(1, n // 60, n % 60)))
        for n in range(300)
    )
    result = dataclasses.replace(case.result, findings=findings)
    found = _volumes(nodule_segmentation(a_request(case, result=result), result), case)
    assert all(found[n + 1][1, n // 60, n % 60] and found[n + 1].sum() == 1 for n in range(300))


@pytest.mark.parametrize("copies", [1, 32], ids=["one header", "a header per slice"])
def test_enhanced_ct_is_referenced_by_frame(case: Case, copies: int) -> None:
    instance, frame_numbers = an_enhanced_source(case)
    request = a_request(case, source=(instance,) * copies, frame_numbers=frame_numbers)
    seg, report = read_back(compose(request))
    assert check(request.source, [seg, report], case.volume_hu, frame_numbers) == ()
    assert [item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence] == [instance.SOPInstanceUID]
    assert _evidence(report) == {instance.SOPInstanceUID, seg.SOPInstanceUID}
    line = _groups(report)[1].ContentSequence[-1].ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert line.ReferencedFrameNumber == frame_numbers[case.result.findings[0].short_axis.slice_k]


@pytest.mark.parametrize(
    "directions",
    [
        ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
        ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)),
        ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)),
        ((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0)),
    ],
    ids=["prone", "feet first", "coronal", "oblique"],
)
def test_any_orientation_is_kept(directions: Any) -> None:
    case = a_case(grid=dataclasses.replace(a_grid(), directions=directions))
    assert check(case.source, read_back(compose(a_request(case))), case.volume_hu) == ()


def _volumes(seg: Dataset, case: Case) -> dict[int, Any]:
    """Every segment on the grid of the CT, placed by patient coordinates with arithmetic of its own."""
    grid = case.result.grid
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    planes = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    volumes = {int(item.SegmentNumber): np.zeros(grid.shape_kji, bool) for item in seg.SegmentSequence}
    shared = seg.SharedFunctionalGroupsSequence[0]
    for plane, item in zip(planes, seg.PerFrameFunctionalGroupsSequence, strict=True):
        offset = np.asarray(item.PlanePositionSequence[0].ImagePositionPatient) - grid.origin_lps
        k = round(float(offset @ grid.directions[0]) / grid.spacing_mm[0])
        owner = item if "SegmentIdentificationSequence" in item else shared
        volumes[owner.SegmentIdentificationSequence[0].ReferencedSegmentNumber][k] = plane
    return volumes


def _container(report: Dataset, code: str) -> list[Dataset]:
    containers = [item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == code]
    return [item for container in containers for item in container.ContentSequence]


def _groups(report: Dataset) -> list[Dataset]:
    return _container(report, "126010")


def _statements(report: Dataset) -> dict[str, str]:
    coded = [item for item in _container(report, "C0034375") if item.ValueType == "CODE"]
    return {i.ConceptNameCodeSequence[0].CodeMeaning: i.ConceptCodeSequence[0].CodeMeaning for i in coded}


def _texts(report: Dataset) -> list[str]:
    return [item.TextValue for item in _container(report, "C0034375") if item.ValueType == "TEXT"]


def _numbers(group: Dataset) -> dict[str, tuple[float, str]]:
    numbers = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            measured = item.MeasuredValueSequence[0]
            unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
            numbers[item.ConceptNameCodeSequence[0].CodeMeaning] = (float(measured.NumericValue), unit)
    return numbers


def _evidence(report: Dataset) -> set[str]:
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    return {item.ReferencedSOPInstanceUID for one in series for item in one.ReferencedSOPSequence}
