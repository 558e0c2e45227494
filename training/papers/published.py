"""The papers' results, beside which figure of ours each stands, and why the two cannot be compared as they are."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One printed number.

    Parameters
    ----------
    system : module of `training.systems`
    figure : path of ours in `evaluation.json`, joined by dots
    name : for people
    value : as printed, 0..1; None where the paper gives none
    place : where it is printed
    reason : why it cannot be compared with ours
    floor : what ours should reach at least, as the project set it before training
    """

    system: str
    figure: str
    name: str
    value: float | None
    place: str
    reason: str
    floor: float | None = None


_LEAK = "its split was made after augmentation, so turned copies of test nodules were trained on"
_CROP = "other nodules and readers; its split by patient is not stated"

PUBLISHED = (
    Published(
        system="hr_mpf",
        figure="segmentation.dice",
        name="Dice",
        value=0.9373,
        place="table 1",
        reason=_LEAK,
        floor=0.85,
    ),
    Published(
        system="hr_mpf",
        figure="segmentation.sensitivity",
        name="sensitivity of pixels",
        value=0.9377,
        place="table 1",
        reason=_LEAK,
    ),
    Published(
        system="hr_mpf",
        figure="segmentation.ppv",
        name="precision of pixels",
        value=0.9427,
        place="table 1",
        reason=_LEAK,
    ),
    Published(
        system="hr_mpf",
        figure="malignancy.average_precision",
        name="malignancy, average precision",
        value=0.9646,
        place="table 3, there called AUC",
        reason=f"it is the area under a precision-recall curve, and {_LEAK}",
    ),
    Published(
        system="hr_mpf",
        figure="malignancy.auc",
        name="malignancy, ROC AUC",
        value=None,
        place="",
        reason="the paper gives no ROC area",
    ),
    Published(
        system="mt_net",
        figure="segmentation.dice",
        name="Dice of the Fine network",
        value=0.832,
        place="table 2",
        reason=f"{_CROP}; it enlarges 64 pixels to 224 and starts from COCO weights",
        floor=0.86,
    ),
    Published(
        system="mt_net",
        figure="coarse.dice",
        name="Dice of the Coarse network",
        value=0.801,
        place="table 5",
        reason=_CROP,
    ),
    Published(
        system="mt_net",
        figure="malignancy.auc",
        name="malignancy, ROC AUC",
        value=0.935,
        place="table 3",
        reason="its accuracy, sensitivity and specificity imply 23 % malignant nodules in one row of table 4, 67 % in "
        "another, so its rows are not of one test set",
    ),
    Published(
        system="detection_guided",
        figure="segmentation.dice",
        name="Dice, pre-training data",
        value=0.801,
        place="table 3, STD",
        reason="its clinical set of 7 patients is not public, and was split by lesion",
        floor=0.83,
    ),
    Published(
        system="detection_guided",
        figure="clinical.variants.transferred.with_nodule.dice",
        name="Dice, clinical set after transfer",
        value=0.814,
        place="table 3, TL + STD",
        reason="another clinical set, split by lesion there and by patient here",
    ),
    Published(
        system="jnsc",
        figure="real.dice_of_found",
        name="Dice (3-D) of found nodules",
        value=None,
        place="",
        reason="the paper gives no Dice",
        floor=0.72,
    ),
    Published(
        system="jnsc",
        figure="real.sensitivity_at_1_per_1000_cm3",
        name="sensitivity at 1 false finding per 1,000 cm3",
        value=None,
        place="",
        floor=0.9,
        reason="the paper counts per scan of LUNA16 (0.776 at 1/8, 0.953 at 8); whole marked scans are not at hand",
    ),
    Published(
        system="dsnet",
        figure="segmentation.dice",
        name="Dice against the 50 % consensus",
        value=0.8335,
        place="table 2",
        reason="its 986 four-reader nodules cannot be found again in LIDC (897 or 911), and its split is by nodule",
        floor=0.89,
    ),
    Published(
        system="dsnet",
        figure="reader_agreement.one_against_the_majority_of_the_others",
        name="readers: one against the majority of the others",
        value=None,
        place="table 4 has pairs of 0.626 to 0.763",
        reason="its readers D1 to D4 are not four persons: the order of readers is random in LIDC",
    ),
)

HEADLINES = {
    "hr_mpf": "hr_mpf_resolved",
    "mt_net": "mt_net_cpu",
    "detection_guided": "detection_guided_cpu",
    "jnsc": "jnsc_one_pass",
    "dsnet": "dsnet_cpu",
}
"""The recipe of each system whose figures stand beside the paper's."""

LABELS_PRINTED = "The paper prints gains in accuracy: pseudo-labels 0.024 over hard labels and 0.013 over soft ones."
FROC_PRINTED = MappingProxyType({0.125: 0.776, 8.0: 0.953})
"""Paper 4, in the text of its experiments: sensitivity at so many false findings per scan of LUNA16, ten folds."""
