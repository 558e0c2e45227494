"""Series encoded by other people's software, DCMTK and GDCM, give the same Hounsfield units."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from inference.eligibility import judge
from inference.series import load, read_headers
from inference.volume import Volume
from tests.support.headers import FEW
from tests.support.series import Ball, a_chest_series, a_series

pytestmark = pytest.mark.services

LOSSLESS = [
    ("dcmconv +ti", ImplicitVRLittleEndian),
    ("dcmconv +tb", ExplicitVRBigEndian),
    ("dcmconv +td", DeflatedExplicitVRLittleEndian),
    ("dcmcjpeg +e1", JPEGLosslessSV1),
    ("dcmcjpeg +el", JPEGLossless),
    ("dcmcjpls +el", JPEGLSLossless),
    ("dcmcrle", RLELossless),
    ("gdcmconv --jpeg", JPEGLosslessSV1),
    ("gdcmconv --jpegls", JPEGLSLossless),
    ("gdcmconv --j2k", JPEG2000Lossless),
    ("gdcmconv --rle", RLELossless),
]
"""command, the Transfer Syntax UID that it writes"""

LOSSY = [
    ("dcmcjpls +en", "dcmdjpls", JPEGLSNearLossless),
    ("gdcmconv --jpegls --lossy -e 3", "dcmdjpls", JPEGLSNearLossless),
    ("dcmcjpeg +ee", "dcmdjpeg", JPEGExtended12Bit),
    ("gdcmconv --j2k --lossy -r 20", "gdcmconv --raw", JPEG2000),
]
"""command, the command that undoes it, and the Transfer Syntax UID between"""

CODINGS: dict[str, dict[str, Any]] = {
    "12 bits": {"bits_stored": 12, "signed": False},
    "16 bits signed": {"bits_stored": 16, "signed": True, "rescale": (1.0, 0.0)},
}


def encoded(paths: list[Path], command: str) -> list[Path]:
    """The files, rewritten by a command beside them."""
    tool, *options = command.split()
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    targets = [path.with_suffix(f"{path.suffix}.{tool}") for path in paths]
    for path, target in zip(paths, targets, strict=True):
        subprocess.run([tool, *options, str(path), str(target)], check=True, capture_output=True, timeout=60)
    return targets


def volume_of(paths: list[Path], syntax: str) -> Volume:
    (series,) = read_headers(paths)
    assert {item.transfer_syntax_uid for item in series.slices} == {syntax}
    eligibility = judge(series, FEW)
    assert eligibility.grid is not None, eligibility.codes
    return load(eligibility.slices, eligibility.grid)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("command", "syntax"), LOSSLESS)
def test_what_others_encode_without_loss_is_read_without_loss(
    tmp_path: Path, command: str, syntax: str, coding: str
) -> None:
    paths = a_series(tmp_path, slices=3, size=(24, 40), **CODINGS[coding])
    expected = volume_of(paths, ExplicitVRLittleEndian)
    volume = volume_of(encoded(paths, command), syntax)
    assert volume.grid == expected.grid
    np.testing.assert_array_equal(volume.volume_hu, expected.volume_hu)


@pytest.mark.parametrize(("command", "inverse", "syntax"), LOSSY)
def test_what_others_encode_with_loss_is_read_as_others_read_it(
    tmp_path: Path, command: str, inverse: str, syntax: str
) -> None:
    paths = a_chest_series(tmp_path, slices=2, balls=[Ball(centre_lps=(60.0, 0.0, 0.0), diameter_mm=20.0)])
    compressed = encoded(paths, command)
    volume = volume_of(compressed, syntax)
    expected = volume_of(encoded(compressed, inverse), ExplicitVRLittleEndian)
    difference_hu = np.abs(volume.volume_hu.astype(int) - expected.volume_hu)
    assert difference_hu.max() <= 1  # decoders may round their transforms differently
    assert np.any(expected.volume_hu != volume_of(paths, ExplicitVRLittleEndian).volume_hu)  # there was a loss


def test_an_enhanced_ct_is_read_as_others_compress_it(tmp_path: Path) -> None:
    paths = a_series(tmp_path, slices=3, size=(24, 40), enhanced=True, rescale=lambda k: (1.0, -1000.0 - k))
    expected = volume_of(paths, ExplicitVRLittleEndian)
    for command, syntax in (
        ("dcmcjpls +el", JPEGLSLossless),
        ("dcmcjpeg +e1", JPEGLosslessSV1),
        ("dcmcrle", RLELossless),
    ):
        np.testing.assert_array_equal(volume_of(encoded(paths, command), syntax).volume_hu, expected.volume_hu)


def test_a_frame_in_many_fragments_is_one_frame(tmp_path: Path) -> None:
    paths = a_series(tmp_path, slices=2, size=(128, 128))
    expected = volume_of(paths, ExplicitVRLittleEndian)
    fragmented = encoded(paths, "dcmcjpls +el +fs 1")
    assert fragmented[0].read_bytes().count(b"\xfe\xff\x00\xe0") > 2  # the offset table and two fragments or more
    np.testing.assert_array_equal(volume_of(fragmented, JPEGLSLossless).volume_hu, expected.volume_hu)


def test_baseline_jpeg_is_refused_for_it_holds_no_ct_numbers(tmp_path: Path) -> None:
    paths = a_series(tmp_path, slices=3, size=(24, 40), **CODINGS["12 bits"])
    (series,) = read_headers(encoded(paths, "dcmcjpeg +eb"))
    codes = judge(series, FEW).codes
    assert codes == ("series.pixel-format", "series.unsupported-transfer-syntax")
