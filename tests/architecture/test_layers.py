"""The direction of imports: the table in docs/architecture.md as a dict, checked over the syntax trees."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELLS = ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
STDLIB = sys.stdlib_module_names
NOUNS = {"paas.model", "paas.errors", "paas.secret"}
CORE = NOUNS | {"paas.failpoints", "paas.settings", "paas.ports", "paas.ports_source", "paas.ports_store",
               "paas.ports_backup", "paas.ports_platform", "paas.ports_sleep", "paas.ports_watch", "paas.threads",
               "paas.jobs"}

# package or module → what of paas it may import (at run time; TYPE_CHECKING blocks are free)
MAY_IMPORT = {
    "paas/errors.py": set(),
    "paas/secret.py": set(),
    "paas/failpoints.py": {"paas.errors"},
    "paas/threads.py": {"paas.errors"},
    "paas/client.py": set(),
    "paas/pump.py": {"paas.client"},
    "paas/laptop.py": {"paas.client"},
    "paas/settings.py": {"paas.errors"},
    "paas/model": NOUNS,
    "paas/ports.py": NOUNS,
    "paas/ports_source.py": NOUNS,
    "paas/ports_store.py": NOUNS | {"paas.ports"},
    "paas/ports_backup.py": NOUNS,
    "paas/ports_platform.py": NOUNS,
    "paas/jobs.py": NOUNS | {"paas.threads"},
    "paas/store": NOUNS | {"paas.ports", "paas.ports_store", "paas.store"},
    "paas/adapters": CORE | {"paas.adapters"},
    "paas/api.py": CORE,
    "paas/plugin": CORE | {"paas.api", "paas.plugin"},
    "paas/services": CORE | {"paas.api", "paas.services", "paas.ops"},
    "paas/backups": CORE | {"paas.__version__", "paas.api", "paas.backups", "paas.services"},
    "paas/deploy": CORE | {"paas.deploy", "paas.ops"},
    "paas/ops": CORE | {"paas.ops", "paas.deploy", "paas.api", "paas.services", "paas.backups"},
    "paas/cli": CORE | {"paas.cli", "paas.ops", "paas.api", "paas.plugin", "paas.services", "paas.backups"},
    "paas/daemon": CORE | {"paas.daemon", "paas.client", "paas.cli", "paas.ops", "paas.runtime"},
}

# third-party package → where alone it may be imported
HOME = {
    "docker": "paas/adapters/docker_",
    "dulwich": "paas/adapters/git",
    "jinja2": ("paas/adapters/templates", "paas/adapters/buildpacks.py"),
    "sqlalchemy": "paas/store/",
    "httpx": "paas/adapters/http",
    "click": "paas/cli/",
    "h2": "paas/adapters/",
    "cryptography": "paas/adapters/",
    "yaml": "paas/adapters/yaml_files",
    "cronsim": "paas/adapters/schedules",
    "boto3": "paas/adapters/objects_s3",
    "botocore": "paas/adapters/objects_s3",
    "urllib3": "paas/adapters/objects_s3",
    "pyrage": "paas/adapters/age.py",
    "zstandard": "paas/adapters/age.py",
}


def sources(*tops: str) -> list[Path]:
    return [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]


def rule_of(path: str) -> set[str] | None:
    for place, allowed in MAY_IMPORT.items():
        if path == place or path.startswith(place + "/"):
            return allowed
    return None


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import that happens at run time."""
    tree = ast.parse(path.read_text())
    hidden = {id(node) for block in ast.walk(tree) if isinstance(block, ast.If)
              and "TYPE_CHECKING" in ast.unparse(block.test) for node in ast.walk(block)}
    found = []
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, name if node.module == "paas" else node.module) for name in names]
    return found


def inside(module: str, allowed: set[str]) -> bool:
    return any(module == one or module.startswith(one + ".") for one in allowed)


@pytest.mark.parametrize("path", sources("paas"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_layers(path):
    where = str(path.relative_to(ROOT))
    allowed = rule_of(where)
    wrong = []
    for line, module in imports(path):
        top = module.partition(".")[0]
        if top == "paas" and allowed is not None and module != "paas" and not inside(module, allowed):
            wrong.append(f"{where}:{line} imports {module}")
        if top in HOME and not where.startswith(HOME[top]):
            wrong.append(f"{where}:{line} imports {module}, whose home is {HOME[top]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sources("plugins"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_plugin_knows_only_the_plugins_door(path):
    """The standard library, ``paas.api``, and the plugins that it builds upon."""
    strange = [module for _, module in imports(path) if module.partition(".")[0] not in STDLIB
               and module != "paas.api" and not module.startswith("paas_plugins")]
    assert strange == []


def test_the_table_covers_every_package():
    packages = {str(p.relative_to(ROOT)) for p in (ROOT / "paas").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert packages - {"paas/testing"} <= set(MAY_IMPORT)


@pytest.mark.parametrize("package",
                         ["paas/model", "paas/errors.py", "paas/failpoints.py", "paas/secret.py", "paas/client.py",
                          "paas/pump.py", "paas/laptop.py"])
def test_standard_library_only(package):
    place = ROOT / package
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        for line, module in imports(path):
            top = module.partition(".")[0]
            assert top in STDLIB or top == "paas", f"{path}:{line} imports {module}"


def test_no_shell_on_the_host():
    wrong = []
    for path in [*sources("paas"), *(ROOT / "hooks").iterdir()]:
        if path.is_dir():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                wrong.append(f"{path}:{node.value.lineno}")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in SHELLS:
                wrong.append(f"{path}:{node.lineno}")
    assert not wrong


def test_deploy_names_the_stages_in_order():
    """`deploy` and what it calls name the stages in the order of the house."""
    tree = ast.parse((ROOT / "paas/deploy/__init__.py").read_text())
    calls = sorted((node.lineno, node.col_offset, node.func.id)
                   for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    stages = [name for *_, name in calls if name in ("receive", "build", "release", "check", "switch", "retire")]
    assert stages == ["receive", "build", "release", "check", "switch", "retire"]


@pytest.mark.parametrize("path", sources("buildpacks"), ids=lambda p: str(p.relative_to(ROOT)))
def test_buildpacks_are_pure(path):
    """They read what a stranger pushed: nothing that could run, open or fetch any of it."""
    allowed = {"re", "typing", "collections.abc", "packaging.specifiers", "semantic_version"} | NOUNS
    assert [module for _, module in imports(path) if not inside(module, allowed)] == []
