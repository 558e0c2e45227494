"""A phantom on disk in the eyes of others: a public validator, and the pipeline's own way from files to lungs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.contract import SeriesLimits
from inference.eligibility import judge
from inference.lungs import find_lungs
from inference.series import find_files, load, read_headers
from training.data.phantom import SMALL, Phantom, make
from training.data.phantom.dicomise import identity, write

EXPLICIT, IMPLICIT, JPEG_LS, RLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
)
LIMITS = SeriesLimits(
    slice_thickness_mm=(0.5, 3.0),
    slice_spacing_mm=(0.4, 3.0),
    pixel_spacing_mm=(0.4, 1.0),
    minimum_slices=40,
    minimum_coverage_mm=100.0,
)
SEED = 9


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make(SEED, SMALL)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_LS, RLE])
def test_dciodvfy_has_nothing_to_say(phantom: Phantom, tmp_path: Path, syntax: str) -> None:
    paths = write(phantom, tmp_path, transfer_syntax=syntax)
    for path in (paths[0], paths[len(paths) // 2], paths[-1]):
        command = [str(Path(sys.executable).with_name("dciodvfy")), "-new", str(path)]
        said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        lines = (said.stdout + said.stderr).splitlines()
        assert [line for line in lines if line.startswith(("Error", "Warning"))] == []
        assert any("CTImage" in line for line in lines)


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_LS])
def test_the_pipeline_reads_the_phantom_as_it_was_made(phantom: Phantom, tmp_path: Path, syntax: str) -> None:
    write(phantom, tmp_path, transfer_syntax=syntax)
    (series,) = read_headers(find_files(tmp_path))
    eligibility = judge(series, LIMITS)
    assert eligibility.reasons == ()
    assert eligibility.grid is not None
    volume = load(eligibility.slices, eligibility.grid)
    assert np.allclose(volume.grid.matrix, phantom.grid.matrix, atol=1e-5)
    assert np.allclose(volume.grid.origin_lps, phantom.grid.origin_lps, atol=1e-4)
    assert volume.frame_of_reference_uid == identity(phantom).frame_of_reference_uid
    assert (volume.volume_hu == phantom.volume_hu).all()


def test_the_lungs_are_found_where_they_were_drawn(phantom: Phantom) -> None:
    found = find_lungs(phantom.volume).mask_kji
    overlap = 2 * (found & phantom.lungs).sum() / (found.sum() + phantom.lungs.sum())
    assert overlap > 0.95


def run_command(out: Path, threads: int) -> str:
    """`python -m training.data.phantom` with a number of threads for BLAS; what it printed."""
    command = [sys.executable, "-m", "training.data.phantom", "--seed", str(SEED), "--profile", "small"]
    done = subprocess.run(
        [*command, "--out", str(out), "--transfer-syntax", "rle"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
    )
    return done.stdout


def test_the_command_writes_the_same_series_with_its_truth_on_any_number_of_threads(
    phantom: Phantom, tmp_path: Path
) -> None:
    printed = run_command(tmp_path / "one", threads=1)
    run_command(tmp_path / "two", threads=2)
    truths = [json.loads((tmp_path / name / "truth.json").read_text()) for name in ("one", "two")]
    assert "SYNTHETIC PHANTOM" in printed
    assert len(list((tmp_path / "one").glob("*.dcm"))) == len(phantom.volume_hu)
    assert len(truths[0]["nodules"]) == len(phantom.nodules)
    assert truths[0] == truths[1]
    assert truths[0]["series_uid"] == identity(phantom).series_uid
