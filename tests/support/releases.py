"""Exported releases as `pulmonode model publish` takes them: tiny models whose golden cases are worked out by hand.

a_release(tmp_path / "new", factor=3.0)      # the system "doubler", one model, answers 3 x and x / 2
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from inference.contract import Contract
from tests.support.models import a_contract, doubler

PARITY = 1e-5
CASES = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
"""Three cases for `doubler`."""


def a_release(
    folder: Path, factor: float = 2.0, *, artefact: bytes | None = None, golden: float | None = None, **changes: Any
) -> Path:
    """Write a release of `doubler`.

    Parameters
    ----------
    artefact : another file, with a contract that names its hash
    golden : the factor that the golden cases were answered with, if it is another
    changes : of the contract
    """
    believed = factor if golden is None else golden
    outputs = {"double": believed * CASES, "half": CASES / 2}
    content = golden_file({"x": CASES}, {name: values.astype(np.float32) for name, values in outputs.items()})
    add_model(folder, a_released_contract(**changes), doubler(factor) if artefact is None else artefact, content)
    return folder


def a_released_contract(model: str = "doubler", **changes: Any) -> Contract:
    """A complete contract of `doubler`."""
    whole = {
        "system": "doubler",
        "roles": ("malignancy",),
        "classes": ("benign", "malignant"),
        "evaluation": {"parity": PARITY},
    }
    return a_contract(model, **{**whole, **changes})


def add_model(folder: Path, contract: Contract, artefact: bytes, golden: bytes) -> None:
    """Write one model of a release."""
    place = folder / contract.model
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(artefact)
    named = contract.to_json().replace('"sha256": ""', f'"sha256": "{hashlib.sha256(artefact).hexdigest()}"')
    (place / "contract.json").write_text(named, encoding="utf-8")
    (place / "golden.npz").write_bytes(golden)


def golden_file(inputs: dict[str, Any], outputs: dict[str, Any]) -> bytes:
    """The content of `golden.npz`."""
    tensors = {f"input.{name}": values for name, values in inputs.items()}
    tensors |= {f"output.{name}": values for name, values in outputs.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, **tensors)
    return stream.getvalue()
