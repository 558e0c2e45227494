"""`make demo` as a newcomer sees it: phantom, Triton, trained models, PACS, and the way between them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from tests.support.nodes import clean_environment
from tests.support.validators import beside_python, complaints, installed, ran

ROOT = Path(__file__).parents[2]
MOST_FALSE_FINDINGS = 4

pytestmark = [pytest.mark.triton, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demo that has ended, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "pacs_node", "demo", "--folder", str(folder)],
        capture_output=True,
        text=True,
        env=clean_environment() | {"COLUMNS": "200"},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_solid_nodules_of_6_mm_are_found_in_a_phantom_that_was_not_trained_on(demo: tuple[Path, str]) -> None:
    folder, printed = demo
    (truth,) = folder.glob("phantom-*/truth.json")
    nodules = json.loads(truth.read_text())["nodules"]
    due = [n for n in nodules if n["attenuation"] == "solid" and n["diameter_mm"] >= 6]
    found = [float(mm) for mm in re.findall(r"│ found +│ solid +│ ([0-9.]+) ", printed) if float(mm) >= 6]
    assert due
    assert len(found) >= 0.8 * len(due)
    assert printed.count("not in the truth") <= MOST_FALSE_FINDINGS
    assert "SYNTHETIC" in printed


def test_seg_sr_and_a_picture_of_each_nodule_are_there(demo: tuple[Path, str]) -> None:
    results = demo[0] / "run/results"
    seg = pydicom.dcmread(results / "study-1-seg.dcm")
    assert seg.Modality == "SEG"
    assert pydicom.dcmread(results / "study-1-sr.dcm").Modality == "SR"
    assert len(list(results.rglob("nodule-*.png"))) == len(seg.SegmentSequence)


def test_validators_find_nothing_wrong_with_what_the_pacs_holds(demo: tuple[Path, str]) -> None:
    results = demo[0] / "run/results"
    for path in results.glob("*.dcm"):
        assert complaints(ran(beside_python("dciodvfy"), "-new", str(path))) == []
    report = ran(installed("dsrdump"), str(results / "study-1-sr.dcm"))
    assert "Imaging Measurement Report" in report
    assert complaints(report) == []
