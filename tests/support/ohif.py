"""OHIF in Chromium: opens studies of a PACS as a reader would (`tests/viewers/ohif.mjs`), and reads what was drawn.

Every builder skips the test where Node.js, Chromium or the packages of `tests/viewers` are not installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

VIEWERS = Path(__file__).parents[1] / "viewers"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 420
GREY = 20
"""A pixel whose red, green and blue differ by more than this is not of the CT."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A study to open, and the modalities of the series to open in it, in this order.

    Parameters
    ----------
    slices : of which pictures are taken with the SEG, counted from the head from 0
    """

    name: str
    study_uid: str
    modalities: tuple[str, ...]
    slices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """A slice as the viewport showed it.

    Parameters
    ----------
    sop_instance_uid : the instance on display
    origin_lps : upper left corner of the canvas, mm
    right_lps, down_lps : steps of one canvas pixel, mm
    lines : x1, y1, x2, y2 in canvas pixels from its upper left corner
    texts : lines of text beside them
    picture : (row, column, red-green-blue) of the canvas; None where none was taken
    """

    sop_instance_uid: str
    origin_lps: FloatArray
    right_lps: FloatArray
    down_lps: FloatArray
    lines: FloatArray
    texts: tuple[str, ...]
    picture: NDArray[np.uint8] | None

    @property
    def overlay(self) -> BoolArray:
        """Canvas pixels that are coloured; shape (row, column)."""
        picture = self._taken().astype(int)
        return np.asarray(np.ptp(picture, axis=-1) > GREY)

    @property
    def points_lps(self) -> FloatArray:
        """Centres of the canvas pixels in the patient, mm; shape (row, column, 3)."""
        rows, columns = np.mgrid[: self._taken().shape[0], : self._taken().shape[1]] + 0.5
        return np.asarray(self.origin_lps + columns[..., None] * self.right_lps + rows[..., None] * self.down_lps)

    def canvas_from_lps(self, point_lps: FloatArray) -> FloatArray:
        """Canvas pixel (x, y) of a point in the plane of the slice."""
        steps = np.stack([self.right_lps, self.down_lps], axis=1)
        return np.asarray(np.linalg.lstsq(steps, point_lps - self.origin_lps, rcond=None)[0])

    def _taken(self) -> NDArray[np.uint8]:
        assert self.picture is not None, "no picture was taken of this slice"
        return self.picture


def need_node(*packages: str) -> str:
    """The path of Node.js; skips unless it and these packages are there."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    missing = [package for package in packages if not (VIEWERS / "node_modules" / package).is_dir()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: npm ci --ignore-scripts --prefix tests/viewers")
    return node


def visited(pacs_url: str, folder: Path, visits: Sequence[Visit], **options: Any) -> dict[str, Any]:
    """What OHIF shows of each study, by the name of the visit; pictures and screenshots go to `folder`.

    The answer is what `ohif.mjs` writes: read slices of it with `shown`.
    """
    node = need_node("@ohif/app", "playwright-core")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("Chromium is not installed")
    wanted = [{"name": v.name, "study": v.study_uid, "open": v.modalities, "slices": v.slices} for v in visits]
    question = {"pacs": pacs_url, "browser": browser, "out": str(folder), "visits": wanted, **options}
    done = subprocess.run(
        [node, "ohif.mjs"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        cwd=VIEWERS,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return seen


def shown(folder: Path, said: dict[str, Any]) -> Shown:
    """A slice that `ohif.mjs` described."""
    origin, right, down = (np.array(said["canvas"][name], float) for name in ("origin", "right", "down"))
    picture = np.array(Image.open(folder / said["picture"]).convert("RGB")) if "picture" in said else None
    return Shown(
        sop_instance_uid=said["instance"],
        origin_lps=origin,
        right_lps=right - origin,
        down_lps=down - origin,
        lines=np.array(said["lines"], float).reshape(-1, 4),
        texts=tuple(said["texts"]),
        picture=picture,
    )


def projected(mask_ji: BoolArray, ct: Dataset, points_lps: FloatArray) -> BoolArray:
    """Which points lie in voxels of the mask of a CT instance; `ct` needs the Image Plane module only."""
    row_step, column_step = _steps_lps(ct)
    within = points_lps - np.array(ct.ImagePositionPatient, float)
    j = np.rint(within @ row_step / (row_step @ row_step)).astype(int)
    i = np.rint(within @ column_step / (column_step @ column_step)).astype(int)
    is_inside = (j >= 0) & (j < mask_ji.shape[0]) & (i >= 0) & (i < mask_ji.shape[1])
    return np.asarray(is_inside & mask_ji[np.where(is_inside, j, 0), np.where(is_inside, i, 0)])


def lps_from_scoord(column_row: FloatArray, ct: Dataset) -> FloatArray:
    """Points of SCOORD, where the centre of the first pixel is (0.5, 0.5) (PS3.3 C.10.5.1.2), in the patient."""
    row_step, column_step = _steps_lps(ct)
    column, row = np.moveaxis(np.asarray(column_row, float) - 0.5, -1, 0)
    return np.array(ct.ImagePositionPatient, float) + column[..., None] * column_step + row[..., None] * row_step


def dice(first: Sequence[BoolArray], second: Sequence[BoolArray]) -> float:
    """Of two stacks of masks, over all slices together."""
    both = sum(int((a & b).sum()) for a, b in zip(first, second, strict=True))
    return 2.0 * both / sum(int(mask.sum()) for stack in (first, second) for mask in stack)


def _steps_lps(ct: Dataset) -> tuple[FloatArray, FloatArray]:
    """From row to row and from column to column (PS3.3 C.7.6.2.1.1)."""
    orientation = np.array(ct.ImageOrientationPatient, float)
    return orientation[3:] * float(ct.PixelSpacing[0]), orientation[:3] * float(ct.PixelSpacing[1])
