"""A RECIST measurement: the two axes that a reader drew across a lesion on one slice.

Pure. Read from files by `training.data.recist_csv` and `training.data.recist_sr`, made into masks by
`training.labels.soft_masks`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Point = tuple[float, float]
Line = tuple[Point, Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecistAxes:
    """Long and short axis.

    Parameters
    ----------
    long_xy, short_xy : both ends as (column, row) in pixels, the centre of the first pixel being (0, 0)
    """

    long_xy: Line
    short_xy: Line

    def moved(self, step_xy: Point) -> RecistAxes:
        """The same axes in an image whose first pixel is the pixel `step_xy` of this one."""
        return RecistAxes(long_xy=_moved(self.long_xy, step_xy), short_xy=_moved(self.short_xy, step_xy))

    @property
    def ends_xy(self) -> tuple[Point, ...]:
        """The four ends in the order around the lesion."""
        (one, two), (three, four) = self.long_xy, self.short_xy
        return (one, three, two, four)


class AxesImpossible(Exception):
    """Coordinates that are not the two axes of a lesion."""


def axes_of(first_xy: Line, second_xy: Line) -> RecistAxes:
    """The longer line as long axis, the other one as short axis.

    Raises
    ------
    AxesImpossible : a coordinate is not a number or not within a million pixels; a line has no length
    """
    if not all(
        math.isfinite(number) and abs(number) < _FARTHEST for line in (first_xy, second_xy) for number in _flat(line)
    ):
        raise AxesImpossible("a coordinate is not a pixel")
    long_xy, short_xy = sorted((first_xy, second_xy), key=lambda line: -math.dist(*line))
    if math.dist(*short_xy) == 0.0:
        raise AxesImpossible("an axis has no length")
    return RecistAxes(long_xy=long_xy, short_xy=short_xy)


_FARTHEST = 1e6


def _flat(line: Line) -> tuple[float, ...]:
    return (*line[0], *line[1])


def _moved(line: Line, step_xy: Point) -> Line:
    (x0, y0), (x1, y1) = line
    return (x0 - step_xy[0], y0 - step_xy[1]), (x1 - step_xy[0], y1 - step_xy[1])
