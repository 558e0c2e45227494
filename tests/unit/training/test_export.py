"""A release holds what was trained, proves itself, and is not written if it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.contract import Contract, Feed, Intensity, RoiSlices, TensorSpec
from inference.errors import GoldenMismatch, ReleaseInvalid
from inference.release import read_release, rehearse
from training.errors import FolderTaken
from training.export import golden_cases, release, release_again
from training.served import Served

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

EDGE = 8
REAL = {(1, EDGE, EDGE): np.random.default_rng(5).random((2, 1, EDGE, EDGE), np.float32)}


class _Coarse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.layer(image))


class _Fine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, image: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        probability = torch.sigmoid(self.layer(torch.cat([image, coarse], 1)))
        return probability, probability.mean((2, 3))


class _Forgetful(_Coarse):
    """Computes something else when it is exported than when it is asked."""

    def forward(self, image: Tensor) -> Tensor:
        answer = super().forward(image)
        return answer * 0.5 if torch.compiler.is_exporting() else answer


def _contract(model: str, roles: tuple[str, ...], outputs: tuple[str, ...]) -> Contract:
    shapes = {"probability": (1, EDGE, EDGE), "malignancy": (1,)}
    return Contract(
        model=model,
        version=1,
        kind="slice-model",
        file="",
        sha256="",
        inputs=(TensorSpec(name="image", shape=(1, EDGE, EDGE)),),
        outputs=tuple(TensorSpec(name=name, shape=shapes[name]) for name in outputs),
        system="toy",
        roles=roles,
        intensity=Intensity(window_hu=(-1000.0, 400.0), mean_hu=-1000.0, sd_hu=1400.0),
        roi=RoiSlices(size_ji=(EDGE, EDGE), pixel_spacing_mm=None, margin_mm=2.0, threshold=0.5),
    )


def _served(coarse: nn.Module) -> tuple[Served, Served]:
    fine = _contract("toy_fine", ("segmentation", "malignancy"), ("probability", "malignancy"))
    fine = dataclasses.replace(
        fine,
        inputs=(*fine.inputs, TensorSpec(name="coarse", shape=(1, EDGE, EDGE))),
        feeds=(Feed(input="coarse", model="toy_coarse", output="probability"),),
    )
    return (
        Served(contract=_contract("toy_coarse", (), ("probability",)), module=coarse, maximum_batch=8),
        Served(contract=fine, module=_Fine(), maximum_batch=8),
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("export") / "release"
    about = {"recipe": "toy"}
    release(_served(_Coarse()), folder, real=REAL, parity=1e-5, trained_on=about, evaluation={"dice": 0.9})
    return folder


def test_a_release_is_what_the_publisher_reads_and_proves(exported: Path) -> None:
    members = read_release(exported)
    assert [member.contract.model for member in members] == ["toy_coarse", "toy_fine"]
    assert all(proof.cases == 3 and proof.difference <= 1e-5 for proof in rehearse(members))


def test_the_contract_says_what_it_was_trained_on_and_how_well_it_does(exported: Path) -> None:
    contract = read_release(exported)[1].contract
    assert contract.trained_on["recipe"] == "toy"
    assert contract.evaluation["dice"] == 0.9
    assert contract.evaluation["parity"] == 1e-5 >= contract.evaluation["onnx_torch_max_abs_difference"]


def test_a_fed_model_s_golden_cases_are_fed_by_the_other_model() -> None:
    goldens = golden_cases(_served(_Coarse()), REAL)
    assert (goldens["toy_fine"].inputs["coarse"] == goldens["toy_coarse"].outputs["probability"]).all()
    assert (goldens["toy_coarse"].inputs["image"][:2] == REAL[1, EDGE, EDGE]).all()


def test_what_does_not_compute_the_same_is_not_released(tmp_path: Path) -> None:
    with pytest.raises(GoldenMismatch):
        release(_served(_Forgetful()), tmp_path / "release", real=REAL, parity=1e-5, trained_on={}, evaluation={})
    assert list(tmp_path.iterdir()) == []


def test_a_release_is_never_written_over(exported: Path) -> None:
    with pytest.raises(FolderTaken, match="another folder"):
        release(_served(_Coarse()), exported, real=REAL, parity=1e-5, trained_on={}, evaluation={})


def test_models_that_were_published_are_released_again_with_what_is_new_in_their_contracts(
    exported: Path, tmp_path: Path
) -> None:
    members = read_release(exported)
    told = [dataclasses.replace(m, contract=dataclasses.replace(m.contract, label_rule="new")) for m in members]
    proofs = release_again(told, tmp_path / "again")
    assert [proof.model for proof in proofs] == ["toy_coarse", "toy_fine"]
    assert list(read_release(tmp_path / "again")) == told
    with pytest.raises(FolderTaken, match="another folder"):
        release_again(told, tmp_path / "again")


def test_models_that_do_not_prove_themselves_are_not_released_again(exported: Path, tmp_path: Path) -> None:
    coarse, fine = read_release(exported)
    wrong = dataclasses.replace(coarse, golden=fine.golden)
    with pytest.raises(ReleaseInvalid):
        release_again([wrong, fine], tmp_path / "release")
    assert list(tmp_path.iterdir()) == []
