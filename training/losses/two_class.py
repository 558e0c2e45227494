"""Cross entropy over two classes, by pixel and by nodule (paper 1, section 3.5). Pure.

Shape suffixes: B batch, J row, I column, 1 and 2 channels. Computed in float32, whatever precision the network has.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pixel_cross_entropy(logits_B2JI: Tensor, nodule_B1JI: Tensor) -> Tensor:
    """-log softmax(logits)[class of the pixel], mean over all pixels.

    Parameters
    ----------
    logits_B2JI : background, nodule
    nodule_B1JI : 0 or 1

    References
    ----------
    Paper 1, equation 1
    """
    return functional.cross_entropy(logits_B2JI.float(), nodule_B1JI[:, 0].long())


def label_cross_entropy(logits_B2: Tensor, malignant_B: Tensor) -> Tensor:
    """-log softmax(logits)[label], mean over the nodules whose label is known; 0 if none is.

    Parameters
    ----------
    logits_B2 : benign, malignant
    malignant_B : 0, 1, or NaN where the readers do not say

    References
    ----------
    Paper 1, equation 5, of which only the malignant half is printed and no mean; over both classes here
    """
    is_known_B = ~malignant_B.isnan()
    labels_B = malignant_B.nan_to_num().long()
    each_B = functional.cross_entropy(logits_B2.float(), labels_B, reduction="none")
    return (each_B * is_known_B).sum() / is_known_B.sum().clamp(min=1)
