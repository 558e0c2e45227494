"""How near a system's soft masks come to those made from all readers, beside the shared figures of slices.

Called from `training.systems.dsnet_training`. Shape suffixes: N samples, J row, I column, 1 channel.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from inference.slices import answer
from training.data.slices import CROP, FloatArray, Samples, Slice, middle, samples_of
from training.evaluation import slices as shared
from training.evaluation.outcome import Outcome
from training.labels.consensus import HALF
from training.labels.malignancy import LabelRule
from training.metrics.overlap import dice
from training.metrics.statistics import figure, mean
from training.networks.dsnet import DsNet, ServedDsNet, enlarged
from training.networks.srgan import Generator, degraded
from training.served import Served, TorchPredictor

BATCH = 16
DATA = "LIDC-IDRI, largest slices drawn by four readers or more, validation patients, the CT's own pixels, 64 x 64"


@torch.no_grad()
def validated(samples: Samples, network: DsNet, teacher: Generator | None) -> dict[str, float]:
    """Dice on the image's own grid, mean over the middle crops of samples."""
    module = ServedDsNet(network, teacher)
    images_N1JI = torch.from_numpy(np.ascontiguousarray(middle(samples.images_NJI)))[:, None]
    found_NJI = torch.cat([module(part)[:, 0] for part in torch.split(images_N1JI, BATCH)]).numpy() >= HALF
    truths_NJI = middle(samples.masks_NJI) >= HALF
    return {"dice": mean([dice(found, truth) for found, truth in zip(found_NJI, truths_NJI, strict=True)])}


def evaluate(
    slices: Sequence[Slice], soft: Mapping[str, FloatArray], served: Sequence[Served], teacher: Generator | None
) -> Outcome:
    """The shared figures, the error of the soft masks, and how well the teacher enlarges.

    Parameters
    ----------
    slices : of validation patients
    soft : soft masks by case, without the rejected ones; enlarged ones are averaged to the image's pixels
    served : the one model of the system
    teacher : None if the system has none
    """
    outcome = shared.evaluate(slices, served, share=HALF, rule=LabelRule.MEAN_ROUNDED, data=DATA)
    more: dict[str, Any] = {"soft_masks": soft_figures(slices, soft, served)}
    if teacher is not None:
        more["teacher"] = teacher_figures(samples_of(slices), teacher)
    return dataclasses.replace(outcome, figures=outcome.figures | more)


def soft_figures(slices: Sequence[Slice], soft: Mapping[str, FloatArray], served: Sequence[Served]) -> dict[str, Any]:
    """Mean absolute difference to the soft masks over all pixels; beside it that of the binary consensus."""
    kept = [one for one in slices if one.case_id in soft]
    images = np.stack([middle(one.image_hu) for one in kept]).astype(np.float32)
    contracts = [one.contract for one in served]
    found = answer(contracts, images, TorchPredictor(served), ["probability"])["probability"][:, 0]
    errors: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one, said in zip(kept, found, strict=True):
        made = _pooled(middle(soft[one.case_id]))
        errors[one.patient_id].append((_distance(said, made), _distance(middle(one.mask(HALF)), made)))
    return {
        "slices": len(kept),
        "rejected": len(slices) - len(kept),
        "mean_absolute_error": figure(errors, lambda some: mean([x for x, _ in some])).to_json(),
        "of_the_binary_consensus": figure(errors, lambda some: mean([x for _, x in some])).to_json(),
    }


@torch.no_grad()
def teacher_figures(samples: Samples, teacher: Generator) -> dict[str, Any]:
    """Peak signal-to-noise ratio of enlarged images in dB (peak = the window), beside that of bicubic enlargement."""
    images_N1JI = torch.from_numpy(np.ascontiguousarray(middle(samples.images_NJI)))[:, None]
    small_N1JI = degraded(images_N1JI, teacher.factor)
    sharp_N1JI = torch.cat([teacher(part)[0] for part in torch.split(small_N1JI, BATCH)])
    return {
        "psnr_db": _psnr_db(sharp_N1JI, images_N1JI),
        "psnr_db_of_bicubic": _psnr_db(enlarged(small_N1JI, teacher.factor), images_N1JI),
    }


def _psnr_db(made: Tensor, real: Tensor) -> float:
    return round(float(-10 * torch.log10(mse_loss(made, real))), 2)


def _pooled(soft_ji: FloatArray) -> FloatArray:
    scale = soft_ji.shape[0] // CROP
    pooled: FloatArray = soft_ji.reshape(CROP, scale, CROP, scale).mean((1, 3))
    return pooled


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float32) - other).mean())
