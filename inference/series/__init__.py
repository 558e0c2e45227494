"""DICOM series in, volume out: the only place in `inference` that knows pydicom.

`slices` says what a series is, `headers` reads it from files, `pixels` makes the volume. Files come from strangers:
`head` and `limits` bound what a parser gets, and decoders run in a process of their own (`guard`, `codec`). Whether a
series may be analysed is decided in `inference.eligibility`. Called from `pacs_node.steps` and
`pulmonode series analyse`:

    for series in read_headers(find_files(directory)):
        eligibility = judge(series, limits)
        if eligibility.grid is not None:
            volume = load(eligibility.slices, eligibility.grid)
"""

from inference.series.decoding import DECODABLE, NATIVE
from inference.series.files import find_files
from inference.series.head import Head, read_head
from inference.series.headers import read_headers
from inference.series.limits import MAX_FRAMES, MAX_SIDE, MAX_VOXELS, Excess
from inference.series.pixels import load
from inference.series.slices import Cosines, PixelLayout, SeriesHeader, SliceHeader, normal, offsets_mm, plane_name

__all__ = [
    "DECODABLE",
    "MAX_FRAMES",
    "MAX_SIDE",
    "MAX_VOXELS",
    "NATIVE",
    "Cosines",
    "Excess",
    "Head",
    "PixelLayout",
    "SeriesHeader",
    "SliceHeader",
    "find_files",
    "load",
    "normal",
    "offsets_mm",
    "plane_name",
    "read_head",
    "read_headers",
]
