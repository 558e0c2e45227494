"""The pages on security and reliability are true as far as a machine can tell: what they name as a test is one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECURITY, RELIABILITY = ROOT / "deploy/docs/security.md", ROOT / "deploy/docs/reliability.md"

NAMED = re.compile(r"\[`([\w/]+\.py)::(\w+)`\]\(([\w/.]+)\)")
PROMISES = range(1, 13)


@pytest.mark.parametrize("page", [SECURITY, RELIABILITY], ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = NAMED.findall(text)
    assert len(named) == text.count("::test_") > 20
    assert [link for path, _, link in named if link != f"../../tests/{path}"] == []
    assert [f"{path}::{name}" for path, name, _ in named if name not in _tests(ROOT / "tests" / path)] == []


def test_every_threat_has_a_test_or_says_that_it_has_none() -> None:
    table = SECURITY.read_text(encoding="utf-8").partition("| threat |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(table) > 30
    assert {line.count(" | ") for line in table} == {3}
    assert [line for line in table if not NAMED.search(line) and not line.endswith("| no test |")] == []


def test_every_promise_has_its_tests() -> None:
    sections = re.split(r"^### (\d+)\. ", RELIABILITY.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [int(number) for number in sections[::2]] == list(PROMISES)
    assert [text.splitlines()[0] for text in sections[1::2] if len(NAMED.findall(text)) < 2] == []


def test_every_test_of_faults_is_evidence_of_something() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (SECURITY, RELIABILITY))
    modules = sorted((ROOT / "tests/faults").glob("test_*.py"))
    assert [path.name for path in modules if f"faults/{path.name}::" not in pages] == []


@cache
def _tests(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    module = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in module.body if isinstance(node, ast.FunctionDef))
