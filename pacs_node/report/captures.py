"""Secondary captures, for viewers without SEG: a summary page, then a key image of every nodule, in one series.

The pictures are those of `overlay`; here they become instances that say what they show and where it comes from.
Nothing of the patient is burned in. Called from `composing`.

References
----------
PS3.3 A.8.1 (Secondary Capture Image IOD), C.7.6.1 (General Image), C.8.6 (SC modules), C.12.4 (General Reference).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from highdicom.base import SOPClass
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset

from inference.findings import Finding
from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes, overlay, wording
from pacs_node.report.identity import VERSION
from pacs_node.report.overlay import Caption, Notes, Picture, Scene
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import SliceReference, copy_lossy, image_number, reference_item, slice_reference
from pacs_node.report.stamp import MODEL_NAME, RESEARCH_USE, ascii_text, blank, stamp

SERIES_NUMBER = 931


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An image instance of the source as a whole, and its series."""

    reference: SliceReference
    series_instance_uid: str


def captures(request: ReportRequest) -> Iterator[Dataset]:
    """The summary page of any result, and a key image of every finding, numbered from 1."""
    scene, images = _scene(request), _images(request)
    yield _finished(_summary(request, scene, images), request, images)
    if scene is not None:
        for finding in scene.findings:
            yield _finished(_key_image(request, scene, finding), request, images)


def _scene(request: ReportRequest) -> Scene | None:
    if request.result is None or request.volume is None:
        return None
    numbers = [image_number(request, k) for k in range(request.result.grid.shape_kji[0])]
    return Scene(volume=request.volume, findings=request.findings, image_numbers=tuple(numbers))


def _summary(request: ReportRequest, scene: Scene | None, images: Collection[_Image]) -> SOPClass:
    notes = Notes(models=wording.models(request), remarks=wording.remarks(request))
    caption = _caption(request, wording.headline(request))
    document = _document(request, overlay.summary_picture(scene, caption, notes), 1)
    document.PatientOrientation = None
    document.ImageComments = ascii_text(f"{caption.title} {RESEARCH_USE}")
    if scene is None:
        document.DerivationDescription = "Page of text: why there is no result."
        document.ReferencedImageSequence = [reference_item(image.reference) for image in images]
    else:
        document.DerivationDescription = (
            "Page of all findings: projection of the CT from front to back, the slice of every long axis enlarged "
            f"in the lung window ({_window()}), table of measurements."
        )
        document.SourceImageSequence = [_source_item(image.reference) for image in images]
    return document


def _key_image(request: ReportRequest, scene: Scene, finding: Finding) -> SOPClass:
    k = finding.long_axis.slice_k
    caption = _caption(request, wording.headline(request))
    document = _document(request, overlay.finding_picture(scene, finding, caption), finding.number + 1)
    document.PatientOrientation = list(overlay.axes_letters(scene.volume.grid))
    document.ImageComments = f"Nodule {finding.number}, {scene.slice_name(k)}. {RESEARCH_USE}"
    document.DerivationDescription = (
        f"Key image of nodule {finding.number}: part of {scene.slice_name(k)} in the lung window ({_window()}), "
        "with its outline, long and short axis drawn in; beside it the whole slice."
    )
    document.SourceImageSequence = [_source_item(slice_reference(request, k))]
    return document


def _caption(request: ReportRequest, title: str) -> Caption:
    pipeline = f", pipeline {request.identity.pipeline}" if request.identity.pipeline else ""
    return Caption(title=title, subtitle=ascii_text(f"{MODEL_NAME} {VERSION}{pipeline}"))


def _window() -> str:
    low, high = overlay.LUNG_WINDOW_HU
    return f"centre {(low + high) / 2:.0f} HU, width {high - low:.0f} HU"


def _images(request: ReportRequest) -> tuple[_Image, ...]:
    """All images of the source, each once."""
    headers = {str(header.SOPInstanceUID): header for header in request.source}
    return tuple(
        _Image(
            reference=SliceReference(
                sop_class_uid=str(header.SOPClassUID), sop_instance_uid=instance, frame_number=None
            ),
            series_instance_uid=str(header.SeriesInstanceUID),
        )
        for instance, header in headers.items()
        if "Rows" in header
    )


def _document(request: ReportRequest, picture: Picture, number: int) -> SOPClass:
    """An instance with its pixels, uncompressed RGB."""
    document = blank(request, DocumentRole.CAPTURES, modality="OT", series=(SERIES_NUMBER, "pictures"), number=number)
    _set_body_part(document, request)
    document.ConversionType = "WSD"
    document.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    document.BurnedInAnnotation = "NO"  # none that names the patient, which is what it asks (PS3.3 table C.7-9)
    document.RecognizableVisualFeatures = "NO"
    _set_pixels(document, picture)
    return document


def _set_body_part(document: Dataset, request: ReportRequest) -> None:
    """The chest, which has no side; of a study that was not analysed what the source says, whatever was sent."""
    document.BodyPartExamined = "CHEST"
    for keyword in ("BodyPartExamined", "Laterality") if request.result is None else ():
        if request.source[0].get(keyword):
            document[keyword] = copy.copy(request.source[0][keyword])


def _set_pixels(document: Dataset, picture: Picture) -> None:
    document.SamplesPerPixel, document.PhotometricInterpretation, document.PlanarConfiguration = 3, "RGB", 0
    document.Rows, document.Columns = picture.height, picture.width
    document.BitsAllocated, document.BitsStored, document.HighBit, document.PixelRepresentation = 8, 8, 7, 0
    document.PixelData = picture.tobytes()  # of even length: all pictures are an even number of pixels wide
    document["PixelData"].VR = "OB"


def _source_item(reference: SliceReference) -> Dataset:
    item = reference_item(reference)
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE)]
    return item


def _finished(document: SOPClass, request: ReportRequest, images: Collection[_Image]) -> Dataset:
    """Say how lossy the source was and which series it lies in; then whose the document is and when it was made."""
    copy_lossy(document, request.source[0] if "SourceImageSequence" in document else Dataset())
    named = (*document.get("SourceImageSequence", ()), *document.get("ReferencedImageSequence", ()))
    series = _series(images, {str(item.ReferencedSOPInstanceUID) for item in named})
    if series:
        document.ReferencedSeriesSequence = series
    stamp(document, request)
    document.DateOfSecondaryCapture, document.TimeOfSecondaryCapture = document.ContentDate, document.ContentTime
    return document


def _series(images: Collection[_Image], named: Collection[str]) -> list[Dataset]:
    """The named images by series (PS3.3 C.12.2)."""
    by_series: dict[str, list[Dataset]] = {}
    for image in images:
        if image.reference.sop_instance_uid in named:
            by_series.setdefault(image.series_instance_uid, []).append(reference_item(image.reference))
    items = []
    for series_uid, instances in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = series_uid, instances
        items.append(item)
    return items
