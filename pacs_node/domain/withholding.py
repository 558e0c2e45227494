"""What a plan does about a study of which instances were deleted and only a part has come again: nothing.

Else a slice that comes late would replace the result of a whole series by a report that it cannot be analysed. Called
from `steps.plan`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from pacs_node.domain.identifiers import SeriesUid
from pacs_node.domain.rule import Decision, Reason, Verdict

DELETED = Reason(
    code="series.deleted",
    text="instances that this rule was applied to were deleted, and not all of them have come again: send the whole"
    " study, or use `pulmonode study retry` to go on with what is here",
)


def withheld(
    decisions: Iterable[Decision],
    held: Mapping[SeriesUid, int],
    deleted: Mapping[SeriesUid, int],
    analysed: Mapping[str, Collection[SeriesUid]],
) -> tuple[Decision, ...]:
    """Withhold every decision of a rule that matches, or was applied to, a series of which a part is missing.

    Parameters
    ----------
    held : instances of each series that are here
    deleted : instances of each series that were deleted
    analysed : by name of the rule, the series of its earlier jobs
    """
    decided = tuple(decisions)
    partial = {uid for uid, count in deleted.items() if held.get(uid, 0) < count}
    rules = {name for name, series in analysed.items() if partial & set(series)}
    rules |= {d.rule.name for d in decided if d.rule is not None and d.series_instance_uid in partial}
    return tuple(_withheld(d) if d.rule is not None and d.rule.name in rules else d for d in decided)


def _withheld(decision: Decision) -> Decision:
    return dataclasses.replace(decision, verdict=Verdict.WITHHELD, reasons=(DELETED,))
