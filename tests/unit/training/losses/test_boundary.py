"""The soft boundary is the paper's boundary on masks, and has gradients between."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from training.losses.boundary import boundary_loss, soft_boundary


def _masks(count: int, density: float) -> torch.Tensor:
    return torch.from_numpy((np.random.default_rng(5).random((count, 1, 17, 23)) < density).astype(np.float32))


@pytest.mark.parametrize("density", [0.3, 0.6, 0.9])
def test_on_masks_it_equals_the_mask_less_its_erosion_by_a_cross(density: float) -> None:
    masks = _masks(8, density)
    found = soft_boundary(masks).numpy()
    for mask, boundary in zip(masks.numpy()[:, 0] > 0, found[:, 0], strict=True):
        # pixels beyond the image count as those at its edge, which for the erosion is a border of ones
        assert np.array_equal(boundary > 0, mask & ~binary_erosion(mask, border_value=1))
    assert set(np.unique(found)) == {0.0, 1.0}


def test_a_block_of_three_by_three_has_all_but_its_middle_as_boundary() -> None:
    mask = torch.zeros(1, 1, 5, 5)
    mask[..., 1:4, 1:4] = 1
    expected = mask.clone()
    expected[..., 2, 2] = 0
    assert torch.equal(soft_boundary(mask), expected)


def test_a_full_and_an_empty_mask_have_none() -> None:
    assert soft_boundary(torch.ones(1, 1, 4, 4)).sum() == 0
    assert soft_boundary(torch.zeros(1, 1, 4, 4)).sum() == 0


def test_a_soft_step_is_a_boundary_as_high_as_the_step() -> None:
    row = torch.tensor([0.0, 0.25, 1.0, 1.0]).expand(1, 1, 3, 4)
    assert torch.equal(soft_boundary(row)[0, 0, 1], torch.tensor([0.0, 0.25, 0.75, 0.0]))


def test_the_loss_of_a_block_of_two_columns_against_one_of_three_is_worked_out() -> None:
    one, other = torch.zeros(1, 1, 5, 7), torch.zeros(1, 1, 5, 7)
    one[..., 1:4, 1:3] = 1  # 3 rows x 2 columns: all 6 are boundary
    other[..., 1:4, 1:4] = 1  # 3 x 3: 8 are boundary, the middle, (2, 2), is not
    # they differ in (2, 2) and in the 3 pixels of the third column: 4 of 6 + 8
    assert float(boundary_loss(one, other)) == pytest.approx(4 / 14)


def test_the_loss_is_a_mean_over_images_between_0_and_1() -> None:
    masks = _masks(2, 0.5)
    assert float(boundary_loss(masks, masks)) == 0
    square, elsewhere = torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    square[..., :2, :2] = 1
    elsewhere[0, :, 5:7, 5:7] = 1
    elsewhere[1] = square[1]
    assert float(boundary_loss(square, elsewhere)) == pytest.approx(0.5), "apart in the first, equal in the second"


def test_nothing_drawn_and_nothing_found_is_no_loss() -> None:
    assert float(boundary_loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))) == 0


def test_the_gradient_pulls_a_soft_answer_towards_the_truth() -> None:
    truth = torch.zeros(1, 1, 6, 6)
    truth[..., 2:4, 2:4] = 1
    answer = (0.1 + 0.5 * truth).requires_grad_()
    before = boundary_loss(answer, truth)
    before.backward()
    assert answer.grad is not None
    with torch.no_grad():
        after = boundary_loss((answer - 0.1 * answer.grad).clamp(0, 1), truth)
    assert float(after) < float(before.detach())
