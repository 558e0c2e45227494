"""Pipelines from contracts: whose models are asked, and in which order."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from inference.contract import Contract, Feed
from inference.errors import ContractInvalid, ModelNotFound
from inference.findings import ModelUse
from inference.systems import Choice, assembled, detector_among, restored
from tests.support.predictors import a_detector, a_head, a_slice_model

DETECTOR = a_detector(
    model="jnsc", version=3, system="jnsc", roles=("detection", "segmentation"), head="jnsc_head", sha256="03"
)
HEAD = a_head(model="jnsc_head", version=3, system="jnsc", roles=("malignancy",), sha256="13")
COARSE = a_slice_model(model="mt_net_coarse", version=2, system="mt_net", roles=(), sha256="c2")
COARSE_FEED = (Feed(input="coarse", model="mt_net_coarse", output="probability"),)
FINE = a_slice_model(
    model="mt_net_fine", version=2, system="mt_net", roles=("segmentation",), feeds=COARSE_FEED, sha256="f2"
)
CLASS = a_slice_model(
    model="mt_net_class", version=2, system="mt_net", roles=("malignancy",), feeds=COARSE_FEED, sha256="a2"
)
HR_MPF = a_slice_model(model="hr_mpf", version=1, system="hr_mpf", sha256="b1")
DSNET = a_slice_model(model="dsnet", version=5, system="dsnet", roles=("segmentation",), sha256="d5")
ACTIVE = (DETECTOR, HEAD, COARSE, FINE, CLASS, HR_MPF, DSNET)


def names(contracts: tuple[Contract, ...]) -> list[str]:
    return [contract.model for contract in contracts]


@pytest.mark.parametrize(
    ("choice", "name", "segmentation", "malignancy"),
    [
        ({"pipeline": "jnsc"}, "jnsc", [], []),
        ({"pipeline": "hr_mpf"}, "hr_mpf", ["hr_mpf"], ["hr_mpf"]),
        (
            {"pipeline": "mt_net"},
            "mt_net",
            ["mt_net_coarse", "mt_net_fine"],
            ["mt_net_coarse", "mt_net_class"],
        ),
        ({"pipeline": "dsnet"}, "dsnet", ["dsnet"], []),
        ({"pipeline": "jnsc", "segmentation": "dsnet"}, "dsnet+jnsc", ["dsnet"], []),
        ({"pipeline": "dsnet", "malignancy": "hr_mpf"}, "dsnet+hr_mpf", ["dsnet"], ["hr_mpf"]),
        ({"pipeline": "hr_mpf", "malignancy": "jnsc"}, "hr_mpf+jnsc", ["hr_mpf"], []),
        ({"pipeline": "mt_net", "segmentation": "jnsc"}, "jnsc+mt_net", [], ["mt_net_coarse", "mt_net_class"]),
        (
            {"pipeline": "jnsc", "segmentation": "hr_mpf", "malignancy": "hr_mpf"},
            "hr_mpf",
            ["hr_mpf"],
            ["hr_mpf"],
        ),
    ],
    ids=lambda value: "+".join(value.values()) if isinstance(value, dict) else None,
)
def test_a_choice_names_whom_to_ask(
    choice: dict[str, str], name: str, segmentation: list[str], malignancy: list[str]
) -> None:
    pipeline = assembled(Choice(**choice), ACTIVE)
    assert (pipeline.detector, pipeline.head) == (DETECTOR, HEAD)
    assert (pipeline.name, names(pipeline.segmentation), names(pipeline.malignancy)) == (name, segmentation, malignancy)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"pipeline": "unet"}, "no system 'unet' for segmentation; there are: dsnet, hr_mpf, jnsc, mt_net"),
        ({"pipeline": "jnsc", "segmentation": "unet"}, "no system 'unet' for segmentation"),
        ({"pipeline": "unet", "segmentation": "dsnet", "malignancy": "jnsc"}, "no system 'unet' for segmentation"),
        ({"pipeline": "jnsc", "malignancy": "dsnet"}, "no system 'dsnet' for malignancy; there are: hr_mpf, jnsc, mt_"),
    ],
)
def test_what_there_is_not_is_refused_with_a_list_of_what_there_is(choice: dict[str, str], message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        assembled(Choice(**choice), ACTIVE)


@pytest.mark.parametrize(
    ("active", "message"),
    [
        ((FINE, COARSE), "no model for detection"),
        ((), "no model for detection"),
    ],
)
def test_without_a_detector_there_is_no_pipeline(active: tuple[Contract, ...], message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        detector_among(active)


def _changed(**changes: dict[str, Any]) -> tuple[Contract, ...]:
    return tuple(dataclasses.replace(contract, **changes.get(contract.model, {})) for contract in ACTIVE)


@pytest.mark.parametrize(
    ("active", "message"),
    [
        ((*ACTIVE, dataclasses.replace(DETECTOR, model="other")), "more than one model detects: jnsc, other"),
        (_changed(mt_net_coarse={"version": 1}), "mt_net_fine version 2 needs mt_net_coarse of the same version"),
        (_changed(jnsc_head={"version": 2}), "jnsc version 3 needs jnsc_head of the same version"),
        (_changed(mt_net_coarse={"roles": ("segmentation",)}), "mt_net_coarse and mt_net_fine both claim segmentation"),
        (
            _changed(mt_net_coarse={"feeds": (Feed(input="x", model="mt_net_fine", output="probability"),)}),
            "feeds itself",
        ),
    ],
)
def test_models_that_do_not_belong_together_are_refused(active: tuple[Contract, ...], message: str) -> None:
    with pytest.raises(ContractInvalid, match=message):
        assembled(Choice(pipeline="mt_net"), active)


def published(model: str, version: int) -> Contract:
    return {(contract.model, contract.version): contract for contract in ACTIVE}[model, version]


@pytest.mark.parametrize("system", ["jnsc", "hr_mpf", "mt_net", "dsnet"])
def test_a_pipeline_comes_back_from_the_uses_of_its_models(system: str) -> None:
    pipeline = assembled(Choice(pipeline=system), ACTIVE)
    assert restored(pipeline.name, pipeline.uses, published) == pipeline


def test_a_version_whose_file_was_exchanged_is_not_used() -> None:
    with pytest.raises(ContractInvalid, match="its hash is another"):
        restored("jnsc", [ModelUse(role="detector", name="jnsc", version=3, sha256="04")], published)


def test_without_a_detector_nothing_comes_back() -> None:
    with pytest.raises(ContractInvalid, match="no detector"):
        restored("jnsc", [ModelUse(role="head", name="jnsc_head", version=3, sha256="13")], published)
