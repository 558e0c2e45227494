"""The three models of MT-Net as they are served: their modules with probabilities, and their contracts.

Called from `training.systems.mt_net`. Shape suffixes: B batch, J row, I column.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from inference.contract import Contract, Feed, Intensity, RoiSlices, TensorSpec
from training.data.slices import CROP, WINDOW_HU
from training.served import Served

COARSE, CLASSIFIER, FINE = "coarse", "classifier", "fine"
MODELS = {COARSE: "mt_net_coarse", CLASSIFIER: "mt_net_class", FINE: "mt_net_fine"}
MAXIMUM_BATCH = 16
INTENSITY = Intensity(window_hu=WINDOW_HU, mean_hu=WINDOW_HU[0], sd_hu=WINDOW_HU[1] - WINDOW_HU[0])
ROI = RoiSlices(size_ji=(CROP, CROP), pixel_spacing_mm=None, margin_mm=5.0, threshold=0.5)
OUTLINE_RULE = "pixels that two thirds of the readers marked, of nodules that two readers drew or more (paper 2)"
CLASS_RULE = "mean of the readers' malignancy ratings: below 3 benign, above 3 malignant, 3 not used (paper 2)"
TRAINED_ON = "LIDC-IDRI slices with the outlines of two readers or more (CC BY 3.0), 3 to 25 mm"


def served_model(name: str, module: nn.Module, roles: tuple[str, ...], *, fed: bool) -> Served:
    """A network with its contract.

    Parameters
    ----------
    name : `COARSE`, `CLASSIFIER` or `FINE`
    module : a `Segmenter` or a `Classifier`
    fed : whether the coarse model answers its second input
    """
    image, probability = (TensorSpec(name=kind, shape=(1, CROP, CROP)) for kind in ("image", "probability"))
    coarse, malignancy = TensorSpec(name="coarse", shape=image.shape), TensorSpec(name="malignancy", shape=(1,))
    is_judge = name == CLASSIFIER
    return Served(
        contract=Contract(
            model=MODELS[name],
            version=1,
            kind="slice-model",
            file="1/model.onnx",
            sha256="",
            inputs=(image, coarse) if fed else (image,),
            outputs=(malignancy,) if is_judge else (probability,),
            system="mt_net",
            roles=roles,
            intensity=INTENSITY,
            roi=ROI,
            feeds=(Feed(input="coarse", model=MODELS[COARSE], output="probability"),) if fed else (),
            label_rule=CLASS_RULE if is_judge else OUTLINE_RULE,
            trained_on={"sources": [TRAINED_ON]},
        ),
        module=module,
        maximum_batch=MAXIMUM_BATCH,
    )


def alone(coarse: Served) -> Served:
    """The coarse model as if it were the system's segmenter, to be measured."""
    return replace(coarse, contract=replace(coarse.contract, roles=("segmentation",)))


class Segmenter(nn.Module):
    """A segmenter as it is served: probabilities. A fine network without its prior gets an empty mask."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_B1JI: Tensor, coarse_B1JI: Tensor | None = None) -> Tensor:
        mask_B1JI = torch.zeros_like(image_B1JI) if coarse_B1JI is None else coarse_B1JI
        return torch.sigmoid(self.network(image_B1JI, mask_B1JI))


class Classifier(nn.Module):
    """The classifier as it is served: the probability of being malignant, shape (B, 1)."""

    def __init__(self, network: nn.Module, binarise: float | None) -> None:
        super().__init__()
        self.network, self.binarise = network, binarise

    def forward(self, image_B1JI: Tensor, coarse_B1JI: Tensor | None = None) -> Tensor:
        mask_B1JI = image_B1JI if coarse_B1JI is None else binarised(coarse_B1JI, self.binarise)
        return torch.sigmoid(self.network(image_B1JI, mask_B1JI))


def binarised(coarse_B1JI: Tensor, threshold: float | None) -> Tensor:
    """A coarse probability as the classifier takes it."""
    return coarse_B1JI if threshold is None else (coarse_B1JI >= threshold).to(coarse_B1JI.dtype)
