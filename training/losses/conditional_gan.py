"""The adversarial game of pix2pix and SRGAN: a discriminator tells real from made, and the maker learns to pass.

Pure, on logits, so that nothing overflows. Called from `training.systems.dsnet_training`.
L_D = 1/2 mean(-log D(real)) + 1/2 mean(-log(1 - D(made))); L_G = mean(-log D(made)), the non-saturating form.

References
----------
Goodfellow et al., arXiv:1406.2661; halved as in Isola et al. (pix2pix), arXiv:1611.07004, section 3.3. Paper 5, in its
equation 5, omits the expectation (NETWORKS 5.5).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def telling_apart(real_logits: Tensor, made_logits: Tensor) -> Tensor:
    """Loss of the discriminator: binary cross entropy of both kinds, halved; ln 2 for one that knows nothing."""
    return (softplus(-real_logits.float()).mean() + softplus(made_logits.float()).mean()) / 2


def passing(made_logits: Tensor) -> Tensor:
    """Loss of the maker: binary cross entropy with "real"; ln 2 where the discriminator knows nothing."""
    return softplus(-made_logits.float()).mean()
