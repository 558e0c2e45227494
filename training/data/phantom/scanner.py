"""The scanner: from the 1 mm phantom to slices of a real series, with point spread, kernel, thickness and noise.

The transfer function of a kernel also shapes its noise: filtered back-projection gives a noise power spectrum of
f * H(f)**2 (Riederer, Pelc, Chesler, Phys Med Biol 1978;23:446-454). Noise in the lung: 10-15 HU at standard dose with
a soft kernel, 20-35 at low dose, 40-90 at low dose with a sharp kernel; more along the longer paths through the body.
Point spread: 0.45-0.60 mm soft, 0.30-0.40 mm sharp with edge enhancement. Called from `build`.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, sparse

from inference.geometry import Grid
from inference.volume import HuArray
from training.data.phantom.fields import Field, along, interpolated
from training.data.phantom.model import Profile, Protocol

RANGE_HU = (-1024, 3071)
ATTENUATION_PER_MM = 0.019  # of water at the mean energy of a 120 kVp beam
ENHANCEMENT_MM = 1.0
REFERENCE_PATH_MM = 200.0


def choose_protocol(profile: Profile, rng: np.random.Generator) -> Protocol:
    """Draw a kernel, dose and thickness."""
    sharp, low_dose = bool(rng.random() < 0.4), bool(rng.random() < 0.5)
    noise = {(False, False): (10, 15), (False, True): (20, 35), (True, False): (22, 40), (True, True): (40, 90)}
    return Protocol(
        kernel="SHARP" if sharp else "SOFT",
        psf_mm=float(rng.uniform(0.30, 0.40) if sharp else rng.uniform(0.45, 0.60)),
        edge_gain=float(rng.uniform(0.4, 0.7)) if sharp else 0.0,
        noise_hu=float(rng.uniform(*noise[sharp, low_dose])),
        thickness_mm=float(rng.choice(profile.thicknesses_mm)),
    )


def series_grid(profile: Profile, thickness_mm: float) -> Grid:
    """Grid of the series: slices that touch, from the feet up, rows and columns centred on the phantom."""
    count = int(np.floor(profile.extent_mm / thickness_mm))
    half = (profile.pixels - 1) / 2 * profile.pixel_mm
    return Grid(
        shape_kji=(count, profile.pixels, profile.pixels),
        spacing_mm=(thickness_mm, profile.pixel_mm, profile.pixel_mm),
        origin_lps=(-half, -half, -(count - 1) / 2 * thickness_mm),
        directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )


def scan(hu: Field, profile: Profile, protocol: Protocol, rng: np.random.Generator) -> tuple[HuArray, Grid]:
    """Scan a phantom.

    Parameters
    ----------
    hu : shape (k, j, i), 1 mm voxels, centred on the origin of patient space
    profile, protocol : matrix, pixel spacing; kernel, noise and thickness

    Returns
    -------
    int16 HU, shape of the grid, within -1024..3071, -1024 outside the circle of the field of view; and the grid
    """
    grid = series_grid(profile, protocol.thickness_mm)
    slices = along(_slice_profile(grid, len(hu)), hu, 0)
    line = (np.arange(profile.pixels) - (profile.pixels - 1) / 2) * profile.pixel_mm + (len(hu) - 1) / 2
    transfer, shaping = _filters(profile, protocol)
    outside = np.hypot(*np.meshgrid(line - line.mean(), line - line.mean())) > profile.pixels * profile.pixel_mm / 2
    volume = np.empty(grid.shape_kji, np.int16)
    for k, slice_hu in enumerate(slices):
        pixels = np.ascontiguousarray(interpolated(slice_hu, (line, line)))
        noise = rng.standard_normal(pixels.shape, dtype=np.float32) * _noise_share(pixels, profile.pixel_mm)
        spectrum = fft.rfft2(pixels) * transfer + fft.rfft2(noise) * shaping
        volume[k] = np.clip(np.rint(fft.irfft2(spectrum, s=pixels.shape)), *RANGE_HU)
        volume[k][outside] = RANGE_HU[0]
    return volume, grid


def _slice_profile(grid: Grid, count: int) -> sparse.csr_array:
    """Share of each 1 mm layer in each slice (a box of the thickness); shape (slices, count), rows sum to 1."""
    thickness = grid.spacing_mm[0]
    middle = (count - 1) / 2 + (np.arange(grid.shape_kji[0]) - (grid.shape_kji[0] - 1) / 2) * thickness
    layer = np.arange(count)
    low = np.maximum(middle[:, None] - thickness / 2, layer - 0.5)
    high = np.minimum(middle[:, None] + thickness / 2, layer + 0.5)
    overlap = np.maximum(high - low, 0)
    return sparse.csr_array((overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32))


def _filters(profile: Profile, protocol: Protocol) -> tuple[Field, Field]:
    """Transfer function of the kernel, and the filter that turns white noise into its noise; shape of an rfft2."""
    rows = fft.fftfreq(profile.pixels, profile.pixel_mm)
    columns = fft.rfftfreq(profile.pixels, profile.pixel_mm)
    f = np.hypot(rows[:, None], columns[None, :])
    blur = np.exp(-2 * (np.pi * protocol.psf_mm * f) ** 2)
    edges = 1 + protocol.edge_gain * (1 - np.exp(-2 * (np.pi * ENHANCEMENT_MM * f) ** 2))
    transfer = blur * edges
    shaping = np.sqrt(f) * transfer
    weight = np.full(f.shape, 2.0)
    weight[:, [0, -1]] = 1.0  # an rfft2 holds half of the spectrum; its first and last columns are not mirrored
    power = (weight * shaping**2).sum() / profile.pixels**2
    return np.asarray(transfer, np.float32), np.asarray(shaping * protocol.noise_hu / np.sqrt(power), np.float32)


def _noise_share(pixels_hu: Field, pixel_mm: float) -> Field:
    """Noise relative to the lung's: grows with the water path along the row and the column; shape (j, i)."""
    water = np.clip(1 + pixels_hu / 1000, 0, 2) * pixel_mm
    rows, columns = (np.exp(ATTENUATION_PER_MM * (water.sum(axis=n) - REFERENCE_PATH_MM) / 2) for n in (1, 0))
    return np.asarray(np.clip(np.sqrt((rows[:, None] + columns[None, :]) / 2), 0.5, 2.2))
