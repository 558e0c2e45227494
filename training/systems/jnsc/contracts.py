"""What the contracts of the JNSC models say: tensors, window, detection settings, limits, labels.

Called from `training.systems.jnsc.recipe`. What a model was trained on and how well it does comes in at export.
"""

from __future__ import annotations

from dataclasses import replace

from inference.contract import Contract, Detection, Intensity, SeriesLimits, TensorSpec
from training.networks.jnsc import CLASSES, STRIDES, Jnsc, JnscHead

ROI = 64
"""Voxels of a window along each axis (paper 4, section II)."""

# HU window: paper 4, section III-A. Mean and standard deviation: measured inside that window over the 819 patches of
# LUNA16 nodules, rounded; the same numbers are used in training and serving.
INTENSITY = Intensity(window_hu=(-1000.0, 400.0), mean_hu=-570.0, sd_hu=415.0)

# Windows, step, threshold, smallest diameter: paper 4, section II. Closer than 5 mm two centres mean one nodule.
DETECTION = Detection(
    roi_kji=(ROI, ROI, ROI),
    stride_kji=(32, 32, 32),
    threshold=0.4,
    nms_mm=5.0,
    minimum_diameter_mm=3.0,
    operating_score=0.5,
)

# What the training data cover: LUNA16 takes series of up to 2.5 mm, the phantoms and one background CT reach 3 mm;
# in-plane 0.46 to 0.98 mm in LIDC. A window must fit and both lungs should be there: at least 100 mm.
LIMITS = SeriesLimits(
    slice_thickness_mm=(0.5, 3.0),
    slice_spacing_mm=(0.4, 3.0),
    pixel_spacing_mm=(0.4, 1.0),
    minimum_slices=40,
    minimum_coverage_mm=100.0,
)

SOURCES = (
    "LIDC-IDRI nodules of three or more readers through LUNA16 and NODE21 (CC BY 3.0)",
    "background: C3N-00247 (CPTAC, CC BY 3.0) and ACRIN-FLT-Breast_001 (CC BY 3.0), not marked by anyone",
    "synthetic phantoms with LIDC nodule shapes",
)


def dense_contract(network: Jnsc) -> Contract:
    """Contract of the dense network, with an operating score that is still to be set."""
    inputs, outputs = _dense_tensors(network)
    names = (spec.name for spec in outputs[1:])
    return Contract(
        model="jnsc",
        version=1,
        kind="dense-detector",
        file="1/model.onnx",
        sha256="",
        inputs=inputs,
        outputs=outputs,
        system="jnsc",
        roles=("detection", "segmentation"),
        spacing_mm=(1.0, 1.0, 1.0),
        intensity=INTENSITY,
        detection=replace(DETECTION, is_one_pass=network.config.norm == "batch"),
        limits=LIMITS,
        features=tuple(zip(names, STRIDES, network.config.bins, strict=True)),
        head="jnsc_head",
        label_rule="voxels of the reference mask",
        trained_on={"sources": SOURCES},
    )


def head_contract(head: JnscHead) -> Contract:
    """Contract of the head."""
    inputs, outputs = _head_tensors(head)
    return Contract(
        model="jnsc_head",
        version=1,
        kind="roi-head",
        file="1/model.onnx",
        sha256="",
        inputs=inputs,
        outputs=outputs,
        system="jnsc",
        roles=("malignancy",),
        classes=CLASSES,
        label_rule="median of the readers' malignancy ratings: below 3 benign, above 3 malignant, 3 not used (paper 4)",
        trained_on={"sources": SOURCES},
    )


def _dense_tensors(network: Jnsc) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the dense network for its contract."""
    cube = TensorSpec(name="window", shape=(1, ROI, ROI, ROI))
    maps = tuple(
        TensorSpec(name=f"v{level + 1}", shape=(width, *(ROI // 2**level,) * 3))
        for level, width in enumerate(network.config.widths)
    )
    return (cube,), (TensorSpec(name="probability", shape=cube.shape), *maps)


def _head_tensors(head: JnscHead) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the head for its contract."""
    features = TensorSpec(name="features", shape=(head.linear.in_features,))
    return (features,), (TensorSpec(name="probability", shape=(head.linear.out_features,)),)
