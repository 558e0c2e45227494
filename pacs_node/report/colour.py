"""The colour of a finding: the same in the SEG, where viewers take it from, and in our pictures."""

from __future__ import annotations

import math

Lab = tuple[float, float, float]
Rgb = tuple[int, int, int]

_WHITE_D50 = (0.9642, 1.0, 0.8249)
_SRGB_FROM_XYZ_D50 = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


def finding_lab(number: int) -> Lab:
    """CIELab colour of finding `number` (from 1).

    Hues of neighbouring numbers lie 137.5 degrees (the golden angle) apart, so that no two look alike.
    """
    hue = math.radians(80.0 + 137.50776 * (number - 1))
    return 75.0, 55.0 * math.cos(hue), 55.0 * math.sin(hue)


def finding_rgb(number: int) -> Rgb:
    """The same colour for a screen."""
    return rgb_from_lab(finding_lab(number))


def rgb_from_lab(lab: Lab) -> Rgb:
    """CIELab of DICOM to sRGB; colours that a screen cannot show are cut off.

    References
    ----------
    PS3.3 C.10.7.1.1 (CIELab, white D50); IEC 61966-2-1 (sRGB); matrix of B. Lindbloom, Bradford-adapted to D50.
    """
    lightness, a, b = lab
    f_y = (lightness + 16.0) / 116.0
    curved = (f_y + a / 500.0, f_y, f_y - b / 200.0)
    xyz = [white * _uncurved(value) for white, value in zip(_WHITE_D50, curved, strict=True)]
    linear = [sum(factor * value for factor, value in zip(row, xyz, strict=True)) for row in _SRGB_FROM_XYZ_D50]
    red, green, blue = (round(255.0 * _encoded(min(max(value, 0.0), 1.0))) for value in linear)
    return red, green, blue


def _uncurved(value: float) -> float:
    return value**3 if value > 6.0 / 29.0 else 3.0 * (6.0 / 29.0) ** 2 * (value - 4.0 / 29.0)


def _encoded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1.0 / 2.4) - 0.055
