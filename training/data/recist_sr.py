"""RECIST measurements from structured reports of TID 1500: long and short axis with their end points on an image.

Tolerant: whoever wrote the report, whichever of the usual codes it has, however deep the group lies. What a group lacks
is said. Called from `training.data.drawn`.

References
----------
PS3.16 TID 1500, TID 1501, TID 300, CID 7470; PS3.3 C.17.3 (content items, references by identifier), C.18.6 (spatial
coordinates: the centre of the first pixel is (0.5, 0.5)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.series.headers import NOT_DICOM
from training.data.dicom_seg import patient_of
from training.data.known import Refusal
from training.data.recist import RecistMeasurement, RecistReading
from training.labels.recist import AxesImpossible, Line, axes_of

_TRACKING_UID = "112040"
_PIXEL_CENTRE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One of the two axes, by the codes it goes under; meanings are for private codes and those of other schemes."""

    name: str
    codes: frozenset[str]
    meanings: frozenset[str]

    def names(self, item: Dataset) -> bool:
        """Whether a content item is a measurement of this axis."""
        return item.get("ValueType") == "NUM" and any(
            str(name.get("CodeValue", "")) in self.codes
            or str(name.get("CodeMeaning", "")).strip().casefold() in self.meanings
            for name in item.get("ConceptNameCodeSequence") or ()
        )


# Long, major axis; short, minor, perpendicular axis (CID 7470): SNOMED CT, and the retired SRT that viewers still write
_LONG = _Kind(
    name="long axis",
    codes=frozenset({"103339001", "G-A185", "131187009", "G-A193"}),
    meanings=frozenset({"long axis", "long axis diameter", "major axis"}),
)
_SHORT = _Kind(
    name="short axis",
    codes=frozenset({"103340004", "G-A186", "131188004", "G-A194", "131189007", "G-A195"}),
    meanings=frozenset({"short axis", "short axis diameter", "minor axis", "perpendicular axis"}),
)


class _GroupUnusable(Exception):
    """Why a measurement group gives no axes: code and sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A line on an image."""

    line: Line
    image: str
    frame_number: int | None


def read_reports(paths: Sequence[Path]) -> RecistReading:
    """The measurements of some files; one that is no report is refused with "recist.not-a-report"."""
    return sum((_read(path) for path in paths), RecistReading())


def _read(path: Path) -> RecistReading:
    try:
        return measurements_of(dcmread(path))
    except NOT_DICOM as error:
        text = f"The report cannot be read: {type(error).__name__}."
        return RecistReading(refused=(Refusal(code="recist.not-a-report", subject=path.name, text=text),))


def measurements_of(report: Dataset) -> RecistReading:
    """The measurements of one report.

    Parameters
    ----------
    report : any SR document; groups without axes (volumes, evaluations) are passed over

    Returns
    -------
    Refused, by code: "recist.one-axis", "recist.several-axes", "recist.no-coordinates", "recist.three-dimensional",
    "recist.not-a-line", "recist.coordinates", "recist.no-image", "recist.two-images"
    """
    series_of = dict(_evidence(report))
    report_uid = str(report.get("SOPInstanceUID", ""))
    measurements, refused = [], []
    for number, group in enumerate(_groups(report), start=1):
        name = _tracking_uid(group) or f"{report_uid} group {number}"
        try:
            long, short = _axes(report, group)
            measurements.append(
                RecistMeasurement(
                    name=name,
                    patient_id=patient_of(report),
                    series=series_of.get(long.image, ""),
                    image=long.image,
                    frame_number=long.frame_number,
                    axes=axes_of(long.line, short.line),
                )
            )
        except _GroupUnusable as error:
            refused.append(Refusal(code=error.code, subject=name, text=error.text))
        except AxesImpossible as error:
            refused.append(Refusal(code="recist.coordinates", subject=name, text=f"Not two axes: {error}."))
    return RecistReading(measurements=tuple(measurements), refused=tuple(refused))


