"""The size budgets of the house: small functions, short files."""

import ast
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files() -> list[Path]:
    return [p for top in ("paas", "plugins", "buildpacks", "tests", "bench") for p in (ROOT / top).rglob("*.py")]


def functions() -> list[tuple[int, str]]:
    found = []
    for path in (ROOT / "paas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found.append((node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return sorted(found, reverse=True)


def test_functions_are_small():
    found = functions()
    print("\n".join(f"{length:4} {where}" for length, where in found[:5]))
    lengths = sorted(length for length, _ in found)
    assert statistics.median(lengths) <= 10
    assert lengths[int(0.95 * (len(lengths) - 1))] <= 40
    assert lengths[-1] <= 80, found[0]


def test_files_are_short():
    found = sorted(((path.read_text().count("\n"), str(path.relative_to(ROOT))) for path in files()), reverse=True)
    print("\n".join(f"{length:4} {where}" for length, where in found[:5]))
    assert found[0][0] <= 500, found[0]
