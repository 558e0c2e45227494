"""A folder of LUNA16 as it is distributed: chests with balls; and models that are as certain as a ball is dense.

a_luna16_folder(path, {"1.2.3": A_SCAN})
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from inference.contract import Contract
from inference.geometry import FloatArray, Point
from inference.predictor import FloatTensor
from tests.support.predictors import DETECTION, INTENSITY, FakePredictor, a_detector, a_head
from tests.support.series import Ball
from tests.support.volumes import a_grid, a_volume

COLUMNS = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
SHAPE_KJI, SPACING_MM = (24, 45, 65), (2.0, 2.0, 2.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chest:
    """What lies in a scan: balls, and what the tables say of it as (place, diameter)."""

    balls: Sequence[Ball] = ()
    nodules: Sequence[tuple[Point, float]] = ()
    excluded: Sequence[tuple[Point, float]] = ()


def a_luna16_folder(folder: Path, chests: Mapping[str, Chest]) -> Path:
    """Volumes by series in `subset0`, with both tables."""
    (folder / "subset0").mkdir(parents=True)
    for series_uid, chest in chests.items():
        volume = a_volume(_hu(chest.balls), a_grid(SHAPE_KJI, SPACING_MM))
        image = sitk.GetImageFromArray(volume.volume_hu)
        image.SetSpacing(SPACING_MM)
        image.SetOrigin(volume.grid.origin_lps)
        sitk.WriteImage(image, str(folder / "subset0" / f"{series_uid}.mhd"))
    for name, of in (("annotations.csv", "nodules"), ("annotations_excluded.csv", "excluded")):
        rows = [
            f"{series_uid},{x},{y},{z},{diameter}\n"
            for series_uid, chest in chests.items()
            for (x, y, z), diameter in getattr(chest, of)
        ]
        (folder / name).write_text(COLUMNS + "".join(rows))
    return folder


def dense_models() -> tuple[Contract, Contract]:
    """A detector and its head; the operating score is 0.5."""
    detection = dataclasses.replace(DETECTION, stride_kji=(64, 64, 64))
    roles = ("detection", "segmentation")
    return a_detector(detection=detection, system="fake", roles=roles, head="fake_head"), a_head(version=1)


def a_dense_predictor() -> FakePredictor:
    """Gives a ball of 100 to 400 HU a score of its HU / 500: a probability of HU / 400, and 0.8 for being a nodule."""
    return FakePredictor(*dense_models(), probability=_density, verdict=(0.6, 0.2, 0.2))


def _density(windows: FloatTensor) -> FloatTensor:
    hu = windows * INTENSITY.sd_hu + INTENSITY.mean_hu
    return np.asarray(np.where(hu > 60, hu / 400, 0.0).clip(0, 1), np.float32)


def _hu(balls: Sequence[Ball]):  # type: ignore[no-untyped-def]
    """A body of 120 x 80 mm, endless along z, with two lungs of 32 x 44 mm in it, and balls."""

    def hu(points_lps: FloatArray) -> FloatArray:
        x, y, _ = np.moveaxis(points_lps, -1, 0)
        values = np.where(np.hypot(x / 60, y / 40) < 1, 40.0, -1000.0)
        values[np.hypot((abs(x) - 30) / 16, y / 22) < 1] = -850.0
        for ball in balls:
            values[np.linalg.norm(points_lps - ball.centre_lps, axis=-1) <= ball.diameter_mm / 2] = ball.hu
        return values

    return hu
