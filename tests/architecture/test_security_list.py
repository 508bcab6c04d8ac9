"""docs/security.md answers every attack of the list, and each test that it names is there."""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COUNTS = {"A": 17, "B": 13, "C": 16, "D": 13, "E": 11, "F": 14}


def rows() -> dict[str, str]:
    return dict(re.findall(r"^\| ([A-F]\d\d) \| [^|]+ \| ([^|]+) \|$", (ROOT / "docs/security.md").read_text(), re.M))


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    """Functions, also of the classes, in one file; none if there is no such file."""
    if not path.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def test_every_attack_is_answered():
    wanted = {f"{letter}{number:02}" for letter, count in COUNTS.items() for number in range(1, count + 1)}
    assert len(wanted) == 84
    assert rows().keys() == wanted
    for name, answer in rows().items():
        assert "::test_" in answer or answer.startswith("does not apply: "), name


def test_each_named_test_exists():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 100
    assert [pair for pair in named if pair[1] not in functions_of(ROOT / "tests" / pair[0])] == []


def test_every_security_test_is_named():
    """One whose name begins with the id of an attack stands in the table under that id."""
    for path in sorted((ROOT / "tests/e2e").glob("test_security_*.py")):
        for name in functions_of(path):
            if match := re.match(r"test_([a-f]\d\d)_", name):
                everywhere = "".join(rows().values())
                assert f"e2e/{path.name}::{name}`" in everywhere, (match[1], name)
