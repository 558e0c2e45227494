"""False findings are found where they are, asked in windows or in one pass, and nodules are none of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from inference.predictor import FloatTensor
from training.data.scans import Scan
from training.data.targets import UNRATED
from training.networks.blocks import Norm
from training.networks.jnsc import Jnsc, jnsc_tiny
from training.systems.jnsc import mining

SHAPE = (70, 100, 130)
"""No whole number of windows, nor of steps of the network."""
VESSEL, NODULE = (30, 80, 20), (40, 40, 100)


def a_scan() -> Scan:
    """Lung with two dense balls, of which one is a nodule."""
    grid = np.indices(SHAPE)
    balls = [np.linalg.norm(np.moveaxis(grid, 0, -1) - np.array(centre), axis=-1) <= 4 for centre in (VESSEL, NODULE)]
    volume = np.where(balls[0] | balls[1], 40, -850).astype(np.int16)
    return Scan(
        name="scan",
        synthetic=False,
        volume_hu=volume,
        target=np.where(balls[1], UNRATED, 0).astype(np.int8),
        places_kji=np.argwhere(volume < 0)[::997].astype(np.int16),
        nodules_kji=np.array([NODULE], np.int16),
    )


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_what_is_no_nodule_is_mined(monkeypatch: pytest.MonkeyPatch, norm: Norm) -> None:
    asked: list[tuple[int, ...]] = []

    def dense(network: Jnsc, values: Tensor) -> FloatTensor:
        asked.append(tuple(values.shape))
        return (values.numpy() > 0).astype(np.float32)

    monkeypatch.setattr(mining, "_probability", dense)
    network = Jnsc(dataclasses.replace(jnsc_tiny(), norm=norm))
    assert mining.false_findings(network, [a_scan()]) == {"scan": [VESSEL]}
    assert (asked == [(64, 96, 128)] * 2) is (norm == "batch")


def test_a_real_network_answers_with_a_probability_for_each_voxel_of_a_window() -> None:
    torch.manual_seed(0)
    network = Jnsc(dataclasses.replace(jnsc_tiny(), norm="batch")).eval()
    found = mining._probability(network, torch.randn(32, 48, 64))
    assert found.shape == (32, 48, 64) and found.dtype == np.float32
    assert 0.0 < found.min() < found.max() < 1.0
