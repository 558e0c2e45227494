"""Pictures of a result: the key image of every finding with outline, axes and values, and all of them on one page.

Patient names and identifiers are never drawn. Drawn here once: `draw` saves PNG files for `pulmonode series analyse`
and the demo, and `pacs_node.report.captures` puts the same pictures into DICOM.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.findings import Finding
from inference.volume import Volume
from pacs_node.report.overlay.finding import finding_picture
from pacs_node.report.overlay.style import Caption, Picture
from pacs_node.report.overlay.summary import Notes, summary_picture
from pacs_node.report.overlay.views import LUNG_WINDOW_HU, Scene, axes_letters

__all__ = [
    "LUNG_WINDOW_HU",
    "Caption",
    "Notes",
    "Picture",
    "Scene",
    "axes_letters",
    "draw",
    "finding_picture",
    "summary_picture",
]


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
    scene = Scene(volume=volume, findings=tuple(findings))
    pictures = {"findings.png": summary_picture(scene, caption, Notes())}
    for finding in findings:
        pictures[f"nodule-{finding.number:02}.png"] = finding_picture(scene, finding, caption)
    for name, picture in pictures.items():
        picture.save(directory / name)
    return [directory / name for name in pictures]
