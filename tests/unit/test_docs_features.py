"""What the feature table of the API page says that we have is shown by tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "api.md").read_text()


def rows() -> list[list[str]]:
    section = PAGE.split("## Features, and who else has them")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def names_of(test: str) -> list[str]:
    """Return what a file has of the parts of a name like `TestClass::test_case`."""
    path, *parts = test.split("::")
    scope: list[ast.stmt] = ast.parse((TESTS / path).read_text()).body
    found = []
    for part in parts:
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        node = next((n for n in scope if isinstance(n, kinds) and n.name == part), None)
        if node is None:
            break
        found.append(part)
        scope = node.body
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_feature_is_shown_by_tests_that_exist(row: list[str]) -> None:
    _, ours, *peers, shown_by = row
    assert len(peers) == 13
    assert set(peers) <= set("HP-?")
    tests = re.findall(r"`([^`]+)`", shown_by)
    assert bool(tests) == (ours[0] in "HP"), "what we have needs a test, what we lack has none"
    for test in tests:
        parts = test.split("::")[1:]
        assert parts[-1].startswith("test_")
        assert names_of(test) == parts


def test_the_table_is_whole() -> None:
    assert len(rows()) == len({row[0] for row in rows()}) == 46


def test_a_name_that_does_not_exist_is_found_out() -> None:
    assert names_of("unit/test_docs_features.py::rows") == ["rows"]
    assert names_of("unit/test_docs_features.py::test_that_is_not_here") == []
    assert names_of("integration/test_server_auth.py::TestDoor::test_that_is_not_here") == [
        "TestDoor"
    ]
