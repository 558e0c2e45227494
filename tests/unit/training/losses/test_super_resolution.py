"""The teacher's content loss, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from training.losses.super_resolution import content_loss, gradients


def test_the_gradient_of_a_ramp_is_its_slope_along_each_axis() -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    found = gradients((2 * rows + 3 * columns)[None, None])
    assert found.shape == (1, 2, 3, 4)
    assert torch.allclose(found[0, 0], torch.tensor(3.0))
    assert torch.allclose(found[0, 1], torch.tensor(2.0))


def test_an_offset_costs_its_square_and_has_no_edges() -> None:
    image = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    assert content_loss(image + 0.5, image).item() == pytest.approx(0.25, rel=1e-5)


def test_a_ramp_too_much_costs_its_slopes_too() -> None:
    """Difference 0, 1, 2, 3 along each row: mean square 14 / 4, gradient 1 along rows and 0 along columns."""
    image = torch.zeros(1, 1, 4, 4)
    assert content_loss(image + torch.arange(4.0), image).item() == pytest.approx(3.5 + 1.0)
