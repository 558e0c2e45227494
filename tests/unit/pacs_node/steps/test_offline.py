"""What `pulmonode series analyse` says beside what it writes."""

from __future__ import annotations

import pytest

from pacs_node.report import compose
from pacs_node.steps.offline import warnings
from tests.support.results import WITH_LUNGS, a_case, a_request, options


@pytest.mark.parametrize(("frames", "said"), [(399, False), (400, True)])
def test_a_segmentation_that_viewers_may_switch_off_is_named_with_its_frames(frames: int, said: bool) -> None:
    """Each SEG by itself: the others are small."""
    seg, lungs, report = compose(a_request(a_case(), options=options(objects=WITH_LUNGS)))
    lungs.dataset.NumberOfFrames = frames
    expected = [f"lungs has {frames} frames; Weasis 4.6 shows no SEG of more than 400"]
    assert list(warnings([seg, lungs, report])) == (expected if said else [])
