"""What a judgement says. Made by `inference.eligibility.judge`."""

from __future__ import annotations

from dataclasses import dataclass

from inference.geometry import Grid
from inference.series import SliceHeader

CODES = (
    "series.combined",
    "series.duplicate-position",
    "series.frame-count",
    "series.gantry-tilt",
    "series.gap",
    "series.header-too-deep",
    "series.header-too-large",
    "series.irregular-spacing",
    "series.localizer",
    "series.missing-frame-of-reference",
    "series.missing-geometry",
    "series.missing-rescale",
    "series.missing-thickness",
    "series.mixed-frame-of-reference",
    "series.mixed-image-type",
    "series.mixed-orientation",
    "series.mixed-size",
    "series.mixed-spacing",
    "series.mixed-thickness",
    "series.no-pixels",
    "series.not-axial",
    "series.not-contiguous",
    "series.not-ct",
    "series.not-hu",
    "series.oversized",
    "series.pixel-format",
    "series.pixel-spacing-out-of-range",
    "series.rotated",
    "series.shifted",
    "series.spacing-out-of-range",
    "series.thickness-out-of-range",
    "series.too-few-slices",
    "series.too-large",
    "series.too-short",
    "series.truncated",
    "series.unsupported-transfer-syntax",
)
"""Every code that a reason against a series may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One ground against a series: a stable code and a sentence that holds no UID and no text of the header."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """Eligible, with the slices in order and their grid, or ineligible with reasons.

    Parameters
    ----------
    reasons : empty if the series is eligible
    slices : in the order of k: ascending along the slice normal, row x column; empty if ineligible
    grid : right-handed, `directions` = (normal, column, row), so that k runs from feet to head where rows run to the
        patient's left and columns to the back; None if ineligible
    """

    reasons: tuple[Reason, ...] = ()
    slices: tuple[SliceHeader, ...] = ()
    grid: Grid | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the reasons."""
        return tuple(reason.code for reason in self.reasons)
