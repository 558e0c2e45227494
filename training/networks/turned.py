"""A network that is asked about a square image in all eight ways to put it, and answers with the mean.

Flips and quarter turns of an axial slice are as likely as the slice itself to a network that was trained on all of
them; what it says differs by chance, which the mean takes away. Costs eight runs. Called from `training.systems`.
Shape suffixes: B batch, J row, I column, 1 channel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TURNS = 8


class Turned(nn.Module):
    """Takes images of shape (B, 1, J, J) and gives what `module` gives: maps of that shape turned back, and numbers.

    Parameters
    ----------
    module : takes one image or several of the same place; gives tensors whose first axis is the batch
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *images_B1JI: Tensor) -> Any:
        """The mean over the eight ways."""
        put = (torch.stack([_put(x_B1JI, n) for n in range(TURNS)]).flatten(0, 1) for x_B1JI in images_B1JI)
        answers = self.module(*put)
        if isinstance(answers, Tensor):
            return _mean(answers)
        return tuple(_mean(answer) for answer in answers)


def _mean(answers: Tensor) -> Tensor:
    parts = answers.reshape(TURNS, -1, *answers.shape[1:]).unbind(0)
    if answers.ndim == 4:
        parts = tuple(_back(part_B1JI, n) for n, part_B1JI in enumerate(parts))
    return torch.stack(parts).mean(0)


def _put(x_B1JI: Tensor, n: int) -> Tensor:
    """One of the eight ways: transposed, upside down, mirrored, as the bits of `n` say."""
    x_B1JI = x_B1JI.transpose(2, 3) if n & 1 else x_B1JI
    x_B1JI = x_B1JI.flip(2) if n & 2 else x_B1JI
    return x_B1JI.flip(3) if n & 4 else x_B1JI


def _back(x_B1JI: Tensor, n: int) -> Tensor:
    """Undoes `_put`."""
    x_B1JI = x_B1JI.flip(3) if n & 4 else x_B1JI
    x_B1JI = x_B1JI.flip(2) if n & 2 else x_B1JI
    return x_B1JI.transpose(2, 3) if n & 1 else x_B1JI
