"""docs/faults.md answers every fault of the list by tests that are there, and names each step that the code has."""

import ast
import re
from pathlib import Path

from tests.architecture.test_security_list import functions_of
from tests.faults import harness, oracle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/faults.md").read_text()


def test_every_fault_is_answered_by_tests_that_exist():
    rows = dict(re.findall(r"^\| (X\d\d) \| [^|]+ \| ([^|]+) \|$", PAGE, re.M))
    assert sorted(rows) == [f"X{number:02}" for number in range(1, 33)]
    for name, answer in rows.items():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", answer)
        assert named, name
        assert [pair for pair in named if pair[1] not in functions_of(ROOT / "tests" / pair[0])] == [], name


def test_every_step_of_the_code_is_documented_and_injected():
    documented = re.findall(r"^\| `([A-Z]\d)` \|", PAGE, re.M)
    assert set(documented) == set(steps_of_the_code()) - {"reconcile", "background"}
    assert list(documented) == list(harness.STEPS)
    assert len(set(harness.all_cases())) > 350


def steps_of_the_code() -> list[str]:
    found = []
    for path in (ROOT / "paas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and ast.unparse(node.func) == "step" and node.args
            if named and isinstance(node.args[0], ast.Constant):
                found.append(node.args[0].value)
    return found


def test_every_invariant_is_documented_and_judged():
    documented = re.findall(r"^\| (I\d+) \|", PAGE, re.M)
    assert documented == [f"I{number}" for number in range(1, 12)]
    judged = (ROOT / "tests/faults/oracle.py").read_text() + (ROOT / "tests/faults/harness.py").read_text()
    assert [name for name in documented if f'"{name}: ' not in judged] == []


def test_the_oracle_shares_no_code_with_the_platform():
    tree = ast.parse(Path(oracle.__file__).read_text())
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [name for name in modules if name.partition(".")[0] in ("paas", "tests")] == []
