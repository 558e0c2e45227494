"""Whether an encapsulated PDF holds one, whole and no longer than it says. Called from `check`."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from pacs_node.report.check.examined import Examined
from pacs_node.report.check.problem import Problem


def pdf_problems(document: Dataset, _: Examined) -> Iterator[Problem]:
    """Problems of the stream and of what is said about it."""
    if document.get("MIMETypeOfEncapsulatedDocument") != "application/pdf":
        yield _problem("It does not say that it holds a PDF.")
    stream = bytes(document.EncapsulatedDocument)
    length = int(document.get("EncapsulatedDocumentLength") or len(stream.rstrip(b"\0")))
    if not 0 <= len(stream) - length <= 1:
        yield _problem("The length of the PDF is not what it says.")
    content = stream[:length]
    if not content.startswith(b"%PDF-") or not content.rstrip().endswith(b"%%EOF"):
        yield _problem("The PDF is cut off, or none.")
    if b"/JavaScript" in content or b"/Launch" in content or b"/URI" in content:
        yield _problem("The PDF does more than to be read.")
    if document.get("BurnedInAnnotation") not in ("YES", "NO"):
        yield _problem("It does not say whether it tells who the patient is.")


def _problem(text: str) -> Problem:
    return Problem(code="pdf", text=text)
