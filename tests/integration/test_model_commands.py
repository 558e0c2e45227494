"""`pulmonode model` says what it does, line by line for people and as JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pacs_node.cli import command_line
from tests.support.nodes import pulmonode
from tests.support.releases import a_release


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node whose repository is still empty, and that no server serves."""
    path = tmp_path / "node.toml"
    path.write_text(f'models = "{tmp_path / "models"}"\n\n[triton]\nmode = "onnx"\n')
    return path


def said(config: Path, *arguments: str) -> list[str]:
    """The lines that a command prints."""
    done = CliRunner().invoke(command_line(["model"]), ["model", *arguments, "--config", str(config)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def answered(config: Path, *arguments: str) -> Any:
    """What it prints as JSON."""
    return json.loads("\n".join(said(config, *arguments, "--json")))


def states(config: Path) -> dict[int, str]:
    return {row["version"]: row["state"] for row in answered(config, "list")}


def test_every_step_is_told_and_the_next_command_named(config: Path, tmp_path: Path) -> None:
    assert said(config, "list") == ["The model repository is empty; `pulmonode model publish DIR` fills it."]
    lines = said(config, "publish", str(a_release(tmp_path / "first")))
    assert [line.partition(":")[0] for line in lines] == [
        "checked",
        "staged",
        "loaded",
        "proven",
        "Published. To use it",
    ]
    assert "doubler version 1 reproduces 3 of 3 golden cases, largest difference 0.0e+00 (1e-05 allowed)" in lines[0]
    assert lines[-1].endswith("pulmonode model promote doubler")
    assert said(config, "promote", "doubler")[-1] == "active: version 1 of doubler; new studies are planned with it"
    said(config, "publish", str(a_release(tmp_path / "second", 3.0)))
    assert states(config) == {1: "active", 2: "candidate"}
    assert said(config, "promote", "doubler")[-1].startswith("version 1 stays served for the jobs")
    assert states(config) == {1: "previous", 2: "active"}
    assert said(config, "rollback", "doubler")[0].startswith(
        "active: version 1 of doubler; version 2 only ends the jobs"
    )
    assert states(config) == {1: "active", 2: "candidate"}


def test_programs_get_the_outcome_as_json(config: Path, tmp_path: Path) -> None:
    published = answered(config, "publish", str(a_release(tmp_path / "first")))
    assert (published["system"], published["version"], published["active"]) == ("doubler", 1, None)
    (proof,) = published["proofs"]
    assert (proof["model"], proof["cases"], proof["difference"]) == ("doubler", 3, 0.0)
    assert answered(config, "promote", "doubler", "1")["active"] == 1
    (row,) = answered(config, "list")
    assert (row["active"], row["served"], row["file_is_whole"], len(row["sha256"])) == (True, True, True, 64)


def test_a_damaged_version_is_listed_as_such(config: Path, tmp_path: Path) -> None:
    said(config, "publish", str(a_release(tmp_path / "first")))
    (tmp_path / "models/doubler/1/contract.json").write_text("junk")
    assert states(config) == {1: "damaged"}


def test_a_refusal_ends_with_1_and_its_code(config: Path, tmp_path: Path) -> None:
    release = a_release(tmp_path / "broken", 7.0, golden=2.0)
    done = pulmonode("model", "publish", str(release), "--config", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert "double is off by 2.5, 1e-05 is allowed [model.golden-mismatch]" in done.stderr


def test_a_secret_cannot_be_given_where_everybody_sees_it(config: Path) -> None:
    """Command lines are in the list of processes."""
    arguments = ["model", "promote", "doubler", "--control-header", "a:SECRET", "--config", str(config)]
    assert CliRunner().invoke(command_line(["model"]), arguments).exit_code == 2
