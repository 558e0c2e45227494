"""What a PACS's readers measured becomes soft masks, a pack, a run and its figures, all through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner, Result

from tests.support.recist_reports import LONG, SHORT, axis, group, image, line, report
from tests.support.series import a_series
from tests.unit.training.labels.soft_masks.discs import disc, image_hu
from training.cli import app
from training.data import packs
from training.errors import DataLacking
from training.evaluation.slices import MEASURED_TRUTH

RUNNER = CliRunner()


def call(*arguments: object) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def hu(points: np.ndarray) -> np.ndarray:
    """A disc of 7 mm radius about the z axis, in lung, with some texture."""
    x, y = points[..., 0], points[..., 1]
    return np.round(np.where(np.hypot(x, y) <= 7.0, 20.0, -850.0) + 15 * np.sin(37 * x + 91 * y))


def measured_case(folder: Path, patient_id: str) -> None:
    """A CT of 96 x 96 pixels of 0.7 mm, and a report that measures the disc on its middle slice."""
    paths = a_series(
        folder / "ct", hu=hu, slices=3, size=(96, 96), pixel_spacing_mm=(0.7, 0.7), study=patient_id,
        PatientID=patient_id,
    )  # fmt: skip
    on = image(str(dcmread(paths[1], stop_before_pixels=True).SOPInstanceUID))
    long = axis(LONG, line(38.0, 48.0, 58.0, 48.0, on=on))
    short = axis(SHORT, line(48.0, 38.5, 48.0, 57.5, on=on))
    made = report([group(long, short, tracking_uid=f"1.2.{patient_id.removeprefix('SITE-')}")])
    made.PatientID = patient_id
    made.save_as(folder / "report.dcm", enforce_file_format=True)


def measured_table(folder: Path, patients: int) -> Path:
    """DeepLesion's folders: one slice with one disc of each patient."""
    with (folder / "DL_info.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ("File_name", "Patient_index", "Measurement_coordinates", "Coarse_lesion_type", "Spacing_mm_px_")
        )
        for number in range(1, patients + 1):
            coordinates = "31, 40, 49, 40, 40, 32, 40, 48"
            table.writerow((f"{number:06}_01_01_007.png", number, coordinates, 5, "0.7, 0.7, 5"))
            stored = image_hu(disc(9.0, edge=80, centre=40.0)).astype(np.int32) + 32768
            (folder / "Images_png" / f"{number:06}_01_01").mkdir(parents=True)
            Image.fromarray(stored.astype(np.uint16)).save(folder / "Images_png" / f"{number:06}_01_01" / "007.png")
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From the reports of four patients, by way of soft masks."""
    folder = tmp_path_factory.mktemp("site")
    for number in range(1, 5):
        measured_case(folder / "site" / str(number), f"SITE-{number}")
    labelled = call("label", "soft-masks", folder / "site", folder / "masks", "--scale", 2)
    assert labelled.exit_code == 0, labelled.output
    packed = call("data", "pack", folder / "masks", folder / "pack")
    assert packed.exit_code == 0, packed.output
    assert "4 of recist-soft-masks" in packed.stdout and "0 nodules, 1 slices" in packed.stdout
    for path in (*(folder / "masks").rglob("*"), *(folder / "pack").rglob("*")):
        assert path.is_dir() or b"SITE-" not in path.read_bytes(), "nobody can read whose they are"
    return folder / "pack"


def test_masks_and_pack_are_checked_and_say_that_nobody_drew_them(pack: Path) -> None:
    for folder, kind in ((pack.parent / "masks", "recist-soft-masks"), (pack, "slices")):
        answer = call("data", "check", folder, "--json")
        assert answer.exit_code == 0, answer.output
        (found,) = json.loads(answer.stdout)
        assert (found["kind"], found["nodules"], found["patients"]) == (kind, 4, 4)
        assert found["readers"] == {"0": 4}, "measured only"
    assert packs.about(pack)["slices"] == {"recist-soft-masks": 4}  # type: ignore[index]


@pytest.mark.slow
def test_dsnet_learns_the_soft_masks_and_its_figures_say_what_they_are_against(pack: Path, tmp_path: Path) -> None:
    figures = fitted("dsnet_smoke", pack, tmp_path)
    assert (figures["slices"], figures["soft_masks"]["slices"], figures["soft_masks"]["rejected"]) == (1, 1, 0)
    assert "malignancy" not in figures


@pytest.mark.slow
def test_axes_of_a_table_train_recipes_of_one_hard_mask(tmp_path: Path) -> None:
    (tmp_path / "deeplesion").mkdir()
    table = measured_table(tmp_path / "deeplesion", 4)
    assert call("label", "soft-masks", table, tmp_path / "masks", "--scale", 2).exit_code == 0
    assert call("data", "pack", tmp_path / "masks", tmp_path / "pack").exit_code == 0
    figures = fitted("hr_mpf_smoke", tmp_path / "pack", tmp_path)
    assert figures["slices"] == 1 and "malignancy" not in figures


def fitted(recipe: str, pack: Path, folder: Path) -> dict[str, Any]:
    """The figures of a run that was trained and measured on a pack of such masks alone."""
    data = ("--data", pack, "--cache", folder / "cache")
    trained = call("fit", recipe, folder / "run", *data)
    assert trained.exit_code == 0, trained.output
    measured = call("evaluate", folder / "run", *data)
    assert measured.exit_code == 0, measured.output
    figures: dict[str, Any] = json.loads((folder / "run/evaluation.json").read_text())
    assert figures["truth"] == MEASURED_TRUTH
    assert figures["pack"]["slices"] == {"recist-soft-masks": 4}
    assert "reader_agreement" not in figures
    assert 0 <= figures["segmentation"]["dice"]["value"] <= 1
    return figures


@pytest.mark.parametrize("recipe", ["mt_net_smoke", "detection_guided_smoke", "jnsc_smoke"])
def test_other_recipes_say_what_they_lack_and_leave_no_run(recipe: str, pack: Path, tmp_path: Path) -> None:
    answer = call("fit", recipe, tmp_path / "run", "--data", pack, "--cache", tmp_path / "cache")
    assert isinstance(answer.exception, DataLacking), answer.output
    said = str(answer.exception)
    assert f"{recipe} cannot be trained or measured on" in said
    assert "masks of RECIST axes" in said and "they are for hr_mpf, dsnet, and baseline_* without _lidc" in said
    assert not (tmp_path / "run").exists()
