"""The command line on what a rule may choose, with five tiny systems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.nodes import pulmonode
from tests.support.series import Ball, a_chest_series
from tests.support.systems import MALIGNANCY, five_systems

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CT, five systems, and settings whose rules choose "mt_net" and "unet"."""
    folder = tmp_path_factory.mktemp("choice")
    a_chest_series(folder / "ct", slices=40, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])
    five_systems(folder / "models")
    for pipeline in ("mt_net", "unet"):
        settings = f'data = "{folder / "data"}"\nmodels = "{folder / "models"}"\n[triton]\nmode = "onnx"\n'
        rule = f'[[rule]]\nname = "chest"\npipeline = "{pipeline}"\nmalignancy = "hr_mpf"\n'
        (folder / f"{pipeline}.toml").write_text(settings + rule)
    return folder


@pytest.mark.parametrize(
    ("options", "outlined_by", "malignancy"),
    [
        ((), "mt_net_fine", MALIGNANCY["hr_mpf"]),
        (("--pipeline", "detection_guided"), "detection_guided", MALIGNANCY["detection_guided"]),
    ],
)
def test_a_folder_is_analysed_by_the_pipeline_of_the_rule_or_of_the_command(
    folder: Path, tmp_path: Path, options: tuple[str, ...], outlined_by: str, malignancy: float
) -> None:
    configured = ("--config", str(folder / "mt_net.toml"), "--json")
    done = pulmonode("series", "analyse", str(folder / "ct"), "--out", str(tmp_path), *configured, *options)
    assert done.returncode == 0, done.stderr
    (analysis,) = json.loads(done.stdout)
    (finding,) = analysis["findings"]
    assert (finding["outlined_by"], finding["malignancy"]) == (outlined_by, pytest.approx(malignancy))
    assert finding["diameter_mm"] == pytest.approx(14.0, abs=0.5)
    assert outlined_by in {use["name"] for use in analysis["models"]}


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (("series", "analyse", "ct", "--out", "out", "--pipeline", "unet"), "mt_net"),
        (("node", "work"), "unet"),
        (("node", "up"), "unet"),
    ],
    ids=["series analyse", "node work", "node up"],
)
def test_what_there_is_not_is_refused_at_once_with_what_there_is(
    folder: Path, arguments: tuple[str, ...], settings: str
) -> None:
    given = [str(folder / word) if word in ("ct", "out") else word for word in arguments]
    done = pulmonode(*given, "--config", str(folder / f"{settings}.toml"))
    assert done.returncode == 2
    assert "rule chest: there is no system 'unet' for segmentation" in done.stderr
    assert "there are: detection_guided, dsnet, hr_mpf, jnsc, mt_net" in done.stderr


def test_the_doctor_finds_it_too(folder: Path) -> None:
    for pipeline, is_well in (("mt_net", True), ("unet", False)):
        done = pulmonode("node", "check", "--config", str(folder / f"{pipeline}.toml"), "--json")
        checks = {check["part"]: check for check in json.loads(done.stdout)}
        assert [checks[part]["is_well"] for part in ("models", "inference")] == [is_well, is_well]
        assert ("mt_net_coarse version 1, " if is_well else "no system 'unet'") in checks["inference"]["text"]


def test_the_pipeline_of_a_series_is_explained_before_it_is_sent(folder: Path) -> None:
    done = pulmonode("rule", "explain", str(folder / "ct"), "--config", str(folder / "mt_net.toml"), "--json")
    (explained,) = json.loads(done.stdout)
    assert (explained["verdict"], explained["pipeline"]) == ("chosen", "mt_net+hr_mpf")
