"""Soft masks: how much of each pixel is nodule, found by matting within the band that readers leave open (paper 5).

`trimaps` and `grabcut` say what is known, `matting` finds the rest, `rejection` says what not to learn from, `making`
puts them together; `folder` and `pictures` do it for many and show it.
"""

from training.labels.soft_masks.making import SoftMask, from_mask, from_readers, from_recist

__all__ = ["SoftMask", "from_mask", "from_readers", "from_recist"]
