from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pacs_node.config import Config, Database, Scp, load
from pacs_node.effective import Sources, masked, sections, shown

EXAMPLE = """
data = "archive"
[scp]
port = 104
[[scp.callers]]
ae_title = "CT1"
addresses = ["10.0.0.0/8"]
[settle.calling]
CT1 = 5.0
[[rule]]
name = "thin, \\"sharp\\" ä"
thickness_mm = [0.5, 1.5]
destinations = ["pacs"]
[[rule]]
name = "rest"
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "h"
port = 104
tls = {authorities = "ca.pem"}
[[destination]]
name = "web"
url = "https://h/"
"""


def _shown(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    environment = environment or {}
    config = load(path, environment)
    return shown(config, Sources(file=tomllib.loads(text), environment=environment))


@pytest.mark.parametrize("text", ["", EXAMPLE], ids=["defaults", "example"])
def test_what_is_shown_can_be_loaded_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "shown.toml").write_text(_shown(tmp_path, text), encoding="utf-8")
    assert load(tmp_path / "shown.toml", {}) == load(tmp_path / "node.toml", {})


def test_each_value_says_where_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "header").write_text("name: open sesame\n")
    text = EXAMPLE + f"[triton]\ncontrol_header_file = '{tmp_path / 'header'}'\n"
    (tmp_path / "db").write_text("sqlite:///x")
    lines = _shown(
        tmp_path, text, {"PULMONODE_SCP__HOST": "::1", "PULMONODE_DATABASE__URL_FILE": str(tmp_path / "db")}
    ).splitlines()
    for line in (
        'data = "archive"  # file',
        'models = "model_repository"  # default',
        "port = 104  # file",
        'host = "::1"  # environment: PULMONODE_SCP__HOST',
        'addresses = ["10.0.0.0/8"]  # file',
        '"CT1" = 5.0  # file',
        'pipeline = "jnsc"  # default',
        'control_header = "***"  # file: control_header_file',
        'url = "sqlite:///x"  # environment: PULMONODE_DATABASE__URL_FILE',
        'authorities = "ca.pem"  # file',
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Bearer abc", "***"),
        ("postgresql+psycopg://me:pass@db.example:5432/x", "postgresql+psycopg://me:***@db.example:5432/x"),
        ("redis://:pass@mq/0", "redis://:***@mq/0"),
        ("amqp://me:p%40s@mq//", "amqp://me:***@mq//"),
        ("amqp://me:a@b:c/d@mq/x", "amqp://me:***@mq/x"),
        ("postgresql://db/x?user=me&password=pass#y", "postgresql://db/x?user=***&password=***#y"),
        ("sqlite:////srv/a.sqlite", "sqlite:////srv/a.sqlite"),
    ],
)
def test_passwords_inside_addresses_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_a_section_changes_with_its_values_only() -> None:
    before, after = sections(Config()), sections(Config(scp=Scp(port=104)))
    assert {name for name in before if before[name] != after[name]} == {"scp"}
    assert sections(replace(Config(), data=Path("elsewhere")))[""] != before[""]


def test_sections_hold_no_secret() -> None:
    held = sections(Config(database=Database(url="postgresql://u:SECRET@h/x")))
    assert "SECRET" not in str(held)
    assert held["database"] != sections(Config())["database"]
