"""`python -m tests.viewers [DEMO]`: take the pictures of OHIF in `deploy/docs` anew, with the result of `make demo`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from pydicom import dcmread

from pacs_node.dimse import scu
from tests.support.ohif import Visit, visited
from tests.support.peers import orthanc

PICTURES = Path(__file__).parents[2] / "deploy/docs"
VIEWPORT = {"width": 1280, "height": 720}


def main(demo: Path) -> None:
    """Show the demo's CT and results to OHIF by way of Orthanc, and keep a picture of the SEG and of the report."""
    (phantom,) = demo.glob("phantom-*")
    ct = sorted(phantom.rglob("*.dcm"))
    results = sorted((demo / "run/results").glob("*.dcm"))
    visit = Visit(name="ohif", study_uid=str(dcmread(ct[0]).StudyInstanceUID), modalities=("SR", "SEG"))
    with tempfile.TemporaryDirectory() as place, orthanc(Path(place) / "pacs") as pacs:
        scu.store(pacs.peer, [*ct, *results], calling_ae_title="PICTURES")
        seen = visited(pacs.url, Path(place) / "pictures", [visit], viewport=VIEWPORT)
        assert seen["ohif"]["errors"] == [], seen["ohif"]["errors"]
        for modality in visit.modalities:
            shot = Path(place) / "pictures" / f"ohif-{modality}.png"
            Image.open(shot).convert("RGB").save(PICTURES / f"ohif-{modality.lower()}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
