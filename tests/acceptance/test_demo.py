"""`make demo` as a newcomer sees it: phantom, Triton, trained models, PACS, and the way between them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from tests.support.nodes import clean_environment

ROOT = Path(__file__).parents[2]


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_ends_with_findings_beside_the_truth_and_their_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pacs_node", "demo", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        env=clean_environment() | {"COLUMNS": "200"},
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "SYNTHETIC" in done.stdout
    assert "found" in done.stdout
    results = tmp_path / "run/results"
    files = {path.stem.rpartition("-")[2]: pydicom.dcmread(path) for path in results.glob("*.dcm")}
    assert files["seg"].Modality == "SEG"
    assert files["sr"].Modality == "SR"
    assert len(list(results.rglob("nodule-*.png"))) == len(files["seg"].SegmentSequence)
