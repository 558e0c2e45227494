"""The house rules that a machine can check: who may import whom, how long things may be, what they may be called.

The contracts between packages stand in `pyproject.toml`; import-linter reads them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("pacs_node", "inference", "training")
LONGEST_MODULE_LINES = 400
LONGEST_FUNCTION_STATEMENTS = 40
MEANINGLESS = {"common", "helper", "helpers", "lib", "misc", "shared", "tools", "util", "utils"}

MODULES = sorted(path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py"))


def test_imports_keep_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


def test_the_domain_imports_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "pacs_node.domain", "pacs_node.errors"}
    domain = [*(ROOT / "pacs_node/domain").glob("*.py"), ROOT / "pacs_node/errors.py"]
    foreign = {
        (path.name, name)
        for path in domain
        for name in _imported(path)
        if not any(name == known or name.startswith(f"{known}.") for known in allowed)
    }
    assert foreign == set()


def test_no_module_is_longer_than_the_limit() -> None:
    shipped = [path for path in MODULES if path.relative_to(ROOT).parts[0] in PACKAGES]
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in shipped}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE_LINES} == {}


def test_no_function_has_more_statements_than_the_limit() -> None:
    counts = {name: count for path in MODULES for name, count in _statements(path)}
    assert {name: count for name, count in counts.items() if count > LONGEST_FUNCTION_STATEMENTS} == {}


def test_every_module_has_a_name_that_says_something() -> None:
    assert [_name(path) for path in MODULES if MEANINGLESS & {path.stem, path.parent.name}] == []


def test_imports_are_absolute() -> None:
    assert [_name(path) for path in MODULES if any(name.startswith(".") for name in _imported(path))] == []


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def _statements(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = sum(isinstance(child, ast.stmt) for child in ast.walk(node)) - 1
            yield f"{_name(path)}:{node.lineno} {node.name}", inside
