"""What is exported computes what was trained; what does not is not published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inference.onnx import OnnxPredictor
from inference.registry import ModelRepository
from training.export_jnsc import ParityBroken, publish
from training.networks.jnsc import Jnsc, JnscHead, jnsc_tiny
from training.torch_predictor import TorchPredictor

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def networks() -> tuple[Jnsc, JnscHead]:
    torch.manual_seed(0)
    return Jnsc(jnsc_tiny()).eval(), JnscHead(jnsc_tiny()).eval()


def test_the_published_files_answer_as_torch_does(tmp_path: Path, networks: tuple[Jnsc, JnscHead]) -> None:
    dense, head = publish(tmp_path, networks, {"recipe": "tiny"}, {}, operating_score=0.6, parity=1e-4)
    assert dense.detection is not None and dense.detection.operating_score == 0.6
    assert dense.head == head.model
    window = np.random.default_rng(5).standard_normal((2, 1, 64, 64, 64), dtype=np.float32)
    onnx, torch_ = OnnxPredictor(ModelRepository(tmp_path)), TorchPredictor(*networks)
    names = ["probability", "v1", "v5"]
    one, other = (p.infer("jnsc", 1, {"window": window}, names) for p in (onnx, torch_))
    assert all(np.abs(one[name] - other[name]).max() < 1e-4 for name in names)
    features = np.random.default_rng(6).standard_normal((3, head.inputs[0].shape[0]), dtype=np.float32)
    classes = onnx.infer("jnsc_head", 1, {"features": features}, ["probability"])["probability"]
    assert classes.sum(1) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_nothing_is_published_if_the_files_differ_too_much(tmp_path: Path, networks: tuple[Jnsc, JnscHead]) -> None:
    with pytest.raises(ParityBroken):
        publish(tmp_path, networks, {}, {}, operating_score=0.5, parity=0.0)
    assert list(tmp_path.iterdir()) == []
