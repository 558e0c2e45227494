"""The own check of everything that a result may hold beside SEG and report: right ones pass, mistakes are found."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage

from inference.findings import Finding, SoftMask
from pacs_node.domain.document import DocumentRole
from pacs_node.report import compose
from pacs_node.report.check import check
from tests.support.results import (
    SERIES_UID,
    Case,
    a_case,
    a_finding,
    a_refusal,
    a_request,
    an_enhanced_source,
    as_bytes,
    options,
    parsed,
)

Plant = Callable[[Dataset], object]
Files = dict[str, bytes]
EVERYTHING = options(objects=frozenset(DocumentRole))


@pytest.fixture(scope="module")
def case() -> Case:
    """Every nodule has a soft mask: all of the mask, and half as much around it."""
    case = a_case(RescaleSlope="1", RescaleIntercept="-1024")
    findings = tuple(dataclasses.replace(item, soft=_softened(item)) for item in case.result.findings)
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=findings))


def _softened(finding: Finding) -> SoftMask:
    mask = np.pad(finding.mask.voxels, 1)
    values = np.where(mask, 255, np.where(ndimage.binary_dilation(mask), 120, 0)).astype(np.uint8)
    k, j, i = finding.mask.start_kji
    return SoftMask(start_kji=(k - 1, j - 1, i - 1), values=values)


@pytest.fixture(scope="module")
def files(case: Case) -> Files:
    """Every document of a result that supersedes another, by role and number."""
    documents = compose(a_request(case, options=EVERYTHING, predecessor=_earlier(case)))
    return {f"{document.role}-{document.number}": as_bytes(document.dataset) for document in documents}


def _earlier(case: Case) -> tuple[Dataset, ...]:
    """What other models had found before: the second nodule only."""
    findings = (dataclasses.replace(case.result.findings[1], number=1),)
    request = a_request(case, result=dataclasses.replace(case.result, findings=findings), options=EVERYTHING)
    identity = dataclasses.replace(request.identity, input_digest="01")
    return tuple(item.dataset for item in compose(dataclasses.replace(request, identity=identity)))


def test_a_right_result_of_every_kind_of_document_has_no_problem(case: Case, files: Files) -> None:
    assert check(case.source, [parsed(file) for file in files.values()], case.volume_hu) == ()


def test_a_right_result_of_an_enhanced_ct_has_no_problem(case: Case) -> None:
    instance, frames = an_enhanced_source(case)
    documents = compose(a_request(case, source=(instance,), frame_numbers=frames, options=EVERYTHING))
    sent = [parsed(as_bytes(document.dataset)) for document in documents]
    assert check([instance], sent, case.volume_hu, frames) == ()


def test_a_right_negative_result_has_no_problem() -> None:
    case = a_case(nodules=())
    documents = [parsed(as_bytes(item.dataset)) for item in compose(a_request(case, options=EVERYTHING))]
    assert check(case.source, documents, case.volume_hu) == ()


def test_a_right_refusal_has_no_problem() -> None:
    request = a_refusal(options=EVERYTHING)
    assert check(request.source, [parsed(as_bytes(item.dataset)) for item in compose(request)]) == ()


def _region_of_another_nodule(document: Dataset) -> None:
    first, second = document.ROIContourSequence
    first.ContourSequence, second.ContourSequence = second.ContourSequence, first.ContourSequence


def _contours_moved(step_lps: tuple[float, float, float]) -> Plant:
    def plant(document: Dataset) -> None:
        for contour in (contour for item in document.ROIContourSequence for contour in item.ContourSequence):
            moved = np.reshape(np.asarray(contour.ContourData, float), (-1, 3)) + step_lps
            contour.ContourData = [f"{value:.4f}" for value in moved.ravel()]

    return plant


def _names_exchanged(document: Dataset) -> None:
    first, second = document.StructureSetROISequence
    first.ROIName, second.ROIName = second.ROIName, first.ROIName


def _contour_image_unknown(document: Dataset) -> None:
    contour = document.ROIContourSequence[0].ContourSequence[0]
    contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"


def _region_missing(document: Dataset) -> None:
    for sequence in (document.StructureSetROISequence, document.ROIContourSequence, document.RTROIObservationsSequence):
        del sequence[-1]


STRUCTURES: dict[str, tuple[Plant, set[str]]] = {
    "contours of another nodule": (_region_of_another_nodule, {"structures"}),
    "contours a slice away": (_contours_moved((0.0, 0.0, 1.25)), {"structures"}),
    "contours between slices": (_contours_moved((0.0, 0.0, 0.6)), {"structures"}),
    "contours a pixel to the left": (_contours_moved((0.7, 0.0, 0.0)), {"structures"}),
    "names exchanged": (_names_exchanged, {"structures"}),
    "a contour on an image that does not exist": (_contour_image_unknown, {"structures", "references"}),
    "a region missing": (_region_missing, {"structures"}),
    "volume in mm3": (lambda item: _set(item.StructureSetROISequence[0], "ROIVolume", "400"), {"structures"}),
    "approved by nobody": (lambda item: _set(item, "ApprovalStatus", "APPROVED"), {"structures"}),
    "other frame of reference": (lambda item: _set(item, "FrameOfReferenceUID", "1.2.3"), {"structures"}),
    "unknown code": (
        lambda item: _set(item.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0], "CodeValue", "1"),
        {"codes.known"},
    ),
}

CAPTURES: dict[str, tuple[Plant, set[str]]] = {
    "made from a slice without its nodule": (
        lambda item: _set(item.SourceImageSequence[0], "ReferencedSOPInstanceUID", "1.2.826.0.1.1.1.1"),
        {"captures"},
    ),
    "made from an instance that does not exist": (
        lambda item: _set(item.SourceImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3.4"),
        {"captures", "references"},
    ),
    "key image of a nodule that is not": (lambda item: _set(item, "ImageComments", "Nodule 9, x"), {"captures"}),
    "burned-in text not declared": (lambda item: item.__delattr__("BurnedInAnnotation"), {"captures"}),
    "no word of research use": (
        lambda item: _set(item, "ImageComments", str(item.ImageComments).split(".")[0]),
        {"captures"},
    ),
    "nothing to be seen": (lambda item: _set(item, "PixelData", bytes(len(item.PixelData))), {"captures"}),
    "rows and columns exchanged with pixels missing": (lambda item: _set(item, "Rows", item.Rows + 1), {"captures"}),
    "in a series of its own": (lambda item: _set(item, "SeriesInstanceUID", "1.2.3.4"), {"set.series"}),
    "number of another": (lambda item: _set(item, "InstanceNumber", 1), {"set.series"}),
    "other patient": (lambda item: _set(item, "PatientID", "PAT-8"), {"id.patient_study"}),
}


def _rejects_a_slice(document: Dataset) -> None:
    old = next(item for item in document.ContentSequence if "ReferencedSOPSequence" in item).ReferencedSOPSequence[0]
    wanted = str(old.ReferencedSOPInstanceUID)
    series = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    for item in [old, *(item for entry in series for item in entry.ReferencedSOPSequence)]:
        if str(item.ReferencedSOPInstanceUID) == wanted:
            item.ReferencedSOPInstanceUID = f"{SERIES_UID}.3"


def _rejects_less_than_it_lists(document: Dataset) -> None:
    images = [item for item in document.ContentSequence if "ReferencedSOPSequence" in item]
    document.ContentSequence.remove(images[0])


def _title(value: str, meaning: str) -> Plant:
    def plant(document: Dataset) -> None:
        name = document.ConceptNameCodeSequence[0]
        name.CodeValue, name.CodeMeaning = value, meaning

    return plant


def _on_every_frame(change: Callable[[Dataset], object]) -> Plant:
    def plant(document: Dataset) -> None:
        for frame in document.PerFrameFunctionalGroupsSequence:
            change(frame)

    return plant


def _shifted_by_a_slice(document: Dataset) -> None:
    """Positions and sources, so that they agree."""
    for frame in document.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 1.25
    items = [f.DerivationImageSequence[0].SourceImageSequence[0] for f in document.PerFrameFunctionalGroupsSequence]
    for item in (
        *items,
        *document.SourceImageSequence,
        *document.ReferencedSeriesSequence[0].ReferencedInstanceSequence,
    ):
        root, number = item.ReferencedSOPInstanceUID.rsplit(".", 1)
        item.ReferencedSOPInstanceUID = f"{root}.{int(number) + 1}"


def _upside_down(document: Dataset) -> None:
    planes = np.frombuffer(document.PixelData, np.uint8)[: document.NumberOfFrames * document.Rows * document.Columns]
    document.PixelData = planes.reshape(-1, document.Rows, document.Columns)[:, ::-1].tobytes()


def _tracking_exchanged(document: Dataset) -> None:
    first, second = document.SegmentSequence
    first.TrackingUID, second.TrackingUID = second.TrackingUID, first.TrackingUID


SOFT: dict[str, tuple[Plant, set[str]]] = {
    "a slice away, sources too": (_shifted_by_a_slice, {"soft"}),
    "rows upside down": (_upside_down, {"soft"}),
    "tracking exchanged": (_tracking_exchanged, {"soft"}),
    "positions off the slices": (
        _on_every_frame(lambda frame: frame.PlanePositionSequence[0].ImagePositionPatient.__setitem__(0, 5.0)),
        {"seg.geometry"},
    ),
    "values over the largest": (lambda item: _set(item, "MaximumFractionalValue", 200), {"soft"}),
    "one bit a pixel": (lambda item: _set(item, "BitsAllocated", 1), {"seg.geometry"}),
    "nothing said of its values": (lambda item: item.__delattr__("SegmentationFractionalType"), {"soft"}),
    "lossy although nothing was": (lambda item: _set(item, "LossyImageCompression", "01"), {"image.lossy"}),
}


def _on_every_graphic(change: Callable[[Dataset], object]) -> Plant:
    def plant(document: Dataset) -> None:
        for annotation in document.GraphicAnnotationSequence:
            for graphic in annotation.get("GraphicObjectSequence") or ():
                change(graphic)

    return plant


def _moved_by_a_pixel(graphic: Dataset) -> None:
    """Outlines only; axes would be found as such."""
    if graphic.NumberOfGraphicPoints > 2:
        graphic.GraphicData = [value + 1.0 for value in graphic.GraphicData]


def _transposed(graphic: Dataset) -> None:
    graphic.GraphicData = np.reshape(graphic.GraphicData, (-1, 2))[:, ::-1].ravel().tolist()


def _a_slice_away(document: Dataset) -> None:
    listed = document.ReferencedSeriesSequence[0].ReferencedImageSequence
    shown = [item for annotation in document.GraphicAnnotationSequence for item in annotation.ReferencedImageSequence]
    for item in {id(item): item for item in (*listed, *shown)}.values():
        root, number = item.ReferencedSOPInstanceUID.rsplit(".", 1)
        item.ReferencedSOPInstanceUID = f"{root}.{int(number) + 1}"


def _axes_elsewhere(document: Dataset) -> None:
    for annotation in document.GraphicAnnotationSequence:
        for graphic in annotation.get("GraphicObjectSequence") or ():
            if graphic.NumberOfGraphicPoints == 2:
                graphic.GraphicData = [value + 5.0 for value in graphic.GraphicData]


PRESENTATION: dict[str, tuple[Plant, set[str]]] = {
    "outlines a slice away": (_a_slice_away, {"presentation"}),
    "outlines a pixel away": (_on_every_graphic(_moved_by_a_pixel), {"presentation"}),
    "rows and columns exchanged": (_on_every_graphic(_transposed), {"presentation"}),
    "axes beside their nodule": (_axes_elsewhere, {"presentation"}),
    "tracking that no segment has": (
        _on_every_graphic(lambda graphic: _set(graphic, "TrackingUID", "1.2.3.4")),
        {"presentation"},
    ),
    "drawn in parts of the screen": (
        _on_every_graphic(lambda graphic: _set(graphic, "GraphicAnnotationUnits", "DISPLAY")),
        {"presentation"},
    ),
    "an image that does not exist": (
        lambda item: _set(
            item.ReferencedSeriesSequence[0].ReferencedImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3.4"
        ),
        {"presentation", "references"},
    ),
    "layers not declared": (lambda item: item.__delattr__("GraphicLayerSequence"), {"presentation"}),
    "no window": (lambda item: item.__delattr__("SoftcopyVOILUTSequence"), {"presentation"}),
    "a part of the image": (
        lambda item: _set(item.DisplayedAreaSelectionSequence[0], "DisplayedAreaBottomRightHandCorner", [32, 32]),
        {"presentation"},
    ),
    "another rescaling than that of the image": (
        lambda item: _set(item, "RescaleIntercept", "-1000"),
        {"presentation"},
    ),
}


REJECTION: dict[str, tuple[Plant, set[str]]] = {
    "a slice of the CT rejected": (_rejects_a_slice, {"rejection"}),
    "less rejected than listed": (_rejects_less_than_it_lists, {"rejection"}),
    "a title that recommends": (_title("113000", "Of Interest"), {"rejection", "codes.known"}),
    "in the series of the report": (
        lambda item: _set(item, "SeriesNumber", 911),
        {"set.series"},
    ),
    "other study": (lambda item: _set(item, "StudyInstanceUID", "1.2.3.4"), {"id.patient_study"}),
}


def _findings(document: Dataset) -> list[Dataset]:
    return [item for item in _named(document, "111017").ContentSequence if _is_named(item, "111059")]


def _named(item: Dataset, code: str) -> Dataset:
    return next(child for child in item.ContentSequence if _is_named(child, code))


def _is_named(item: Dataset, code: str) -> bool:
    return "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == code


def _another_number(code: str) -> Plant:
    def plant(document: Dataset) -> None:
        measured = _named(_findings(document)[0], code).MeasuredValueSequence[0]
        measured.NumericValue = f"{float(measured.NumericValue) / 100.0:.3f}"

    return plant


def _centre_elsewhere(document: Dataset) -> None:
    centre = _named(_findings(document)[0], "111010")
    centre.GraphicData = [float(value) + 12.0 for value in centre.GraphicData]


def _a_finding_lost(document: Dataset) -> None:
    summary = _named(document, "111017")
    summary.ContentSequence.remove(_findings(document)[1])


def _summary_of_none(document: Dataset) -> None:
    code = _named(document, "111017").ConceptCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "111241", "All algorithms succeeded; without findings"


def _coordinates_on_another_slice(document: Dataset) -> None:
    image = _named(_findings(document)[0], "111010").ContentSequence[0].ReferencedSOPSequence[0]
    image.ReferencedSOPInstanceUID = f"{SERIES_UID}.1"


CAD: dict[str, tuple[Plant, set[str]]] = {
    "probability other than in the report": (_another_number("111047"), {"cad"}),
    "volume other than in the report": (_another_number("118565006"), {"cad"}),
    "centre beside the nodule": (_centre_elsewhere, {"cad"}),
    "coordinates on a slice without it": (_coordinates_on_another_slice, {"cad"}),
    "a finding lost": (_a_finding_lost, {"cad"}),
    "findings, but a summary without": (_summary_of_none, {"cad"}),
    "tracking that no segment has": (lambda item: _set(_named(_findings(item)[0], "112040"), "UID", "1.2.3"), {"cad"}),
    "verified by nobody": (lambda item: _set(item, "VerificationFlag", "VERIFIED"), {"cad"}),
    "no evidence": (lambda item: item.__delattr__("CurrentRequestedProcedureEvidenceSequence"), {"cad"}),
    "code with another meaning": (
        lambda item: _set(_findings(item)[0].ConceptCodeSequence[0], "CodeMeaning", "Nodule"),
        {"codes.known"},
    ),
}

PDF: dict[str, tuple[Plant, set[str]]] = {
    "cut off": (lambda item: _set(item, "EncapsulatedDocument", item.EncapsulatedDocument[:2000]), {"pdf"}),
    "no PDF": (lambda item: _set(item, "EncapsulatedDocument", b"<p>" + item.EncapsulatedDocument[3:]), {"pdf"}),
    "another type": (lambda item: _set(item, "MIMETypeOfEncapsulatedDocument", "text/xml"), {"pdf"}),
    "a length that it does not have": (lambda item: _set(item, "EncapsulatedDocumentLength", 17), {"pdf"}),
    "no word on who is named": (lambda item: item.__delattr__("BurnedInAnnotation"), {"pdf"}),
    "made from an instance that does not exist": (
        lambda item: _set(item.SourceInstanceSequence[0], "ReferencedSOPInstanceUID", "1.2.3.4"),
        {"references"},
    ),
    "no word of research use": (lambda item: _set(item, "SeriesDescription", "Report"), {"attributes.required"}),
}

_OF_FILE = {
    "structures-1": STRUCTURES,
    "captures-2": CAPTURES,
    "soft-1": SOFT,
    "presentation-1": PRESENTATION,
    "cad-1": CAD,
    "pdf-1": PDF,
    "rejection-1": REJECTION,
}
MISTAKES = {(name, mistake): planted for name, mistakes in _OF_FILE.items() for mistake, planted in mistakes.items()}


@pytest.fixture(scope="module")
def right(files: Files) -> dict[str, Dataset]:
    return {name: parsed(file) for name, file in files.items()}


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[": ".join(pair) for pair in MISTAKES])
def test_a_planted_mistake_is_found(
    name: str, mistake: str, case: Case, files: Files, right: dict[str, Dataset]
) -> None:
    """In a document that was written and read again."""
    plant, expected = MISTAKES[name, mistake]
    wrong = parsed(files[name])
    plant(wrong)
    documents = {**right, name: parsed(as_bytes(wrong))}
    found = {problem.code for problem in check(case.source, list(documents.values()))}
    assert expected - found == set()


def test_a_cad_outline_a_pixel_away_is_found() -> None:
    """A block of voxels, since the slices of pears are in two parts, which no single line can enclose."""
    case = a_case(nodules=())
    mask = np.zeros(case.result.grid.shape_kji, bool)
    mask[5:9, 20:28, 30:41] = True
    findings = (a_finding(case.result.grid, case.volume_hu, mask, 1),)
    request = a_request(case, result=dataclasses.replace(case.result, findings=findings), options=EVERYTHING)
    documents = {document.role: parsed(as_bytes(document.dataset)) for document in compose(request)}
    right = [documents[role] for role in (DocumentRole.SEG, DocumentRole.SR, DocumentRole.CAD)]
    assert check(case.source, right) == ()
    outline = _named(_findings(documents[DocumentRole.CAD])[0], "111041")
    outline.GraphicData = [float(value) + 1.0 for value in outline.GraphicData]
    assert {problem.code for problem in check(case.source, right)} == {"cad"}


@pytest.mark.parametrize("seed", range(12))
def test_no_damage_raises(seed: int, case: Case, files: Files) -> None:
    """Attributes anywhere in the documents are deleted or emptied; a text says what cannot be examined."""
    rng = random.Random(seed)
    documents = [parsed(file) for file in files.values()]
    for document in documents:
        for _ in range(3):
            holder, tag = rng.choice(list(_attributes(document)))
            if rng.random() < 0.5:
                holder[tag].value = [] if holder[tag].VR == "SQ" else None
            else:
                del holder[tag]
    assert check(case.source, documents)


def _attributes(dataset: Dataset) -> Iterator[tuple[Dataset, int]]:
    for element in dataset:
        yield dataset, element.tag
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _attributes(item)


def test_two_reports_are_one_too_many(case: Case, right: dict[str, Dataset]) -> None:
    again = copy.deepcopy(right["sr-1"])
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    assert "sr.document" in {problem.code for problem in check(case.source, [*right.values(), again])}


def test_a_document_of_another_kind_is_told(case: Case, right: dict[str, Dataset]) -> None:
    other = copy.deepcopy(right["pdf-1"])
    other.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.2"
    assert "set.series" in {problem.code for problem in check(case.source, [*right.values(), other])}


def test_a_result_of_images_only_needs_no_report_where_none_is_wanted(case: Case, right: dict[str, Dataset]) -> None:
    images = [document for name, document in right.items() if name.startswith("captures")]
    assert check(case.source, images, needs_report=False) == ()
    assert [problem.code for problem in check(case.source, images)] == ["sr.document"]


def _set(dataset: Dataset, keyword: str, value: object) -> None:
    setattr(dataset, keyword, value)
