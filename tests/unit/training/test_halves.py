"""What is released takes half the room and is, number by number, what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from inference.contract import Contract, Intensity, RoiSlices, TensorSpec
from inference.release import read_release, rehearse
from training.export import release
from training.halves import HALF_UNIT, SMALLEST, round_weights
from training.served import Served

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

EDGE, WIDTH = 8, 64
PARITY = 1e-5
LAST = "layers.6.weight"
BEYOND_HALF = 70_000.0
"""More than 65504, the largest number that float16 has."""


class _Toy(nn.Module):
    """Convolutions with batch norms as after a training, wide enough for weights to be most of the file."""

    def __init__(self, largest: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, 16, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_var, 0.1, 2.0)
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        if largest:
            nn.init.constant_(self.layers[-1].weight[0], largest)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(image)).mean(1, keepdim=True)


def _released(module: nn.Module, folder: Path) -> onnx.ModelProto:
    """The file of a release of one model, which its publisher has read and proven."""
    image = TensorSpec(name="image", shape=(1, EDGE, EDGE))
    contract = Contract(
        model="toy",
        version=1,
        kind="slice-model",
        file="",
        sha256="",
        inputs=(image,),
        outputs=(TensorSpec(name="probability", shape=image.shape),),
        system="toy",
        roles=("segmentation",),
        intensity=Intensity(window_hu=(-1000.0, 400.0), mean_hu=-1000.0, sd_hu=1400.0),
        roi=RoiSlices(size_ji=(EDGE, EDGE), pixel_spacing_mm=None, margin_mm=2.0, threshold=0.5),
    )
    served = Served(contract=contract, module=module, maximum_batch=8)
    release((served,), folder, real={}, parity=PARITY, trained_on={}, evaluation={})
    (proof,) = rehearse(read_release(folder))
    assert proof.difference <= PARITY
    return onnx.load(str(folder / "toy/model.onnx"))


def _stored(model: onnx.ModelProto, kind: int) -> dict[str, np.ndarray]:
    """A file's large tensors of one type, by their names in the module."""
    large = [t for t in model.graph.initializer if t.data_type == kind and np.prod(t.dims) >= SMALLEST]
    return {tensor.name.removeprefix("module."): numpy_helper.to_array(tensor) for tensor in large}


def _toy(largest: float = 0.0) -> _Toy:
    torch.manual_seed(0)
    return _Toy(largest)


@pytest.fixture(scope="module")
def rounded() -> _Toy:
    toy = _toy()
    round_weights(toy)
    return toy


@pytest.fixture(scope="module")
def released(rounded: _Toy, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return _released(rounded, tmp_path_factory.mktemp("halves") / "release")


def test_a_release_of_rounded_weights_is_half_as_large(released: onnx.ModelProto, tmp_path: Path) -> None:
    exact = _released(_toy(), tmp_path / "release")
    assert 0.5 < released.ByteSize() / exact.ByteSize() < 0.6
    assert _stored(exact, TensorProto.FLOAT16) == {}


def test_the_stored_weights_are_exactly_the_measured_ones(released: onnx.ModelProto, rounded: _Toy) -> None:
    """Which they would not be with the batch norms multiplied into them."""
    stored = _stored(released, TensorProto.FLOAT16)
    assert stored.keys() == {"layers.3.weight", LAST}
    for name, numbers in stored.items():
        np.testing.assert_array_equal(numbers.astype(np.float32), rounded.state_dict()[name].numpy())


def test_a_weight_that_float16_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    toy = _toy(BEYOND_HALF)
    before = toy.state_dict()[LAST].numpy().copy()
    round_weights(toy)
    model = _released(toy, tmp_path / "release")
    assert _stored(model, TensorProto.FLOAT16).keys() == {"layers.3.weight"}
    np.testing.assert_array_equal(_stored(model, TensorProto.FLOAT)[LAST], before)


def test_a_release_says_nothing_of_the_machine_that_made_it(released: onnx.ModelProto) -> None:
    assert b".py" not in released.SerializeToString()


def test_rounding_changes_a_weight_by_half_a_unit_at_most_and_only_once(rounded: _Toy) -> None:
    before, name = _toy().state_dict(), "layers.3.weight"
    after = rounded.state_dict()[name]
    error = (after - before[name]).abs()
    assert float(error.max()) > 0
    assert bool((error <= HALF_UNIT * before[name].abs() + 2.0**-25).all()), "2**-25 is half a unit below 2**-14"
    again = _toy()
    again.load_state_dict(rounded.state_dict())
    round_weights(again)
    assert torch.equal(again.state_dict()[name], after)


def test_small_tensors_and_vectors_stay_exact() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 30), nn.BatchNorm1d(2 * SMALLEST))
    nn.init.uniform_(module[1].running_var, 1e-9, 1e-3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    round_weights(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_weights_out_of_the_range_of_float16_stay_exact(factor: float) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(40, 40)
    layer.weight.data *= factor
    before = layer.weight.detach().clone()
    round_weights(layer)
    assert torch.equal(layer.weight, before)
