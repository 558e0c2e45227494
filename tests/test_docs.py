"""What the texts say is true: settings, commands, error codes, states and links are compared with the code."""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import typer

from inference import coverage
from inference.errors import InferenceError
from pacs_node.cli import command_line
from pacs_node.config import Config, load
from pacs_node.domain.commitment import COMMITMENT
from pacs_node.domain.delivery import DELIVERY
from pacs_node.domain.job import JOB
from pacs_node.domain.study import STUDY
from pacs_node.errors import NodeError

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "deploy/node.example.toml"
OPERATIONS = ROOT / "deploy/docs/operations.md"
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "deploy/docs").rglob("*.md"))]

EXAMPLE_LINE = re.compile(r"^#(?=[\[\w])", re.MULTILINE)
"""A setting that is only an example: "#" and a name, with no space between."""


def test_the_example_configuration_is_exactly_the_defaults() -> None:
    assert load(EXAMPLE, {}) == Config()


def test_the_example_configuration_shows_every_setting_and_no_other(tmp_path: Path) -> None:
    whole = EXAMPLE_LINE.sub("", EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "node.toml").write_text(whole, encoding="utf-8")
    load(tmp_path / "node.toml", {})
    assert set(_shown(tomllib.loads(whole))) == set(_settings(Config))


def test_every_setting_of_the_example_is_explained_in_the_line_above() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"#?\w+ = ", line)]
    assert [lines[number] for number in settings if not lines[number - 1].startswith("# ")] == []


def test_every_error_has_its_row_in_the_operations_manual() -> None:
    rows = re.findall(r"^\| `([a-z-]+\.[a-z-]+)` \| (yes|no|by status) \|", _text(OPERATIONS), re.MULTILINE)
    classes = [*_subclasses(NodeError), *_subclasses(InferenceError)]
    assert {code for code, _ in rows} == {kind.code for kind in classes}
    stated = dict(rows)
    for kind in classes:
        assert stated[kind.code] in ("yes" if kind.retryable else "no", "by status"), kind.code


def test_every_reason_against_a_series_is_in_the_operations_manual() -> None:
    sources = [*(ROOT / "inference/eligibility").glob("*.py"), ROOT / "pacs_node/steps/plan.py"]
    codes = {code for path in sources for code in re.findall(r'"(series\.[a-z-]+)"', _text(path))}
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in _text(OPERATIONS)} == set()


def test_every_limit_of_an_answer_is_in_the_operations_manual() -> None:
    assert {code for code in coverage.CODES if f"`{code}`" not in _text(OPERATIONS)} == set()


@pytest.mark.parametrize("table", [STUDY, JOB, DELIVERY, COMMITMENT], ids=["study", "job", "delivery", "commitment"])
def test_the_diagram_of_states_is_the_table_of_transitions(table: Mapping[tuple[StrEnum, StrEnum], StrEnum]) -> None:
    first = next(iter(table))[0]
    arrows = [f"    {state} --> {new}: {event}" for (state, event), new in table.items()]
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *arrows, "```"])
    assert diagram in _text(OPERATIONS)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_command_in_a_text_exists(path: Path) -> None:
    known = set(_commands(typer.main.get_command(command_line())))
    named = set(re.findall(r"pulmonode ([a-z]+(?: [a-z]+)?)", _text(path)))
    assert {name for name in named if name not in known and name.split()[0] not in known} == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_make_target_in_a_text_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)|^make ([a-z]+)", _text(path), re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_and_path_in_a_text_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", _text(path))
    named = re.findall(r"`((?:pacs_node|inference|training|tests|deploy|model_repository)/[\w./-]+)`", _text(path))
    missing = [link for link in links if not (path.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _settings(kind: Any, prefix: str = "") -> Iterator[str]:
    """The dotted name of every setting below a dataclass; lists and tables by sender are entered."""
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        hint, name = hints[field.name], f"{prefix}{field.name}"
        inner = [part for part in typing.get_args(hint) if is_dataclass(part)]
        if is_dataclass(hint) or inner:
            yield from _settings(inner[0] if inner else hint, f"{name}.")
        else:
            yield name


def _shown(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        inner = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for item in inner:
            if isinstance(item, dict) and name != "settle.calling":
                yield from _shown(item, f"{name}.")
            else:
                yield name


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _subclasses(child)


def _commands(command: Any, prefix: str = "") -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        yield f"{prefix}{name}"
        yield from _commands(child, f"{prefix}{name} ")
