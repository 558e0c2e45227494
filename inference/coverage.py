"""Whether a CT shows the lungs from apex to base, or ends inside them. Pure; called from `inference.pipeline`."""

from __future__ import annotations

from collections.abc import Iterator

from inference.findings import Limit
from inference.geometry import Grid
from inference.volume import BoolArray

CODES = ("lungs.cut-at-top", "lungs.cut-at-base")

CUT_CM2 = 10.0
"""From this area of lung in the first or last slice on, lung is missing beyond it.

Measured: in two CTs that show the lungs whole, and in a phantom, the area of the apices falls by 3 to 5 cm2 per mm, so
that less than 10 cm2 leaves out no more than 3 mm, the diameter of the smallest nodule that is looked for; what is left
of the recesses at the base is then thinner than that. The end slices of those CTs show none, those of two that end
inside the chest 201 and 224 cm2.
"""


def coverage_limits(lungs_kji: BoolArray, grid: Grid) -> tuple[Limit, ...]:
    """What follows from the lungs for the coverage of the CT; nothing if both ends of them are shown.

    Parameters
    ----------
    lungs_kji : shape of `grid`, bool
    grid : of axial slices, in any order
    """
    return tuple(_limits(lungs_kji, grid))


def _limits(lungs_kji: BoolArray, grid: Grid) -> Iterator[Limit]:
    top, base = (-1, 0) if grid.directions[0][2] > 0 else (0, -1)
    for code, k, end in zip(CODES, (top, base), ("head", "feet"), strict=True):
        area_cm2 = float(lungs_kji[k].sum()) * grid.spacing_mm[1] * grid.spacing_mm[2] / 100.0
        if area_cm2 >= CUT_CM2:
            text = (
                f"only part of the lungs was covered: the slice nearest to the {end} still shows {area_cm2:.0f} cm2 of"
                " lung, and nothing beyond it was analysed"
            )
            yield Limit(code=code, text=text)
