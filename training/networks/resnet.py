"""ResNet-50 as a classifier whose stages can be watched (He et al., "Deep residual learning", 2016).

Called from `training.networks.detection_guided`.
Shape suffixes: B batch, C channel, J I space, F feature.
"""

from __future__ import annotations

from torch import Tensor, nn

EXPANSION = 4
"""A bottleneck gives four times the channels that it computes in."""


class Bottleneck(nn.Module):
    """1x1, 3x3 (stride), 1x1 convolutions with BatchNorm; the input is added, projected where its shape differs.

    Parameters
    ----------
    before : channels in
    width : channels inside; `EXPANSION` times as many come out
    stride : of the 3x3 convolution
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = EXPANSION * width
        self.residual = nn.Sequential(
            nn.Conv2d(before, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if before != after or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        result: Tensor = self.relu(self.residual(x_BCJI) + self.shortcut(x_BCJI))
        return result


class ResNet(nn.Module):
    """A ResNet of bottlenecks for grey images.

    Parameters
    ----------
    width : channels of the stem; 64 in ResNet-50
    depths : bottlenecks of C2..C5; (3, 4, 6, 3) in ResNet-50
    answers : logits that the fully connected layer gives
    """

    def __init__(self, width: int, depths: tuple[int, int, int, int], answers: int) -> None:
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv2d(1, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages, before = [], width
        for level, depth in enumerate(depths):
            inside = width * 2**level
            blocks = [Bottleneck(before, inside, 1 if level == 0 else 2)]
            blocks += [Bottleneck(EXPANSION * inside, inside, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            before = EXPANSION * inside
        self.c2, self.c3, self.c4, self.c5 = stages
        self.fc = nn.Linear(before, answers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_B1JI: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Maps of C1 (half the image's size), C2 (a quarter), C3 and C4 (each half the one before); logits."""
        c1_BCJI = self.c1(x_B1JI)
        c2_BCJI = self.c2(self.pool(c1_BCJI))
        c3_BCJI = self.c3(c2_BCJI)
        c4_BCJI = self.c4(c3_BCJI)
        pooled_BF = self.c5(c4_BCJI).mean((2, 3))
        return (c1_BCJI, c2_BCJI, c3_BCJI, c4_BCJI), self.fc(pooled_BF)
