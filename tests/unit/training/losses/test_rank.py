"""The rank loss by hand, and against the two loops that the formula is."""

from __future__ import annotations

import pytest
import torch

from training.losses.rank import rank_loss


def by_loops(probability: torch.Tensor, nodule: torch.Tensor, hardest: int, margin: float) -> float:
    total = 0.0
    for p, truth in zip(probability, nodule, strict=True):
        outside = sorted((v.item() for v, t in zip(p.flatten(), truth.flatten(), strict=True) if not t), reverse=True)
        inside = sorted(v.item() for v, t in zip(p.flatten(), truth.flatten(), strict=True) if t)
        k = min(hardest, len(outside), len(inside))
        pairs = [max(0.0, outside[i] - inside[j] + margin) for i in range(k) for j in range(k)]
        total += sum(pairs) / k**2 if k else 0.0
    return total / len(probability)


def test_rank_loss_by_hand() -> None:
    probability = torch.tensor([[[[0.9, 0.6], [0.5, 0.1]]]])
    nodule = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    # K = 2: (0.5 - 0.6 + 0.3) + (0.5 - 0.9 + 0.3 < 0) + (0.1 - 0.6 + 0.3 < 0) + (0.1 - 0.9 + 0.3 < 0), over 4
    assert rank_loss(probability, nodule, hardest=2, margin=0.3).item() == pytest.approx(0.2 / 4, rel=1e-5)
    # K = 1: only the worst pair, 0.5 against 0.6
    assert rank_loss(probability, nodule, hardest=1, margin=0.3).item() == pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.97])
def test_rank_loss_is_the_double_loop(share: float) -> None:
    torch.manual_seed(1)
    probability, nodule = torch.rand(4, 1, 9, 9), (torch.rand(4, 1, 9, 9) < share).float()
    for hardest, margin in ((20, 0.3), (5, 0.1), (1000, 0.4)):
        expected = by_loops(probability, nodule, hardest, margin)
        assert rank_loss(probability, nodule, hardest, margin).item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_an_image_without_nodule_counts_nothing_and_has_a_gradient() -> None:
    probability = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    loss = rank_loss(probability, torch.zeros(1, 1, 4, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert probability.grad is not None and probability.grad.abs().max() == 0
