"""Discs of tissue in lung, with what a reader would draw on them."""

from __future__ import annotations

import numpy as np

from training.labels.recist import RecistAxes, axes_of

EDGE = 48
CENTRE = 23.0


def disc(radius: float, edge: int = EDGE, centre: float = CENTRE) -> np.ndarray:
    """Mask of the pixels whose centre lies inside."""
    rows, columns = np.mgrid[:edge, :edge]
    return np.hypot(rows - centre, columns - centre) <= radius


def image_hu(mask: np.ndarray, noise_hu: float = 20.0) -> np.ndarray:
    """Tissue of 20 HU in lung of -850 HU."""
    noise = np.random.default_rng(3).normal(0.0, noise_hu, mask.shape)
    return np.where(mask, 20.0 + noise, -850.0 + noise).astype(np.int16)


def axes(radius: float, centre: float = CENTRE) -> RecistAxes:
    """Both diameters, the long one along the columns and a little longer."""
    low, high = centre - radius, centre + radius
    return axes_of(((low, centre), (high, centre)), ((centre, low + 0.5), (centre, high - 0.5)))
