"""CPU seconds of the mask of the lungs, ours beside the plain one of SimpleITK, and how alike they are: on real CTs.

The plain one is what a careful user of SimpleITK writes who wants what `inference.lungs` says, voxel by voxel: the two
largest pieces of air inside the body, without the airways, and each lung closed by a ball. Both tell airways by one
rule; the plane between the lungs and what is gas in the bowel are ours in both: they are not what is compared.
Called by `tests.benchmarks.load`.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from inference.blocks import blocks_of, nearest
from inference.bowel_gas import bowel_gas
from inference.eligibility.stack import sorted_stack, stack_grid
from inference.lungs import (
    AIR_HU,
    AIRWAY_CM2,
    AIRWAY_OFFSET_MM,
    AIRWAY_REACH_MM,
    BLOCK_MM,
    CLEAN_AIR_HU,
    CLEAN_SHARE,
    CLOSING_MM,
    FRAGMENT_SHARE,
    find_lungs,
)
from inference.series import find_files, load, read_headers
from inference.volume import BoolArray, Volume

CT_DATA = Path(__file__).parents[2] / "../shared/data/ct"
REAL = ("LIDC-IDRI-0001", "C3N-00247", "ACRIN-FLT-Breast_001")
"""folders, of which the last holds two series"""


def real_volumes(folder: Path = CT_DATA) -> dict[str, Volume]:
    """The real CTs by name; none where there is no data."""
    volumes = {}
    for name in REAL if folder.is_dir() else ():
        for number, series in enumerate(read_headers(find_files(folder / name)), start=1):
            stack = sorted_stack(series.slices)
            volumes[f"{name}, series {number}"] = load(stack, stack_grid(stack))
    return volumes


def measure(volume: Volume) -> tuple[float, float, float]:
    """CPU seconds of our mask and of the plain one, and their Dice."""
    started_s = time.process_time()
    lungs = find_lungs(volume)
    ours_s = time.process_time() - started_s
    plain = plain_lungs(volume, lungs.midline_mm)
    plain_s = time.process_time() - started_s - ours_s
    return ours_s, plain_s, 2.0 * float((lungs.mask_kji & plain).sum()) / float(lungs.mask_kji.sum() + plain.sum())


def plain_lungs(volume: Volume, midline_mm: float) -> BoolArray:
    """Mask of both lungs; rows run to the patient's left, slices are axial."""
    image = sitk.GetImageFromArray(volume.volume_hu)
    image.SetSpacing(volume.grid.spacing_mm[::-1])
    middle = (midline_mm - volume.grid.origin_lps[0]) / volume.grid.spacing_mm[2]
    air = image < AIR_HU
    lungs = _largest(air & _body(air) & ~_gas(volume, image, midline_mm))
    lungs = lungs & ~_airways(lungs, image, middle)
    halves = [sitk.Image(lungs), sitk.Image(lungs)]
    halves[0][: round(middle), :, :] = 0
    halves[1][round(middle) :, :, :] = 0
    return sitk.GetArrayFromImage(_closed(halves[0]) | _closed(halves[1])).astype(bool)


def _gas(volume: Volume, image: sitk.Image, middle_mm: float) -> sitk.Image:
    """Gas in the bowel, as `inference.bowel_gas` says."""
    blocks, _ = blocks_of(volume, (BLOCK_MM,) * 3)
    gas = nearest(bowel_gas(blocks.volume_hu < AIR_HU, blocks, middle_mm), blocks.grid, volume.grid)
    named = sitk.GetImageFromArray(gas.view(np.uint8))
    named.CopyInformation(image)
    return named


def _body(air: sitk.Image) -> sitk.Image:
    """Largest piece of tissue, without blanket and table, its holes filled slice by slice."""
    width, height, _ = _radius(air, BLOCK_MM)
    tissue = sitk.BinaryMorphologicalOpening(air == 0, [width, height, 0])
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(tissue)) == 1
    body = sitk.JoinSeries([sitk.BinaryFillhole(largest[:, :, k]) for k in range(largest.GetSize()[2])])
    body.CopyInformation(air)
    return body


def _largest(enclosed: sitk.Image) -> sitk.Image:
    """The largest piece, which may be both lungs, and the next if it is large enough for a lung."""
    labels = sitk.RelabelComponent(sitk.ConnectedComponent(enclosed))
    sizes = np.bincount(sitk.GetArrayViewFromImage(labels).ravel())[1:3]
    return (labels > 0) & (labels <= int(np.sum(sizes >= FRAGMENT_SHARE * sizes[0])))


def _airways(lungs: sitk.Image, image: sitk.Image, middle: float) -> sitk.Image:
    """Small islands near the middle of their slice that with those of the next slices are clean air."""
    width, height, _ = lungs.GetSpacing()
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputePerimeterOff()

    def is_island(label: int) -> bool:
        left, _, columns, _ = shape.GetBoundingBox(label)
        return bool(
            shape.GetNumberOfPixels(label) * width * height <= AIRWAY_CM2 * 100
            and abs(shape.GetCentroid(label)[0] - middle * width) <= AIRWAY_OFFSET_MM
            and max(middle - left, left + columns - middle) * width <= AIRWAY_REACH_MM
        )

    slices = []
    for k in range(lungs.GetSize()[2]):
        labels = sitk.ConnectedComponent(lungs[:, :, k])
        shape.Execute(labels)
        slices.append(sitk.ChangeLabel(labels, {label: is_island(label) for label in shape.GetLabels()}) > 0)
    islands = sitk.JoinSeries(slices)
    islands.CopyInformation(lungs)
    pieces = sitk.ConnectedComponent(islands)
    clean = sitk.LabelIntensityStatisticsImageFilter()
    clean.Execute(pieces, image < CLEAN_AIR_HU)
    return sitk.ChangeLabel(pieces, {label: clean.GetMean(label) >= CLEAN_SHARE for label in clean.GetLabels()}) > 0


def _closed(lung: sitk.Image) -> sitk.Image:
    """Closed by a ball, within the box that holds it."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(lung)
    if not shape.GetNumberOfLabels():
        return lung
    x, y, z, width, height, depth = shape.GetBoundingBox(1)
    box = (slice(x, x + width), slice(y, y + height), slice(z, z + depth))
    lung[box] = sitk.BinaryMorphologicalClosing(lung[box], _radius(lung, CLOSING_MM), sitk.sitkBall)
    return lung


def _radius(image: sitk.Image, mm: float) -> list[int]:
    return [max(1, round(mm / spacing)) for spacing in image.GetSpacing()]
