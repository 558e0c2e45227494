"""The conformance statement says what the configuration and the tables of the code say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from inference import coverage, eligibility
from inference.errors import InferenceError
from inference.findings import Attenuation, Limit
from inference.series import DECODABLE
from pacs_node.cli import command_line
from pacs_node.config import Caller, Config, Destination, Report, Scp
from pacs_node.conformance import statement
from pacs_node.conformance.content import TEMPLATES
from pacs_node.conformance.security import CHARACTER_SETS
from pacs_node.dimse.commitment import STATUSES
from pacs_node.dimse.handlers import is_storage
from pacs_node.dimse.status import OF_ERROR
from pacs_node.domain.document import CLASS_UIDS, DocumentRole
from pacs_node.domain.shipment import PROFILES
from pacs_node.errors import NodeError
from pacs_node.report import compose
from pacs_node.report.check import check
from tests.support.requests import softened
from tests.support.results import a_case, a_ct_header, a_finding, a_grid, a_refusal, a_request, options, read_back

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "deploy/docs/conformance.md"
WIDEST = 120


@pytest.fixture(scope="module")
def text() -> str:
    return statement(Config())


def test_the_document_is_what_the_command_prints_for_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("", encoding="utf-8")
    done = CliRunner().invoke(command_line(["node"]), ["node", "conformance", "--config", str(tmp_path / "node.toml")])
    assert done.exit_code == 0
    assert DOCUMENT.read_text(encoding="utf-8") == done.output, (
        "run `pulmonode node conformance > deploy/docs/conformance.md`"
    )


def test_the_parts_are_those_of_ps3_2(text: str) -> None:
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == [
        "1 Overview",
        "2 Networking",
        "3 Character sets",
        "4 Security",
        "5 Content",
        "Annex A: Storage SOP classes that are accepted",
    ]


def test_it_names_what_the_configuration_says() -> None:
    text = statement(
        Config(
            scp=Scp(ae_title="LUNGS", port=104, maximum_associations=7, callers=(Caller(ae_title="CT1"),)),
            destination=(
                Destination(name="pacs", ae_title="ARCHIVE", host="h", port=104, profile=("images-only",)),
                Destination(name="web", url="https://pacs.example/dicom-web", authorization="Bearer SECRET"),
            ),
            report=Report(sr_class="enhanced", ohif_hydration=True),
        )
    )
    assert "| AE title | `LUNGS`," in text
    assert "| Port | 104 on" in text
    assert "| Associations accepted at once | 7;" in text
    assert "Accepted only from `CT1` (else" in text
    assert "| pacs | C-STORE `ARCHIVE` | captures: Secondary Capture Image Storage |" in text
    assert "| web | STOW-RS https://pacs.example/dicom-web | seg: Segmentation Storage; sr: Enhanced SR" in text
    assert "OHIF turns into its own measurements" in text
    assert "SECRET" not in text


def test_every_document_profile_and_sop_class_of_results_is_named(text: str) -> None:
    assert {role for role in DocumentRole if f"| {role} | " not in text} == set()
    assert {uid for uid in CLASS_UIDS if f"| {uid} |" not in text} == set()
    assert {name for name in PROFILES if f"| {name} |" not in text} == set()


def test_every_status_of_c_store_has_its_error(text: str) -> None:
    for kind, status in OF_ERROR:
        assert f"| 0x{status:04X} | {kind.__doc__} |" in text
    assert "| 0xB000 to 0xBFFF | delivered: the peer holds the instance |" in text
    assert "| 0xA700 to 0xA7FF | not delivered, tried again |" in text
    assert "| 0xA900 | not delivered, not tried again |" in text


def test_every_status_and_reason_of_storage_commitment_is_named(text: str) -> None:
    for status, when in STATUSES:
        assert f"| 0x{status:04X} | {when} |" in text
    assert {"| Storage Commitment Push Model SOP Class | yes | yes |"} <= set(text.splitlines())
    assert "(here: none), in up to 60 attempts" in text


def test_every_transfer_syntax_that_is_decoded_is_named(text: str) -> None:
    assert {uid for uid in DECODABLE if f"| {uid} |" not in text} == set()


def test_the_codes_that_are_named_are_those_that_results_hold(text: str, results: list[Dataset]) -> None:
    section = text.partition("### 5.3")[2].partition("### 5.4")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    written = {(value, scheme, meaning) for result in results for value, scheme, meaning in _codes(result)}
    reasons = {(code, "99PULMONODE", code) for code in ("lungs.cut-at-top", "series.gap")}
    assert reasons < written
    assert {tuple(row) for row in rows[2:]} == written - reasons


@pytest.fixture(scope="module")
def results() -> list[Dataset]:
    """All documents of a positive, superseding result with nodules of every type, and of those without nodules."""
    case, box = a_case(), np.zeros(a_grid().shape_kji, bool)
    box[5:9, 40:46, 10:16] = True  # of one outline
    found = (*case.result.findings, a_finding(a_grid(), case.volume_hu, box, 3))
    nodules = [dataclasses.replace(found[0], number=n, attenuation=kind) for n, kind in enumerate(Attenuation, start=4)]
    whole = dataclasses.replace(case.result, findings=(*found, *nodules))
    positive = a_request(dataclasses.replace(case, result=whole))
    negative = a_request(a_case(nodules=()))
    assert negative.result is not None
    limit = Limit(code="lungs.cut-at-top", text="the top of the lungs is not on the CT")
    limited = dataclasses.replace(negative, result=dataclasses.replace(negative.result, limits=(limit,)))
    earlier = tuple(document.dataset for document in compose(limited))
    requests = (
        dataclasses.replace(softened(positive), predecessor=earlier),
        negative,
        limited,
        a_refusal(),
    )
    everything = options(objects=frozenset(DocumentRole))
    composed = [document for asked in requests for document in compose(dataclasses.replace(asked, options=everything))]
    assert {document.role for document in composed} == set(DocumentRole)
    return read_back(composed)


def _codes(item: Dataset) -> Iterator[tuple[str, str, str]]:
    for element in item:
        for child in element.value if element.VR == "SQ" else ():
            if "CodingSchemeDesignator" in child and "CodeMeaning" in child:
                value = child.get("CodeValue") or child.LongCodeValue
                yield str(value), str(child.CodingSchemeDesignator), str(child.CodeMeaning)
            yield from _codes(child)


def test_every_private_value_is_named(text: str) -> None:
    errors = {kind.code for root in (InferenceError, NodeError) for kind in root.__subclasses__()}
    values = {*errors, *eligibility.CODES, *coverage.CODES}
    assert {value for value in values if f"`{value}`" not in text} == set()


@pytest.mark.parametrize("term", [term for terms in CHARACTER_SETS.values() for term in terms])
def test_every_character_set_that_is_named_is_that_of_the_results_of_its_cts(term: str, text: str) -> None:
    charset = ["", term] if term.startswith("ISO 2022") else term
    header = a_ct_header(a_grid(), 0, SpecificCharacterSet=charset, PatientName="A^B", ReferringPhysicianName="C^D")
    documents = read_back(compose(a_refusal(source=(header,))))
    assert re.search(rf"[|,] {term}[, ]", text)
    assert [document.SpecificCharacterSet for document in documents] == [charset]
    assert check([header], documents) == ()


def test_every_template_that_the_code_names_is_listed() -> None:
    listed = {number for numbers, _, _ in TEMPLATES for number in numbers.split(", ")}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "pacs_node/report").glob("*.py")]
    named = {
        number
        for source in sources
        for group in re.findall(r"TID ((?:\d+(?:, | and | to )?)+)", source)
        for number in re.findall(r"\d+", group)
    }
    assert named == listed


def test_the_annex_lists_storage_classes_only(text: str) -> None:
    uids = re.findall(r"\| ([\d.]+) \|$", text.partition("## Annex A")[2], re.MULTILINE)
    assert len(uids) == len(set(uids)) > 150
    assert all(map(is_storage, uids))
    assert "| Label Map Segmentation Storage | 1.2.840.10008.5.1.4.1.1.66.7 |" in text
    assert "1.2.840.10008.5.1.4.1.1.2" in uids  # CT Image Storage


def test_paragraphs_fit_and_tables_are_whole(text: str) -> None:
    lines = text.splitlines()
    assert [line for line in lines if len(line) > WIDEST and not line.startswith("|")] == []
    for before, line in zip(lines, lines[1:], strict=False):
        if line.startswith("|") and before.startswith("|"):
            assert line.count(" |") == before.count(" |"), line


def test_another_configuration_is_another_statement(text: str) -> None:
    assert statement(dataclasses.replace(Config(), scp=Scp(ae_title="OTHER"))) != text
