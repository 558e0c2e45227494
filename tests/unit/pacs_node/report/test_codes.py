"""Codes are those of the standard."""

from __future__ import annotations

import pytest
from pydicom.sr import _concepts_dict as tables
from pydicom.sr.coding import Code

from inference.findings import Attenuation, Laterality
from pacs_node.report import codes


def _meanings(code: Code) -> set[str]:
    """Every meaning that the table of the standard has for this code, in lower case."""
    entries = tables.concepts.get(code.scheme_designator, {}).values()
    return {entry[code.value][0].casefold() for entry in entries if code.value in entry}


@pytest.mark.parametrize("code", codes.every_code(), ids=str)
def test_codes_are_in_the_tables_of_the_standard(code: Code) -> None:
    assert len(code.meaning) <= 64
    if code.scheme_designator == codes.PRIVATE_SCHEME:
        return
    if code in _AS_IN_TEMPLATES:
        assert _meanings(code) == {_AS_IN_TEMPLATES[code]}
        return
    if code in _NOT_IN_PS3_16:
        assert not _meanings(code)
        return
    assert code.meaning.casefold() in _meanings(code)


_NOT_IN_PS3_16 = {
    codes.TEXTURE,
    codes.CALCIFICATION,
    *codes.TEXTURE_OF.values(),
    codes.QUALITATIVE_EVALUATIONS,
    *(code for code in codes.PRESCRIBED if code.scheme_designator == "RFC5646"),
}
"""Their sources are named in `codes`; pydicom has no table for UMLS and languages, and not these of NCIt and RADLEX."""


_AS_IN_TEMPLATES = {
    Code("276214006", "SCT", "Finding category"): "findings category type (qualifier value)",
    Code("260753009", "SCT", "Source"): "source (attribute)",
}
"""Templates of PS3.16 spell their meanings otherwise than its list of codes (annex D) does."""


def test_every_type_and_side_has_a_code() -> None:
    assert set(codes.TEXTURE_OF) == set(Attenuation)
    assert set(codes.LATERALITY) == set(Laterality)


def test_a_long_reason_is_still_a_legal_code() -> None:
    code = codes.reason_code("x" * 100)
    assert code.scheme_designator == "99PULMONODE"
    assert len(code.meaning) == 64
