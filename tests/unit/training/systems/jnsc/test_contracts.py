"""What is exported computes what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inference.release import read_release, rehearse
from tests.support.torch_networks import a_nodule
from training.export import release
from training.networks.jnsc import Jnsc, JnscHead, jnsc_tiny
from training.system import Modules
from training.systems.jnsc.inputs import continued, normalised
from training.systems.jnsc.recipe import calibrated, served

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_the_exported_files_answer_as_torch_does_and_carry_the_measured_score(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Modules({"network": Jnsc(jnsc_tiny()), "head": JnscHead(jnsc_tiny())}).eval()
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


def test_a_window_is_clipped_and_scaled_as_its_contract_says() -> None:
    values = normalised(np.array([-2000, -1000, -570, 400, 3000], np.int16))
    assert values.tolist() == pytest.approx([-430 / 415, -430 / 415, 0, 970 / 415, 970 / 415])
