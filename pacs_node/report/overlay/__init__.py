"""Pictures of a result as PNG: every finding with outline, axes and values, and all of them on one page.

Patient names and identifiers are never drawn. Called from `pulmonode series analyse` and the demo.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.findings import Finding
from inference.volume import Volume
from pacs_node.report.overlay.finding import finding_picture
from pacs_node.report.overlay.style import Caption
from pacs_node.report.overlay.summary import summary_picture

__all__ = ["draw"]


def draw(volume: Volume, findings: Sequence[Finding], directory: Path, title: str = "") -> list[Path]:
    """Draw the pictures of a result.

    Parameters
    ----------
    volume : the CT that the masks of the findings refer to
    directory : made if it is missing
    title : shown on every picture, such as the study description; one that says "synthetic" is shown as a warning

    Returns
    -------
    `findings.png` and `nodule-01.png`, `nodule-02.png`, ...
    """
    directory.mkdir(parents=True, exist_ok=True)
    count = len(findings)
    heading = "No nodule found" if not count else f"{count} nodule{'s' if count > 1 else ''}"
    caption = Caption(title=heading, subtitle=title, is_synthetic="synthetic" in title.casefold())
    pictures = {"findings.png": summary_picture(volume, findings, caption)}
    for finding in findings:
        pictures[f"nodule-{finding.number:02}.png"] = finding_picture(volume, finding, count, caption)
    for name, picture in pictures.items():
        picture.save(directory / name)
    return [directory / name for name in pictures]
