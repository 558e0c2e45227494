"""The mean over the eight ways to put a slice: maps come back in their place, numbers are averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks.turned import Turned


class _RightEdge(nn.Module):
    """A map that is 1 in the last column whatever it is shown, and the value of the first pixel."""

    def forward(self, x_B1JI: Tensor) -> tuple[Tensor, Tensor]:
        shown_B1JI = torch.zeros_like(x_B1JI)
        shown_B1JI[..., -1] = 1
        return shown_B1JI, x_B1JI[:, 0, 0, :1]


class _Difference(nn.Module):
    def forward(self, x_B1JI: Tensor, y_B1JI: Tensor) -> Tensor:
        return x_B1JI - y_B1JI


def test_what_follows_the_image_comes_back_as_it_was() -> None:
    image = torch.rand(3, 1, 8, 8)
    assert torch.allclose(Turned(nn.Identity())(image), image)


def test_a_habit_of_the_network_is_shared_out_over_all_four_edges_and_corners() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    maps, numbers = Turned(_RightEdge())(image)
    inner, edge, corner = 0.0, 0.25, 0.5
    expected = torch.full((4, 4), inner)
    expected[[0, -1], :] = expected[:, [0, -1]] = edge
    expected[::3, ::3] = corner
    assert torch.equal(maps[0, 0], expected)
    assert numbers.tolist() == [[(0 + 3 + 12 + 15) / 4]], "each corner comes first twice"


def test_several_images_are_turned_alike() -> None:
    image = torch.rand(2, 1, 8, 8)
    assert Turned(_Difference())(image, image).abs().max() == 0
