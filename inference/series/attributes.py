"""Tolerant reading of single attributes: a value that breaks its VR is None or empty, never an exception or a warning.

pydicom's own conversion warns about bad values and quotes them, and quoted values are patient data; so the bytes are
parsed here. Called from `inference.series.headers` and `inference.series.frames`.
"""

from __future__ import annotations

import math
import struct

from pydicom.charset import python_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from inference.series.limits import MAX_VALUE_BYTES

DEFAULT_ENCODING = "latin_1"
BROKEN_SEQUENCE = (
    BytesLengthException,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    struct.error,
)


class Attributes:
    """Attributes by keyword, looked for in one or more datasets in turn; the first that has it wins."""

    __slots__ = ("_datasets", "encoding")

    def __init__(self, *datasets: Dataset, encoding: str | None = None) -> None:
        self._datasets = datasets
        self.encoding = encoding or self._declared_encoding()

    def text(self, keyword: str) -> str:
        """The value as text without padding; empty if it is missing."""
        return text_of(self._bytes(keyword), self.encoding)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """The values of a multi-valued text; empty if it is missing."""
        return texts_of(self.text(keyword))

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """The values of a decimal string; empty if any of them is not a finite number."""
        return numbers_of(self.text(keyword))

    def number(self, keyword: str) -> float | None:
        """The value of a decimal string that has one value."""
        values = self.numbers(keyword)
        return values[0] if len(values) == 1 else None

    def integer(self, keyword: str) -> int | None:
        """The value of an integer string that has one value."""
        return integer_of(self.text(keyword))

    def binary(self, keyword: str, *, signed: bool = False) -> int | None:
        """The value of a 16-bit integer, read with the sign asked for, whatever its VR says."""
        element, raw = self._element(keyword), self._bytes(keyword)
        if isinstance(element, RawDataElement) and len(raw) == 2:
            return int.from_bytes(raw, "little" if element.is_little_endian else "big", signed=signed)
        if isinstance(element, DataElement) and isinstance(element.value, int):  # pydicom converts what it needs itself
            return int.from_bytes((element.value & 0xFFFF).to_bytes(2, "little"), "little", signed=signed)
        return None

    def items(self, keyword: str) -> tuple[Dataset, ...]:
        """The items of a sequence; empty if it is missing or broken."""
        tag = tag_for_keyword(keyword)
        for dataset in self._datasets:
            if tag is not None and tag in dataset:
                try:
                    return tuple(item for item in dataset[tag].value or () if isinstance(item, Dataset))
                except BROKEN_SEQUENCE:
                    return ()
        return ()

    def within(self, *datasets: Dataset) -> Attributes:
        """The attributes of sequence items, and those of this one where the items do not have them."""
        return Attributes(*datasets, *self._datasets, encoding=self.encoding)

    def _element(self, keyword: str) -> DataElement | RawDataElement | None:
        tag = tag_for_keyword(keyword)
        # pydicom takes an empty value for one that it has yet to read and convert, and raises where the VR is unknown.
        found = (item.get_item(tag, keep_deferred=True) for item in self._datasets if tag is not None and tag in item)
        return next(found, None)

    def _bytes(self, keyword: str) -> bytes:
        element = self._element(keyword)
        value = element.value if isinstance(element, RawDataElement) else None
        return value if isinstance(value, bytes) else b""

    def _declared_encoding(self) -> str:
        """Codec of the first Specific Character Set; code extensions (ISO 2022) beyond it are not followed."""
        declared = self._datasets[0].get("SpecificCharacterSet") or ""
        terms = [declared] if isinstance(declared, str) else declared
        return str(python_encoding.get(next((term for term in terms if term), ""), DEFAULT_ENCODING))


def text_of(value: bytes, encoding: str) -> str:
    """A value as text without padding; empty if it is longer than any that is looked at."""
    return value.decode(encoding, "replace").strip(" \0") if len(value) <= MAX_VALUE_BYTES else ""


def texts_of(text: str) -> tuple[str, ...]:
    """The values of a multi-valued text."""
    return tuple(part.strip() for part in text.split("\\")) if text else ()


def numbers_of(text: str) -> tuple[float, ...]:
    """The values of a decimal string; empty if any of them is not a finite number."""
    try:
        values = tuple(float(part) for part in texts_of(text))
    except ValueError:
        return ()
    return values if all(math.isfinite(value) for value in values) else ()


def integer_of(text: str) -> int | None:
    """The value of an integer string that has one value."""
    values = numbers_of(text)
    return int(values[0]) if len(values) == 1 and values[0].is_integer() else None
