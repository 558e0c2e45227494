"""Weights from elsewhere for the networks of MT-Net: files, names, and a strict account of what went where.

The paper starts its segmenters from MS-COCO weights and its classifier from ImageNet weights. Neither is part of this
project; a person who has them in a file names it in a recipe. Called from `training.systems.mt_net`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

COUNTER = "num_batches_tracked"
"""Of batch norm; weights from before torch 0.4.1 do not have it."""


class WeightsDoNotFit(Exception):
    """The file's weights are not those of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How the modules of a public implementation are called here.

    Parameters
    ----------
    ours : their module's name to ours, without the parameter's own name
    fresh : modules of ours that may keep their random weights
    dropped : modules of theirs that we do not have
    """

    ours: Mapping[str, str]
    fresh: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of each tensor, by name.

    Parameters
    ----------
    loaded : ours that were filled
    missing, mismatched : ours that the file does not have, or has in another shape
    unexpected : theirs that we have no place for
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        kept = ", ".join((*self.missing, *self.mismatched)) or "none"
        return f"{len(self.loaded)} tensors loaded; left as they were: {kept}; not used: {len(self.unexpected)}"


def load_pretrained(network: nn.Module, path: Path, names: Names) -> Report:
    """Fill a network, in place.

    Parameters
    ----------
    path : `.npz` with one array per tensor, or what torch saved; neither is allowed to hold anything but tensors

    Raises
    ------
    WeightsDoNotFit : a tensor has no counterpart that `names` does not excuse; nothing is loaded
    """
    theirs = {key.removeprefix("module."): value for key, value in _read(path).items()}
    renamed = {new: value for key, value in theirs.items() if (new := _renamed(key, names.ours))}
    unexpected = tuple(key for key in theirs if not _renamed(key, names.ours))
    own = network.state_dict()
    wanted = {key: _widened(renamed[key], own[key]) for key in own if key in renamed}
    fitting = {key: value for key, value in wanted.items() if value.shape == own[key].shape}
    report = Report(
        loaded=tuple(fitting),
        missing=tuple(key for key in own if key not in renamed and not key.endswith(COUNTER)),
        mismatched=tuple(key for key in wanted if key not in fitting),
        unexpected=(*unexpected, *(key for key in renamed if key not in own)),
    )
    refused = [*_outside(names.fresh, (*report.missing, *report.mismatched)), *_outside(names.dropped, unexpected)]
    if refused:
        raise WeightsDoNotFit(f"{report}; no place or no weights for {', '.join(refused)}")
    network.load_state_dict(own | fitting)
    return report


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as pack:
            return {name: torch.from_numpy(pack[name]) for name in pack.files}
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def _renamed(key: str, ours: Mapping[str, str]) -> str | None:
    module, _, parameter = key.rpartition(".")
    return f"{ours[module]}.{parameter}" if module in ours else None


def _widened(theirs: Tensor, ours: Tensor) -> Tensor:
    """A convolution with one more channel than the pretrained one starts that channel from the others' mean."""
    if theirs.ndim == 4 and ours.shape[1] == theirs.shape[1] + 1:
        return torch.cat([theirs, theirs.mean(1, keepdim=True)], 1)
    return theirs


def _outside(modules: frozenset[str], keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.rpartition(".")[0] not in modules]


def _deeplab_names() -> Names:
    """Names of MB-DCNN's DeepLabv3+ (its classes answer with two channels, ours with one: `output` stays fresh)."""
    ours = {"backbone.conv1": "encoder.stem.0", "backbone.bn1": "encoder.stem.1"}
    ours |= {"backbone.conv2": "encoder.stem.3", "backbone.bn2": "encoder.stem.4"}
    blocks = [*(f"entry.{n}" for n in range(3)), *(f"middle.{n}" for n in range(16)), "exit"]
    for number, block in enumerate(blocks, 1):
        theirs = f"backbone.block{number}"
        ours |= {f"{theirs}.skip": f"encoder.{block}.shortcut.0", f"{theirs}.skipbn": f"encoder.{block}.shortcut.1"}
        for place, part in enumerate(("first", "second", "third"), 1):
            ours |= _separable(f"{theirs}.sepconv{place}", f"encoder.{block}.{part}")
    for number in range(3):
        ours |= _separable(f"backbone.conv{number + 3}", f"encoder.last.{number}")
    for layer in range(2):
        ours |= {f"aspp.branch{n + 1}.{layer}": f"pyramid.branches.{n}.{layer}" for n in range(4)}
        ours |= {f"aspp.conv_cat.{layer}": f"pyramid.join.{layer}", f"cam_conv.{layer}": f"fine_layer.{layer}"}
        ours |= {f"shortcut_conv.{layer}": f"shortcut.{layer}"}
    ours |= {"aspp.branch5_conv": "pyramid.mean.0", "aspp.branch5_bn": "pyramid.mean.1"}
    ours |= {f"cat_conv.{layer}": f"decoder.{layer}" for layer in (0, 1, 4, 5)}
    return Names(ours=ours | {"cls_conv": "output"}, fresh=frozenset({"output"}))


def _separable(theirs: str, ours: str) -> dict[str, str]:
    parts = {"depthwise": "depthwise", "bn1": "depthwise_norm", "pointwise": "pointwise", "bn2": "pointwise_norm"}
    return {f"{theirs}.{their}": f"{ours}.{our}" for their, our in parts.items()}


def _class_names() -> Names:
    """Names of the ImageNet Xception that the PyTorch ports of the Keras weights have (1000 classes, three colours)."""
    ours = {"conv1": "first.0", "bn1": "first.1", "conv2": "second.0", "bn2": "second.1"}
    for number in range(12):
        theirs, block = f"block{number + 1}", f"blocks.{number}"
        ours |= {f"{theirs}.skip": f"{block}.shortcut.0", f"{theirs}.skipbn": f"{block}.shortcut.1"}
        first = 0 if number == 0 else 1  # their lists count the ReLU before each convolution; block1 has no first one
        for part in range(3):
            place = first + 3 * part
            ours |= {f"{theirs}.rep.{place}.conv1": f"{block}.parts.{part}.depthwise"}
            ours |= {f"{theirs}.rep.{place}.pointwise": f"{block}.parts.{part}.pointwise"}
            ours |= {f"{theirs}.rep.{place + 1}": f"{block}.parts.{part}.norm"}
    for number, last in ((3, "last.0"), (4, "last.2")):
        ours |= {f"conv{number}.conv1": f"{last}.depthwise", f"conv{number}.pointwise": f"{last}.pointwise"}
        ours |= {f"bn{number}": f"{last}.norm"}
    return Names(ours=ours, fresh=frozenset({"output"}), dropped=frozenset({"fc", "last_linear"}))


DEEPLAB_NAMES = _deeplab_names()
CLASS_NAMES = _class_names()
