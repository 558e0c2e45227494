"""What is known about a phantom, as `truth.json` beside its DICOM files; read by the demo and by people."""

from __future__ import annotations

import json

from training.data.phantom.model import Phantom, TrueNodule


def truth_json(phantom: Phantom, study_uid: str, series_uid: str) -> str:
    """Text of `truth.json`: seed, profile, scanner and the nodules; positions are LPS mm of the series."""
    protocol = phantom.protocol
    content = {
        "synthetic": True,
        "seed": phantom.seed,
        "profile": phantom.profile,
        "study_uid": study_uid,
        "series_uid": series_uid,
        "kernel": protocol.kernel,
        "noise_hu": round(protocol.noise_hu, 1),
        "thickness_mm": protocol.thickness_mm,
        "nodules": [_nodule(nodule) for nodule in phantom.nodules],
        "shapes_from": "LIDC-IDRI outlines, CC BY 3.0",
    }
    return json.dumps(content, indent=2) + "\n"


def _nodule(nodule: TrueNodule) -> dict[str, object]:
    return {
        "number": nodule.number,
        "centre_lps": [round(at, 2) for at in nodule.centre_lps],
        "diameter_mm": round(nodule.diameter_mm, 2),
        "volume_mm3": round(nodule.volume_mm3, 1),
        "attenuation": nodule.attenuation.value,
        "malignancy": round(nodule.malignancy, 2),
        "placement": nodule.placement.value,
        "shape_of": nodule.patient_id,
    }
