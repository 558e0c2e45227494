"""`pulmonode-train label soft-masks` from folder to folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from tests.unit.training.labels.soft_masks.discs import disc, image_hu
from training.cli.label import label_app


def test_the_verb_makes_masks_and_says_what_it_refused(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    slices = folder / "Images_png" / "000001_01_01"
    slices.mkdir(parents=True)
    stored = image_hu(disc(9.0, edge=80, centre=40.0)).astype(np.int32) + 32768
    Image.fromarray(stored.astype(np.uint16)).save(slices / "007.png")
    (folder / "DL_info.csv").write_text(
        "File_name,Measurement_coordinates\n"
        '000001_01_01_007.png,"31,40,49,40,40,32,40,48"\n'
        '000001_01_01_008.png,"31,40,49,40,40,32,40,48"\n'
    )
    done = CliRunner().invoke(label_app, ["soft-masks", str(folder), str(out), "--scale", "2"])
    assert done.exit_code == 0, done.output
    counts = dict(line.split() for line in done.output.splitlines() if len(line.split()) == 2)
    assert (counts["made"], counts["rejected"], counts["refused"], counts["image.absent"]) == ("1", "0", "1", "1")
    assert (out / "masks" / "00001.npz").is_file()
    assert (out / "pictures" / "made-001.png").is_file()
