"""Pretrained weights: the names of public implementations, and a strict account. All weights here are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.networks.deeplab import DeepLab, DeepLabConfig
from training.networks.mt_net import ClassNet, ClassNetConfig
from training.networks.pretrained import CLASS_NAMES, DEEPLAB_NAMES, Names, WeightsDoNotFit, load_pretrained

TOY = Names(ours={"theirs": "0", "head": "1"}, fresh=frozenset({"1"}), dropped=frozenset({"fc"}))


def a_toy(taken: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(taken, 2, 1), nn.Conv2d(2, 1, 1))


def toy_weights() -> dict[str, Tensor]:
    return {
        "theirs.weight": torch.arange(6.0).reshape(2, 3, 1, 1),
        "theirs.bias": torch.ones(2),
        "fc.weight": torch.zeros(5, 2),
    }


def write_npz(path: Path, weights: dict[str, Tensor]) -> Path:
    np.savez(path, **{name: value.numpy() for name, value in weights.items()})  # type: ignore[arg-type]
    return path


def named_back(network: nn.Module, names: Names) -> dict[str, Tensor]:
    """The network's tensors under the public names, each filled with its own number."""
    theirs = {ours: name for name, ours in names.ours.items()}
    filled = {}
    for number, (key, value) in enumerate(network.state_dict().items()):
        module, _, parameter = key.rpartition(".")
        if module in theirs:
            filled[f"module.{theirs[module]}.{parameter}"] = torch.full_like(value, number)
    return filled


def test_what_fits_is_loaded_and_the_rest_is_told(tmp_path: Path) -> None:
    network = a_toy()
    report = load_pretrained(network, write_npz(tmp_path / "w.npz", toy_weights()), TOY)
    assert torch.equal(network.state_dict()["0.weight"], torch.arange(6.0).reshape(2, 3, 1, 1))
    assert report.loaded == ("0.weight", "0.bias")
    assert report.missing == ("1.weight", "1.bias")
    assert report.unexpected == ("fc.weight",)
    assert str(report) == "2 tensors loaded; left as they were: 1.weight, 1.bias; not used: 1"


def test_a_fourth_channel_starts_as_the_mean_of_three(tmp_path: Path) -> None:
    network = a_toy(taken=4)
    load_pretrained(network, write_npz(tmp_path / "w.npz", toy_weights()), TOY)
    assert network.state_dict()["0.weight"][:, :, 0, 0].tolist() == [[0, 1, 2, 1], [3, 4, 5, 4]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"theirs.bias": None}, "0.bias"),
        ({"theirs.bias": torch.ones(7)}, "0.bias"),
        ({"stranger.weight": torch.ones(1)}, "stranger.weight"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_loaded(
    tmp_path: Path, change: dict[str, Tensor | None], told: str
) -> None:
    weights = {name: value for name, value in (toy_weights() | change).items() if value is not None}
    network = a_toy()
    before = network.state_dict()["0.weight"].clone()
    with pytest.raises(WeightsDoNotFit, match=told):
        load_pretrained(network, write_npz(tmp_path / "w.npz", weights), TOY)
    assert torch.equal(network.state_dict()["0.weight"], before)


def test_what_torch_saved_is_read_but_never_unpickled(tmp_path: Path) -> None:
    torch.save(toy_weights(), tmp_path / "w.pth")
    assert load_pretrained(a_toy(), tmp_path / "w.pth", TOY).loaded == ("0.weight", "0.bias")
    torch.save(a_toy(), tmp_path / "module.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        load_pretrained(a_toy(), tmp_path / "module.pth", TOY)


def test_every_tensor_of_a_deeplab_has_its_public_name(tmp_path: Path) -> None:
    network = DeepLab(DeepLabConfig(width=0.02, has_prior=True))
    weights = named_back(network, DEEPLAB_NAMES)
    assert "module.backbone.block20.sepconv3.pointwise.weight" in weights
    assert "module.cam_conv.0.weight" in weights
    report = load_pretrained(network, write_npz(tmp_path / "w.npz", weights), DEEPLAB_NAMES)
    assert len(report.loaded) == len(network.state_dict())
    assert all(value.eq(number).all() for number, value in enumerate(network.state_dict().values()))


def test_classes_of_another_data_set_are_left_out_of_a_deeplab(tmp_path: Path) -> None:
    network = DeepLab(DeepLabConfig(width=0.02))
    weights = named_back(network, DEEPLAB_NAMES)
    weights["module.cls_conv.weight"] = torch.zeros(21, 5, 1, 1)
    weights["module.cls_conv.bias"] = torch.zeros(21)
    report = load_pretrained(network, write_npz(tmp_path / "w.npz", weights), DEEPLAB_NAMES)
    assert report.mismatched == ("output.weight", "output.bias")


def test_an_imagenet_xception_fills_the_classifier(tmp_path: Path) -> None:
    network = ClassNet(ClassNetConfig(width=0.02))
    weights = named_back(ClassNet(ClassNetConfig(width=0.02, has_mask=False)), CLASS_NAMES)
    weights["module.last_linear.weight"] = torch.zeros(1000, 41)
    assert {"module.block1.rep.0.conv1.weight", "module.block12.rep.5.weight", "module.bn4.bias"} <= set(weights)
    report = load_pretrained(network, write_npz(tmp_path / "w.npz", weights), CLASS_NAMES)
    assert report.unexpected == ("last_linear.weight",)
    assert report.missing == ("output.weight", "output.bias")
    assert network.state_dict()["first.0.weight"].shape[1] == 4
