"""The most that is read of one file or series: the whole table of limits, each with its reason.

All are checked before a parser or decoder is given anything. What exceeds one of them becomes a reason against the
series (`inference.eligibility`); a decoder that exceeds its own is ended (`inference.series.guard`).
"""

from __future__ import annotations

from enum import StrEnum

MAX_SIDE = 2048
"""Rows, and columns, of a slice: the largest matrix of a CT scanner; a frame is then 8 MiB at most"""

MAX_FRAMES = 4000
"""frames of one instance: at 0.5 mm, the least distance that a detector takes, 2 m"""

MAX_VOXELS = 2**30
"""of a series: 2 GiB in HU, 4000 slices of 512 x 512. A larger claim comes from a broken or hostile header."""

MAX_HEADER_BYTES = 2**24
"""before the pixels of one file, inflated if it is deflated: 4000 frames of an Enhanced CT need a third of it"""

MAX_ELEMENTS = 200_000
"""elements before the pixels of one file: 4000 frames of fifty each; pydicom needs up to 1 kB for one"""

MAX_ITEMS = 100_000
"""items of sequences before the pixels of one file: 4000 frames of 25 each; pydicom needs 0.7 kB for an empty one"""

MAX_DEPTH = 32
"""sequences inside each other: an Enhanced CT has four, a structured report about twelve"""

MAX_TEXT_BYTES = 2**16 - 1
"""of a value that is neither a sequence nor bulk data: all that Explicit VR can hold (PS3.5 7.1.2)"""

MAX_VALUE_BYTES = 2**12
"""of a value that is looked at: the longest, an Image Type of many words, needs some hundreds"""

CODESTREAM_RATIO, CODESTREAM_BYTES = 2, 2**16
"""A compressed frame may be so many times as long as a native one, and so much longer; RLE of noise grows by 1 %."""

DECODER_BYTES = 2**28
"""address space of a decoder's process, 256 MiB: enough for JPEG 2000 of `MAX_SIDE`, which needs most"""

DECODER_FIRST_S, DECODER_FRAME_S = 60.0, 2.0
"""What decoding a series may take: so long at first, and so much longer for each frame that came of it, many times what
a frame takes on a machine that has nothing else to do"""


class Excess(StrEnum):
    """Which limit the header of a file exceeds, so that not all of it was read."""

    SIZE = "size"
    DEPTH = "depth"
