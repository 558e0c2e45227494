"""The features that are served are the features that were trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.classify import adaptive_max_pool, roi_features
from training.networks.jnsc import STRIDES, features_from_maps

SPAN = st.integers(0, 63).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, 64)))


@pytest.mark.parametrize("cells", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (5, 7, 9), (8, 1, 6)])
def test_the_pool_is_torchs_adaptive_max_pool(shape: tuple[int, int, int], cells: int) -> None:
    values = np.random.default_rng(3).normal(size=(4, *shape)).astype(np.float32)
    expected = torch.nn.AdaptiveMaxPool3d(cells)(torch.from_numpy(values)).numpy()
    assert np.array_equal(adaptive_max_pool(values, cells), expected)


@settings(max_examples=60, deadline=None)
@given(box=st.tuples(SPAN, SPAN, SPAN), voxels=st.integers(1, 30000), seed=st.integers(0, 2**32 - 1))
def test_features_are_the_same_in_numpy_and_torch(
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]], voxels: int, seed: int
) -> None:
    rng, bins = np.random.default_rng(seed), (2, 2, 1, 1, 1)
    maps = [rng.normal(size=(2, *(64 // stride,) * 3)).astype(np.float32) for stride in STRIDES]
    served = roi_features(maps, STRIDES, bins, box, voxels)
    trained = features_from_maps([torch.from_numpy(values) for values in maps], box, voxels, bins).numpy()
    assert np.allclose(served, trained, rtol=1e-6, atol=0.0)
