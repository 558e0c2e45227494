"""Whether a series may be analysed: geometry is checked, not assumed; every ground has its code, sentence and number.

Pure. `content` judges single slices, `likeness` whether they are alike, `stack` how they lie. Called from
`pacs_node.steps.plan`, `pulmonode rule explain` and `pulmonode series analyse`.
"""

from __future__ import annotations

from inference.contract import SeriesLimits
from inference.eligibility.content import content_reasons, has_geometry
from inference.eligibility.likeness import likeness_reasons
from inference.eligibility.stack import sorted_stack, stack_grid, stack_reasons
from inference.eligibility.verdict import CODES, Eligibility, Reason
from inference.series import SeriesHeader

__all__ = ["CODES", "Eligibility", "Reason", "judge"]


def judge(series: SeriesHeader, limits: SeriesLimits) -> Eligibility:
    """Judge a series by what can be read at all and by the limits of a model.

    Every ground is reported, once. Positions are judged only where all slices have one and are alike.
    """
    differences = tuple(likeness_reasons(series))
    comparable = not differences and len(series.slices) > 1 and all(map(has_geometry, series.slices))
    stack = sorted_stack(series.slices) if comparable else ()
    reasons: dict[str, Reason] = {}
    for reason in (*content_reasons(series, limits), *differences, *stack_reasons(stack, limits)):
        reasons.setdefault(reason.code, reason)
    if reasons:
        return Eligibility(reasons=tuple(reasons.values()))
    return Eligibility(slices=stack, grid=stack_grid(stack))
