"""Colours of findings."""

from __future__ import annotations

import math

import pytest

from pacs_node.report.colour import finding_rgb, rgb_from_lab


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((100.0, 0.0, 0.0), (255, 255, 255)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((50.0, 0.0, 0.0), (119, 119, 119)),
        ((54.29, 80.81, 69.89), (255, 0, 0)),
        ((29.57, 68.30, -112.03), (0, 0, 255)),
    ],
    ids=["white", "black", "grey", "red", "blue"],
)
def test_lab_becomes_the_colour_of_the_same_name(lab: tuple[float, float, float], rgb: tuple[int, int, int]) -> None:
    """sRGB primaries in CIELab with white D50, from the calculator of B. Lindbloom."""
    assert rgb_from_lab(lab) == pytest.approx(rgb, abs=1)


def test_neighbouring_findings_have_colours_that_differ() -> None:
    colours = [finding_rgb(number) for number in range(1, 30)]
    for number, colour in enumerate(colours):
        for other in colours[number + 1 : number + 6]:
            assert math.dist(colour, other) > 25
