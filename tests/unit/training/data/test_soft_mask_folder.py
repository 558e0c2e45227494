"""A folder of soft masks: what was made, what was rejected or refused and why, and the pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.volume import BoolArray, HuArray
from tests.unit.training.labels.soft_masks.discs import axes, disc, image_hu
from training.data.known import Refusal
from training.data.soft_mask_folder import Outcome, Subject, reasons, write
from training.errors import FolderTaken
from training.labels.recist import RecistAxes


def subject(name: str, drawn: BoolArray | RecistAxes, image: HuArray | None = None) -> Subject:
    image_hu_ji = image_hu(disc(7.0)) if image is None else image
    return Subject(
        name=name,
        patient_id="P1",
        series="1.2",
        image="1.2.3",
        pixel_spacing_mm=0.8,
        image_hu_ji=image_hu_ji,
        drawn=drawn,
    )


ITEMS = (
    subject("readers", np.array([disc(6.0), disc(7.0), disc(8.0)])),
    Refusal(code="image.absent", subject="gone", text="The instance, 1.2 is not here."),
    subject("nobody", np.zeros((2, 48, 48), bool)),
    subject("axes", axes(7.0)),
)


def test_every_item_has_a_row_that_says_what_became_of_it(tmp_path: Path) -> None:
    rows = write(ITEMS, tmp_path / "out", scale=2)
    assert [(row.name, row.outcome, row.reasons) for row in rows] == [
        ("readers", Outcome.MADE, ()),
        ("gone", Outcome.REFUSED, ("image.absent",)),
        ("nobody", Outcome.REJECTED, ("mask.empty",)),
        ("axes", Outcome.MADE, ()),
    ]
    with (tmp_path / "out" / "soft_masks.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["outcome"] for row in written] == ["made", "refused", "rejected", "made"]
    assert written[1]["text"] == "The instance, 1.2 is not here."
    assert [row["drawn"] for row in written] == ["readers: 3", "", "readers: 2", "RECIST"]
    assert [row["pixel_spacing_mm"] for row in written] == ["0.8", "", "0.8", "0.8"]
    assert [row["file"] for row in written] == ["masks/00001.npz", "", "", "masks/00004.npz"]
    assert reasons(rows) == {"image.absent": 1, "mask.empty": 1}


def test_what_was_made_is_written_with_its_image(tmp_path: Path) -> None:
    write(ITEMS, tmp_path / "out", scale=2)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["00001.npz", "00004.npz"]
    with np.load(tmp_path / "out" / "masks" / "00001.npz") as pack:
        assert pack["alpha"].shape == (96, 96)
        assert pack["alpha"].dtype == np.float32
        assert (pack["image_hu"] == image_hu(disc(7.0))).all()
        assert (pack["prior"] == disc(7.0)).all()
        assert set(np.unique(pack["trimap"])) == {0.0, 0.5, 1.0}


def test_there_are_pictures_of_the_made_and_of_the_rejected(tmp_path: Path) -> None:
    write(ITEMS, tmp_path / "out", scale=1)
    pictures = sorted((tmp_path / "out" / "pictures").iterdir())
    assert [path.name for path in pictures] == ["made-001.png", "rejected-001.png"]
    with Image.open(pictures[0]) as picture:
        assert picture.mode == "RGB"
        assert picture.width > picture.height


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("kept")
    with pytest.raises(FolderTaken, match="not empty"):
        write(ITEMS, tmp_path, scale=1)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
