"""What is known about a CT, beside what was found in it. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacs_node.archive.records import FoundNodule


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A nodule that is in the CT for certain."""

    centre_lps: tuple[float, float, float]
    diameter_mm: float
    volume_mm3: float | None
    attenuation: str
    malignancy: float | None


def read_truth(path: Path) -> tuple[Known, ...]:
    """The nodules of a `truth.json`; none if there is no such file."""
    if not path.exists():
        return ()
    return tuple(
        Known(
            centre_lps=tuple(raw["centre_lps"]),
            diameter_mm=raw["diameter_mm"],
            volume_mm3=raw.get("volume_mm3"),
            attenuation=raw.get("attenuation", ""),
            malignancy=raw.get("malignancy"),
        )
        for raw in json.loads(path.read_text())["nodules"]
    )


def compared(known: Sequence[Known], found: Sequence[FoundNodule]) -> list[dict[str, Any]]:
    """One row per known nodule, then one per finding that hits none.

    A finding hits a nodule if its centre lies within the nodule's radius; the nearest one counts.
    """
    rows, used = [], set()
    for nodule in known:
        hits = [f for f in found if math.dist(f.centre_lps, nodule.centre_lps) <= nodule.diameter_mm / 2]
        hit = min(hits, key=lambda f: math.dist(f.centre_lps, nodule.centre_lps), default=None)
        used |= {f.number for f in hits}
        rows.append(_row(nodule, hit))
    return rows + [_row(None, finding) for finding in found if finding.number not in used]


def _row(nodule: Known | None, finding: FoundNodule | None) -> dict[str, Any]:
    verdict = "found" if nodule and finding else "MISSED" if nodule else "not in the truth"
    distance = math.dist(finding.centre_lps, nodule.centre_lps) if nodule and finding else None
    return {
        "verdict": verdict,
        "true_type": nodule.attenuation if nodule else None,
        "true_diameter_mm": nodule.diameter_mm if nodule else None,
        "distance_mm": distance,
        "finding": finding.number if finding else None,
        "diameter_mm": finding.equivalent_diameter_mm if finding else None,
        "volume_mm3": finding.volume_mm3 if finding else None,
        "type": finding.attenuation if finding else None,
        "certainty": finding.score if finding else None,
        "malignancy": finding.malignancy if finding else None,
    }