def _groups(item: Dataset) -> Iterator[Dataset]:
    """Every container that holds an axis itself: a measurement group, under whatever name."""
    if any(_LONG.names(child) or _SHORT.names(child) for child in _children(item)):
        yield item
    for child in _children(item):
        if child.get("ValueType") == "CONTAINER":
            yield from _groups(child)


def _axes(report: Dataset, group: Dataset) -> tuple[_Drawn, _Drawn]:
    long, short = _axis(report, group, _LONG), _axis(report, group, _SHORT)
    if (long.image, long.frame_number) != (short.image, short.frame_number):
        raise _GroupUnusable("recist.two-images", "The axes lie on different images.")
    return long, short


def _axis(report: Dataset, group: Dataset, kind: _Kind) -> _Drawn:
    found = [child for child in _children(group) if kind.names(child)]
    if not found:
        raise _GroupUnusable("recist.one-axis", f"The group has no {kind.name}.")
    if len(found) > 1:
        raise _GroupUnusable("recist.several-axes", f"The group has more than one {kind.name}.")
    below = list(_below(report, found[0]))
    drawn = next((item for item in below if item.get("ValueType") == "SCOORD"), None)
    if drawn is not None:
        return _drawn(report, drawn)
    if any(item.get("ValueType") == "SCOORD3D" for item in below):
        raise _GroupUnusable("recist.three-dimensional", "The coordinates are of the patient, not of an image.")
    raise _GroupUnusable("recist.no-coordinates", f"The {kind.name} has no end points.")


def _drawn(report: Dataset, coordinates: Dataset) -> _Drawn:
    numbers = [float(number) - _PIXEL_CENTRE for number in coordinates.get("GraphicData") or ()]
    if coordinates.get("GraphicType") not in {"POLYLINE", "MULTIPOINT"} or len(numbers) != 4:
        raise _GroupUnusable("recist.not-a-line", "The coordinates are not two points.")
    for item in _below(report, coordinates):
        for reference in item.get("ReferencedSOPSequence") or () if item.get("ValueType") == "IMAGE" else ():
            return _Drawn(
                line=((numbers[0], numbers[1]), (numbers[2], numbers[3])),
                image=str(reference.get("ReferencedSOPInstanceUID", "")),
                frame_number=_frame_number(reference),
            )
    raise _GroupUnusable("recist.no-image", "It is not said on which image the axis lies.")


def _frame_number(reference: Dataset) -> int | None:
    frames = reference.get("ReferencedFrameNumber")
    if frames is None:
        return None
    return int(frames) if isinstance(frames, int | str) else int(frames[0])


def _below(report: Dataset, item: Dataset) -> Iterator[Dataset]:
    """The items under an item, and those that it refers to by their place in the tree (PS3.3 C.17.3.2.5)."""
    for child in _children(item):
        place = child.get("ReferencedContentItemIdentifier")
        target = child if place is None else _at(report, [place] if isinstance(place, int) else list(place))
        if target is not None:
            yield target
            if place is None:
                yield from _below(report, target)


def _at(report: Dataset, place: Sequence[int]) -> Dataset | None:
    """The item of that identifier: the root is 1, its second child 1.2."""
    item = report
    for number in place[1:]:
        children = _children(item)
        if not 1 <= number <= len(children):
            return None
        item = children[number - 1]
    return item


def _children(item: Dataset) -> Sequence[Dataset]:
    return item.get("ContentSequence") or ()


def _tracking_uid(group: Dataset) -> str:
    for child in _children(group):
        if any(str(name.get("CodeValue", "")) == _TRACKING_UID for name in child.get("ConceptNameCodeSequence") or ()):
            return str(child.get("UID", ""))
    return ""


def _evidence(report: Dataset) -> Iterator[tuple[str, str]]:
    """Series Instance UID by SOP Instance UID of what the report says it is made from."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in report.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                for instance in series.get("ReferencedSOPSequence") or ():
                    yield str(instance.get("ReferencedSOPInstanceUID", "")), str(series.get("SeriesInstanceUID", ""))
