"""Datasets from files and from bytes. The steps hand them through without looking inside."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from inference.errors import SeriesUnreadable
from inference.series import SliceHeader, read_head
from pacs_node.errors import InstanceUnreadable

UNREADABLE = (InvalidDicomError, OSError, ValueError, KeyError, EOFError, RecursionError)


def read_headers(paths: Sequence[Path]) -> tuple[Dataset, ...]:
    """The instances without their pixels, in the order of the paths; without what is too long, deep or private in them.

    Raises
    ------
    InstanceUnreadable : a file is not DICOM
    """
    return tuple(_read_header(path) for path in paths)


def read_source(slices: Sequence[SliceHeader]) -> tuple[tuple[Dataset, ...], tuple[int, ...]]:
    """The instances that slices come from, without pixels, and the frame of each slice as `ReportRequest` wants them.

    Raises
    ------
    InstanceUnreadable : a file is not DICOM
    """
    if slices[0].frame == 0:
        return read_headers([item.path for item in slices]), ()
    return read_headers([slices[0].path]), tuple(item.frame for item in slices)


def read_document(path: Path) -> Dataset:
    """A whole instance of our own, such as a report stored before; raises InstanceUnreadable."""
    try:
        return pydicom.dcmread(path)
    except UNREADABLE as error:
        raise InstanceUnreadable from error


def decoded(content: bytes) -> Dataset:
    """The dataset of a DICOM file."""
    return pydicom.dcmread(io.BytesIO(content))


def _read_header(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(io.BytesIO(read_head(path).content))
    except (*UNREADABLE, SeriesUnreadable) as error:
        raise InstanceUnreadable from error
