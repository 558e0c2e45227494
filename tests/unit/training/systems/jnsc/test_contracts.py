"""What is exported computes what was trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from inference.engine import Engine
from inference.errors import ReleaseInvalid
from inference.release import read_release, rehearse
from tests.support.torch_networks import a_nodule
from training.export import release
from training.networks.blocks import Norm
from training.networks.jnsc import Jnsc, JnscHead, jnsc_tiny
from training.served import TorchPredictor
from training.system import Modules
from training.systems.jnsc.inputs import continued, normalised
from training.systems.jnsc.recipe import calibrated, served

A_RELEASE: dict[str, Any] = {"real": {}, "parity": 1e-4, "trained_on": {}, "evaluation": {}}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def a_model(norm: Norm = "instance") -> Modules:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = dataclasses.replace(jnsc_tiny(), norm=norm)
    return Modules({"network": Jnsc(config), "head": JnscHead(config)}).eval()


def test_the_exported_files_answer_as_torch_does_and_carry_the_measured_score(tmp_path: Path) -> None:
    model = a_model()
    models = calibrated(served(model), {"real": {"operating_score": 0.6}})
    real = {(1, 64, 64, 64): normalised(continued(a_nodule()).volume_hu).numpy()[None, None]}
    about = {"recipe": {"name": "tiny"}}
    release(models, tmp_path / "release", real=real, parity=1e-4, trained_on=about, evaluation={})
    members = read_release(tmp_path / "release")
    assert [proof.model for proof in rehearse(members)] == ["jnsc", "jnsc_head"]
    dense, head = (member.contract for member in members)
    assert dense.detection is not None and dense.detection.operating_score == 0.6
    assert dense.head == head.model
    assert dense.trained_on["recipe"] == about["recipe"] and len(dense.trained_on["sources"]) == 3


def test_a_one_pass_detector_is_exported_for_windows_of_any_length(tmp_path: Path) -> None:
    """Also beyond its contract's window, in both of the runtimes that serve it, its file answers as torch does."""
    detector = served(a_model("batch"))[0]
    release((detector, served(a_model("batch"))[1]), tmp_path / "release", **A_RELEASE)
    assert read_release(tmp_path / "release")[0].contract.is_one_pass
    artefact = (tmp_path / "release/jnsc/model.onnx").read_bytes()
    window = np.random.default_rng(0).standard_normal((1, 1, 80, 64, 112), np.float32)
    names = [spec.name for spec in detector.contract.outputs]
    expected = TorchPredictor([detector]).infer("jnsc", 1, {"window": window}, names)
    by_openvino = Engine(artefact).run({"window": window}, names)
    by_onnxruntime = InferenceSession(artefact).run(names, {"window": window})
    for name, other in zip(names, by_onnxruntime, strict=True):
        np.testing.assert_allclose(by_openvino[name], expected[name], rtol=0, atol=1e-4)
        np.testing.assert_allclose(other, expected[name], rtol=0, atol=1e-4)


def test_a_file_for_windows_of_one_length_is_no_one_pass_detector(tmp_path: Path) -> None:
    release(served(a_model()), tmp_path / "release", **A_RELEASE)
    contract = tmp_path / "release/jnsc/contract.json"
    contract.write_text(contract.read_text().replace('"is_one_pass": false', '"is_one_pass": true'))
    with pytest.raises(ReleaseInvalid, match=r"input window is .* in the file, not \[None, 1, None, None, None\]"):
        read_release(tmp_path / "release")


def test_a_window_is_clipped_and_scaled_as_its_contract_says() -> None:
    values = normalised(np.array([-2000, -1000, -570, 400, 3000], np.int16))
    assert values.tolist() == pytest.approx([-430 / 415, -430 / 415, 0, 970 / 415, 970 / 415])
