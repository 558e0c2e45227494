"""The report for people as PDF pages: answer, table of nodules, key pictures, remarks, models, and that it is research.

Text stays text, so that it can be selected and searched. Nothing of the patient or study is printed: the DICOM header
of the instance that the pages lie in names them, and nothing else can then contradict it. Called from `printed`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from inference.findings import Finding
from inference.volume import Volume
from pacs_node.report import wording
from pacs_node.report.colour import finding_rgb
from pacs_node.report.identity import VERSION
from pacs_node.report.overlay.finding import facts
from pacs_node.report.overlay.nodule import enlarged
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import image_number
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, RESEARCH_USE, ascii_text

TITLE = "Lung nodules on chest CT"
MOST_ROWS, MOST_PICTURES = 30, 12
"""Nodules that two pages have room for; the others are in the structured report."""
WHOSE = "Patient and study are named by the DICOM header of this document and nowhere in it."

_MARGIN, _PER_ROW = 18 * mm, 3
_WIDTH = A4[0] - 2 * _MARGIN - 12  # a frame pads 6 points at each side
_PICTURE_PIXELS = (480, 360)
_HEADINGS = ("#", "Slice (image)", "Diameter", "Axes", "Volume", "Attenuation", "Type", "Side", "Cancer", "Certainty")
_COLUMNS = (0.04, 0.11, 0.10, 0.14, 0.11, 0.14, 0.10, 0.08, 0.09, 0.09)
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9, leading=12)
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=8, leading=10, textColor=colors.HexColor("#444444"))
_TITLE = ParagraphStyle("title", parent=_BODY, fontName="Helvetica-Bold", fontSize=16, leading=20)
_ANSWER = ParagraphStyle("answer", parent=_TITLE, fontSize=13, leading=17, spaceBefore=8, spaceAfter=6)
_HEADING = ParagraphStyle("heading", parent=_TITLE, fontSize=10, leading=13, spaceBefore=10, spaceAfter=3)
_WARNING = ParagraphStyle(
    "warning",
    parent=_BODY,
    fontName="Helvetica-Bold",
    borderColor=colors.HexColor("#b3261e"),
    textColor=colors.HexColor("#b3261e"),
    borderWidth=1,
    borderPadding=4,
    spaceBefore=8,
    spaceAfter=8,
)
_LINES = [
    ("FONT", (0, 0), (-1, -1), "Helvetica", 8),
    ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 8),
    ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#bbbbbb")),
    ("LEFTPADDING", (0, 0), (-1, -1), 3),
    ("RIGHTPADDING", (0, 0), (-1, -1), 2),
]


def pdf_pages(request: ReportRequest) -> bytes:
    """A PDF of one page or two, of more only for many remarks; the same request gives the same bytes."""
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=16 * mm,
        bottomMargin=20 * mm,
        title=f"{MODEL_NAME}: {TITLE}",
        author=MANUFACTURER,
        lang="en-US",
        invariant=1,  # a date that is always the same, and an ID that follows from the content
        pageCompression=0,
    )
    document.build(list(_story(request)), onFirstPage=_foot, onLaterPages=_foot)
    return buffer.getvalue()


def _story(request: ReportRequest) -> Iterator[Flowable]:
    pipeline = f"Pipeline {request.identity.pipeline}, " if request.identity.pipeline else ""
    yield _text(f"{MODEL_NAME}: {TITLE}", _TITLE)
    yield _text(f"{pipeline}{MODEL_NAME} {VERSION}, {request.composed_at:%Y-%m-%d %H:%M %Z}. {WHOSE}", _SMALL)
    yield _text(RESEARCH_USE, _WARNING)
    yield _text(wording.headline(request), _ANSWER)
    if request.findings:
        yield _table(request)
        yield from _left_out(request, MOST_ROWS, "listed")
    yield from _pictures(request)
    for heading, texts in (("Remarks", wording.remarks(request)), ("Models", wording.models(request))):
        if texts:
            first, *others = [_text(text, _BODY) for text in texts]
            yield KeepTogether([_text(heading, _HEADING), first])
            yield from others


def _text(text: str, style: ParagraphStyle) -> Flowable:
    return Paragraph(escape(ascii_text(text)), style)


def _table(request: ReportRequest) -> Flowable:
    shown = request.findings[:MOST_ROWS]
    cells = [_HEADINGS, *[_row(request, finding) for finding in shown]]
    marks = [
        ("BACKGROUND", (0, line), (0, line), colors.Color(*[level / 255.0 for level in finding_rgb(finding.number)]))
        for line, finding in enumerate(shown, start=1)
    ]
    widths = [share * _WIDTH for share in _COLUMNS]
    return Table(cells, widths, style=_LINES + marks, repeatRows=1, hAlign="LEFT")


def _row(request: ReportRequest, finding: Finding) -> tuple[str, ...]:
    """As `_HEADINGS` names them."""
    return (str(finding.number), _slice(request, finding), *[value for _, value in facts(finding)])


def _slice(request: ReportRequest, finding: Finding) -> str:
    """The slice of its long axis, from 1, and what viewers call it."""
    number = image_number(request, finding.long_axis.slice_k)
    return f"{finding.long_axis.slice_k + 1}{f' ({number})' if number else ''}"


def _pictures(request: ReportRequest) -> Iterator[Flowable]:
    """Every nodule enlarged on the slice of its long axis, in rows."""
    if request.volume is None or not request.findings:
        return
    shown: list[Any] = [_picture(request.volume, request, finding) for finding in request.findings[:MOST_PICTURES]]
    rows = [shown[first : first + _PER_ROW] for first in range(0, len(shown), _PER_ROW)]
    rows[-1] = [*rows[-1], *[""] * (_PER_ROW - len(rows[-1]))]
    yield Spacer(1, 8)
    yield Table(rows, [_WIDTH / _PER_ROW] * _PER_ROW, hAlign="LEFT", style=[("LEFTPADDING", (0, 0), (-1, -1), 0)])
    yield from _left_out(request, MOST_PICTURES, "shown")


def _picture(volume: Volume, request: ReportRequest, finding: Finding) -> Sequence[Flowable]:
    content = io.BytesIO()
    enlarged(volume, finding, _PICTURE_PIXELS).save(content, "JPEG", quality=90)
    width = _WIDTH / _PER_ROW - 6
    height = width * _PICTURE_PIXELS[1] / _PICTURE_PIXELS[0]
    caption = f"Nodule {finding.number}, slice {_slice(request, finding)}"
    return [Image(content, width, height), _text(caption, _SMALL)]


def _left_out(request: ReportRequest, most: int, verb: str) -> Iterator[Flowable]:
    more = len(request.findings) - most
    if more > 0:
        yield _text(f"{more} more are not {verb} here; all are in the structured report.", _SMALL)


def _foot(canvas: Any, document: Any) -> None:
    """On every page, as pages get apart."""
    canvas.setFont("Helvetica", 8)
    canvas.drawString(_MARGIN + 6, 11 * mm, RESEARCH_USE)
    canvas.drawRightString(A4[0] - _MARGIN - 6, 11 * mm, f"{MODEL_NAME} {VERSION}, page {document.page}")
