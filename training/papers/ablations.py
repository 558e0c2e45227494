"""The rows of the papers' ablations, with the recipes that repeat them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of an ablation.

    Parameters
    ----------
    name : for people
    recipe : whose run has it
    printed : the paper's number, 0..1; None where it prints none
    over : name of the row that it is set against
    at : path to its figures in `evaluation.json`, where it is not the table's
    measured : path of a gain that the run itself measured, for a reference that lists no cases of its own
    """

    name: str
    recipe: str
    printed: float | None = None
    over: str = ""
    at: str = ""
    measured: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """A table of an ablation.

    Parameters
    ----------
    system : module of `training.systems`
    place : where it is printed
    asks : what it is to show
    figure : path of ours in `evaluation.json`; its last key says which figure is compared
    rows : in the paper's order
    remark : what must be known to read it
    """

    system: str
    place: str
    asks: str
    rows: tuple[Row, ...]
    figure: str = "segmentation.dice"
    remark: str = ""


_TABLE_5 = "table 5 of paper 1 (figure 18)"
_TABLE_6 = "table 6 of paper 1"
_CLINICAL = "clinical.variants.{}.with_nodule"
_SYNTHETIC = "Our clinical set is of LUNA16, two test patients of synthetic low dose: intervals over two say little."

ABLATIONS = (
    Ablation(
        system="hr_mpf",
        place="table 4 of paper 1",
        asks="does progressive fusion help?",
        rows=(
            Row(name="HRNetV1", recipe="hr_mpf_hrnet_v1", printed=0.9162),
            Row(name="HRNetV2", recipe="hr_mpf_hrnet_v2", printed=0.9197, over="HRNetV1"),
            Row(name="HR-MPF", recipe="hr_mpf_s", printed=0.9252, over="HRNetV2"),
        ),
    ),
    Ablation(
        system="hr_mpf",
        place=_TABLE_5,
        asks="in which order should maps be enlarged, convolved and fused?",
        rows=(
            Row(name="(a) up, convolution, boosted module", recipe="hr_mpf_fusion_a", printed=0.9354, over="(c)"),
            Row(name="(b) up, boosted module, convolution", recipe="hr_mpf_fusion_b", printed=0.9309, over="(c)"),
            Row(name="(c)", recipe="hr_mpf_scd", printed=0.9373),
        ),
        remark="(c) is convolution, up, boosted module.",
    ),
    Ablation(
        system="hr_mpf",
        place=_TABLE_5,
        asks="and for malignancy?",
        figure="malignancy.accuracy",
        rows=(
            Row(name="(a)", recipe="hr_mpf_fusion_a", printed=0.9759, over="(c)"),
            Row(name="(b)", recipe="hr_mpf_fusion_b", printed=0.9697, over="(c)"),
            Row(name="(c)", recipe="hr_mpf_scd", printed=0.9768),
        ),
    ),
    Ablation(
        system="hr_mpf",
        place=_TABLE_6,
        asks="what do classifier (C) and critic (D) add to the outline (S)?",
        rows=(
            Row(name="S", recipe="hr_mpf_s", printed=0.9252),
            Row(name="S + C", recipe="hr_mpf_sc", printed=0.9249, over="S"),
            Row(name="S + C + D", recipe="hr_mpf_scd", printed=0.9373, over="S + C"),
        ),
    ),
    Ablation(
        system="hr_mpf",
        place=_TABLE_6,
        asks="and what does the critic add to malignancy?",
        figure="malignancy.accuracy",
        rows=(
            Row(name="S + C", recipe="hr_mpf_sc", printed=0.9650),
            Row(name="S + C + D", recipe="hr_mpf_scd", printed=0.9768, over="S + C"),
        ),
    ),
    Ablation(
        system="hr_mpf",
        place="figures 12 and 13 of paper 1",
        asks="does the boundary loss help?",
        rows=(
            Row(name="without boundary loss", recipe="hr_mpf_no_boundary"),
            Row(name="with it", recipe="hr_mpf_scd", over="without boundary loss"),
        ),
        remark="The paper shows five images and prints no number.",
    ),
    Ablation(
        system="mt_net",
        place="table 4 of paper 2",
        asks="does the coarse mask help the classifier?",
        figure="malignancy.auc",
        rows=(
            Row(name="without the coarse mask", recipe="mt_net_class_without_mask", printed=0.906),
            Row(name="with it", recipe="mt_net_cpu", printed=0.935, over="without the coarse mask"),
            Row(name="with a mask of 0 and 1", recipe="mt_net_class_binary_mask", over="without the coarse mask"),
        ),
        remark="The last row is not in the paper. A classifier alone is trained without the fine network after it.",
    ),
    Ablation(
        system="mt_net",
        place="table 5 of paper 2",
        asks="does the coarse mask help the outline?",
        rows=(
            Row(name="Coarse", recipe="mt_net_cpu", printed=0.801, at="coarse"),
            Row(name="Fine", recipe="mt_net_cpu", printed=0.832, over="Coarse", measured="dice_gain_over_coarse"),
        ),
        remark="The paper's Fine network is trained twice as long as its Coarse one, whose weights it starts from; the "
        "next table tells the mask from the longer training.",
    ),
    Ablation(
        system="mt_net",
        place="not in paper 2, a control of its table 5",
        asks="is it the mask, or the longer training?",
        rows=(
            Row(name="Fine, given an empty mask", recipe="mt_net_fine_without_prior"),
            Row(name="Fine", recipe="mt_net_cpu", over="Fine, given an empty mask"),
        ),
        remark="The control has no classifier, which no outline depends on.",
    ),
    Ablation(
        system="mt_net",
        place="figures 7 and 8 of paper 2",
        asks="which factor, K and margin of the rank loss?",
        rows=(
            Row(name="the paper's choice", recipe="mt_net_cpu"),
            *(
                Row(name=name, recipe=f"mt_net_rank_{recipe}", over="the paper's choice")
                for name, recipe in (
                    ("without rank loss", "factor_0_0"),
                    ("factor 0.01", "factor_0_01"),
                    ("factor 0.05", "factor_0_05"),
                    ("factor 0.1", "factor_0_1"),
                    ("K 10", "k10"),
                    ("K 30", "k30"),
                    ("K 40", "k40"),
                    ("K 50", "k50"),
                    ("margin 0.1", "margin_0_1"),
                    ("margin 0.2", "margin_0_2"),
                    ("margin 0.4", "margin_0_4"),
                )
            ),
        ),
        remark="Its choice is 0.02, 20 and 0.3. It shows curves of the Jaccard index and prints no numbers.",
    ),
    Ablation(
        system="detection_guided",
        place="table 2 of paper 3",
        asks="which block should the transfer freeze?",
        figure="dice",
        rows=(
            Row(name="none", recipe="detection_guided_freezing", printed=0.814, at=_CLINICAL.format("transferred")),
            *(
                Row(
                    name=block.upper(),
                    recipe="detection_guided_freezing",
                    printed=printed,
                    over="none",
                    at=_CLINICAL.format(f"frozen_{block}"),
                )
                for block, printed in (("s1", 0.798), ("s5", 0.810), ("s9", 0.708), ("c1", 0.802), ("fc", 0.799))
            ),
        ),
        remark=f"All rows are of one run, on the same batches. {_SYNTHETIC}",
    ),
    Ablation(
        system="detection_guided",
        place="table 3 of paper 3",
        asks="what do combination (FCB), smoothing (STD), prior and transfer (TL) add?",
        figure="dice",
        rows=tuple(
            Row(
                name=name,
                recipe="detection_guided_ablation",
                printed=printed,
                over=over,
                at=_CLINICAL.format(branch),
            )
            for name, branch, printed, over in (
                ("without FCB and STD", "no_fcb", 0.755, ""),
                ("without STD", "no_std", 0.764, "without FCB and STD"),
                ("STD without prior", "std_no_prior", 0.787, "without STD"),
                ("STD", "std_prior", 0.801, "STD without prior"),
                ("TL + STD", "transferred", 0.814, "STD"),
            )
        ),
        remark=f"All rows are of one run, on the same batches. {_SYNTHETIC}",
    ),
    Ablation(
        system="detection_guided",
        place="not in paper 3, whose smoothing learns on the clinical set only",
        asks="what do smoothing and prior change on LUNA16?",
        figure="dice",
        rows=tuple(
            Row(
                name=name,
                recipe="detection_guided_cpu",
                over=over,
                at=f"{place}.variants.{variant}.with_nodule",
                measured=f"{place}.variants.{variant}.dice_gain_with_nodule" if over else "",
            )
            for name, place, variant, over in (
                ("plain sigmoid, the served weights", "outputs_of_the_served_weights", "plain sigmoid", ""),
                ("STD, same weights", "outputs_of_the_served_weights", "STD", "plain sigmoid, the served weights"),
                (
                    "STD + prior, same weights",
                    "outputs_of_the_served_weights",
                    "STD + prior",
                    "plain sigmoid, the served weights",
                ),
                ("plain sigmoid, trained so", "branches", "adapted_plain", ""),
                ("STD + prior, trained so", "branches", "adapted", "plain sigmoid, trained so"),
            )
        ),
        remark="Slices that show a nodule, up to three of each validation nodule; all rows are of one run.",
    ),
    Ablation(
        system="detection_guided",
        place="section 3.3 of paper 3",
        asks="does the iteration of the smoothing work as it is printed?",
        rows=(
            Row(name="derived", recipe="detection_guided_cpu"),
            Row(name="as printed", recipe="detection_guided_as_printed", over="derived"),
        ),
        remark="The paper does not compare them: the printed one is not what its own derivation gives.",
    ),
    Ablation(
        system="detection_guided",
        place="not in paper 3",
        asks="what does the transfer do to the clinical set?",
        figure="dice",
        rows=(
            Row(name="pre-trained", recipe="detection_guided_cpu", at=_CLINICAL.format("pretrained")),
            Row(
                name="transferred",
                recipe="detection_guided_cpu",
                over="pre-trained",
                at=_CLINICAL.format("transferred"),
                measured="clinical.variants.transferred.dice_gain_with_nodule",
            ),
        ),
        remark=_SYNTHETIC,
    ),
    Ablation(
        system="jnsc",
        place="section III of paper 4, whose tables are images",
        asks="do pseudo-labels help while the network learns?",
        figure="malignancy.auc",
        rows=(
            Row(name="hard labels", recipe="jnsc_hard_labels"),
            Row(name="pseudo-labels, alpha 10", recipe="jnsc_pseudo_labels", over="hard labels"),
        ),
        remark="The text has a gain in accuracy of 0.024. Half of our training nodules keep two readers, as all "
        "nodules of LUNA16 have three; of the validation nodules all readers count. Both rows see the same windows.",
    ),
    Ablation(
        system="dsnet",
        place="table 3 of paper 5, LIDC",
        asks="what does each part add?",
        rows=tuple(
            Row(name=name, recipe=f"dsnet_t3_{recipe}", printed=printed, over=over)
            for name, recipe, printed, over in (
                ("U-Net", "unet", 0.7784, ""),
                ("+ improved backbone", "backbone", 0.7932, "U-Net"),
                ("+ image enlarged without a teacher", "interpolated", None, "+ improved backbone"),
                ("+ SR input", "sr_input", 0.8069, "+ improved backbone"),
                ("+ EDRFM", "edrfm", 0.8199, "+ SR input"),
                ("+ SDRFM", "sdrfm", 0.8283, "+ EDRFM"),
                ("+ soft mask loss", "soft_loss", 0.8311, "+ SDRFM"),
                ("+ GAN loss", "gan", 0.8335, "+ soft mask loss"),
            )
        ),
        remark="The enlarged image is not in the paper: what SR input gains over it is the teacher's, the rest is the "
        "finer grid's. All rows have half the epochs of the served recipe, and a teacher without its critic.",
    ),
)
"""The rows of the papers' ablations; what a run compares within itself (JNSC's labels on its features) is not here."""
