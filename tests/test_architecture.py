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
UNPICKLING = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
SAFE = {"allow_pickle": False, "weights_only": True}
"""What NumPy and PyTorch do unless they are told otherwise."""
MEANINGLESS = {"common", "helper", "helpers", "lib", "misc", "shared", "tools", "util", "utils"}

SHIPPED = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = sorted(
    path
    for package in (*PACKAGES, "tests")
    for path in (ROOT / package).rglob("*.py")
    if "node_modules" not in path.parts
)


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


def test_the_check_of_results_shares_nothing_with_what_writes_them() -> None:
    """The standard library, numpy and pydicom; no code of `pacs_node.report` but its own."""
    allowed = {*sys.stdlib_module_names, "numpy", "pydicom", "pacs_node.report.check"}
    foreign = {
        (path.name, name)
        for path in (ROOT / "pacs_node/report/check").glob("*.py")
        for name in _imported(path)
        if not any(name == known or name.startswith(f"{known}.") for known in allowed)
    }
    assert foreign == set()


def test_no_format_that_can_hold_code_is_read() -> None:
    """Ruff's S rules see eval, exec, shells and calls of pickle; here is what gets past them."""
    imported = {
        (_name(path), name) for path in SHIPPED for name in _imported(path) if name.partition(".")[0] in UNPICKLING
    }
    told = {(_name(path), word, value) for path in SHIPPED for word, value in _words(path) if word in SAFE}
    assert imported == set()
    assert {(name, word) for name, word, value in told if value != repr(SAFE[word])} == set()
    assert {word for _, word, _ in told} == set(SAFE)


def test_no_module_is_longer_than_the_limit() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SHIPPED}
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


def _words(path: Path) -> Iterator[tuple[str | None, str]]:
    """The keyword arguments of all calls, as they are written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield from ((keyword.arg, ast.unparse(keyword.value)) for keyword in node.keywords)


def _statements(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = sum(isinstance(child, ast.stmt) for child in ast.walk(node)) - 1
            yield f"{_name(path)}:{node.lineno} {node.name}", inside
