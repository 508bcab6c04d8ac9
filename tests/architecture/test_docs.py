"""The documentation says what the program does: generated pages are current, examples parse, tables are complete."""

import ast
import functools
import importlib
import importlib.machinery
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import click
import pytest

from paas import laptop
from paas.adapters import docker_posture, git
from paas.cli import load_commands
from paas.cli.base import COMMANDS, Call, HelpWanted
from paas.cli.families import family
from paas.cli.help import visible
from paas.errors import BadInput
from paas.model import app_settings, names
from paas.model.access import Actor
from paas.model.incident import ChannelType, Kind
from paas.model.rights import ROLES, Right, Role
from paas.ops import ci

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
load_commands()


@functools.cache
def generator() -> ModuleType:
    path = str(ROOT / "docs/generate")
    loader = importlib.machinery.SourceFileLoader("docs_generate", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs_generate", loader))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


# Generated pages


@pytest.mark.parametrize("page", ["commands.md", "rights.md", "settings.md"])
def test_generated_pages_are_current(page):
    assert read(page) == generator().pages()[page], "run docs/generate"


def test_the_generator_tells_a_stale_page(monkeypatch, capsys):
    module = generator()
    monkeypatch.setattr(module, "current", lambda name: "old")
    assert (module.main(["--check"]), "commands.md" in capsys.readouterr().out) == (1, True)


def test_every_command_has_its_entry_with_synopsis_options_help_example_and_exit_codes():
    text = read("commands.md")
    first: dict[object, str] = {}            # a verb of every datastore is described once
    for name, command in visible().items():
        shown = first.setdefault(family(command.callback), name)
        command = visible()[shown] if hasattr(command.callback, "family") else command
        heading = rf"^### (?:[^\n]*, )?{re.escape(name)}(?:, [^\n]*)?\n"
        entry = re.search(rf"{heading}(.*?)(?=^### |^## |\Z)", text, re.M | re.S)
        assert entry, name
        assert f"paas {name}" in entry[1]
        assert re.search(r"^Exit codes: .*\b[02]\b.*\.$", entry[1], re.M), name
        help, example = (command.help or "").split("Example: ")
        assert " ".join(help.split()).replace("`", "")[:60] in " ".join(entry[1].split()).replace("`", ""), name
        assert f"```sh\n{example.strip()}\n```" in entry[1], name
        for param in command.params:
            if isinstance(param, click.Option) and param.name != "quiet":
                assert all(f"`{option}" in entry[1] for option in param.opts), (name, param.opts)


def test_every_setting_is_named():
    text = read("settings.md")
    for key in (*app_settings.APP, *app_settings.SERVER):
        assert f"| `{key}` |" in text, key


# Tables that stand for what the code can say


def kinds(pattern: str, *files: str) -> set[str]:
    return {kind for name in files for kind in re.findall(pattern, (ROOT / name).read_text())}


def test_every_kind_of_repair_is_explained():
    found = kinds(r'Repair\(\s*"([a-z-]+)"', "paas/ops/app_repairs.py", "paas/ops/reconcile.py")
    assert len(found) > 10
    assert {kind for kind in found if f"| `{kind}` |" not in read("reconcile.md")} == set()


def test_every_finding_of_the_doctor_is_explained():
    found = kinds(r'Finding\(\s*"([a-z]+-[a-z]+)"', "paas/ops/doctor.py")
    assert len(found) > 5
    assert {kind for kind in found if f"| `{kind}` |" not in read("doctor.md")} == set()


def test_every_kind_of_incident_and_type_of_channel_is_explained():
    text = read("notify.md")
    rows = text.partition("## Uptime")[0]
    assert {one for one in [*Kind, *ChannelType] if not re.search(rf"^\|[^|]*`{one}`[^|]*\|", rows, re.M)} == set()
    assert f"Kinds: {', '.join(Kind)}." in " ".join(COMMANDS["notify:set"].help.split())


def test_roles_are_explained_as_the_code_has_them():
    text = read("access.md")
    assert f"| right | {' | '.join(Role)} |" in text
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ((?:(?:yes|) \| ?)+)$", text, re.M))
    assert set(rows) == set(Right) - {Right.ANYONE}
    for right, cells in rows.items():
        said = [cell.strip() == "yes" for cell in cells.split("|")[:-1]]
        assert said == [right in ROLES[role] for role in Role], right
    assert all(f"\n| `{role}` | " in text for role in Role)


def test_the_workflows_are_those_that_are_made():
    for _, workflow in ci.SYSTEMS.values():
        text = workflow.replace("@BRANCH@", "main").replace("@REMOTE@", "paas@server:hello")
        assert f"```yaml\n{text}```" in read("ci.md")


# Limits

# Numbers of the code that are no limit on anything a user does: sizes of buffers and pieces, paces, codes, formats.
NO_LIMITS = {
    "adapters.age": ["CHUNK", "BITE", "MAX_WRAPPED"], "adapters.age_passphrase": ["LOG_N", "CHUNK"],
    "adapters.objects_probe": ["LARGE"], "adapters.objects_s3": ["BATCH", "PROBE_PART"],
    "adapters.objects_s3_upload": ["MIB", "EXPECTED_PARTS"], "adapters.objects_s3_words": ["SKEW"],
    "adapters.buildkit": ["POLL", "BLOCK"], "adapters.buildkit_session": ["MAX_REQUEST"],
    "adapters.buildkit_trace": ["TAIL_BYTES", "MASK_FROM"],
    "adapters.caddy_reload": ["NEWEST", "BPF_RETURN", "SYS_PIDFD_GETFD", "SO_ATTACH_REUSEPORT_CBPF"],
    "adapters.caddy_layout": ["SLOTS"], "adapters.docker_build_errors": ["TAIL_LINES"],
    "adapters.docker_client": ["POOL"], "adapters.docker_containers": ["REMOVAL_TIMEOUT"],
    "adapters.docker_mounts": ["TAR_BYTES", "MAX_ID", "LINKS", "DIRECTORY"],
    "adapters.docker_streams": ["CHUNK", "PIECE"], "adapters.git": ["MANY_PACKS"],
    "adapters.git_history": ["CLOCK_SKEW"], "adapters.git_objects": ["_MAX_CHAIN", "_STEP"],
    "adapters.git_tar": ["BLOCK", "CHUNK", "_MAX_OCTAL"], "adapters.git_tree": ["ENTRY_BYTES"],
    "adapters.dockerignore": ["FEW"], "adapters.http": ["READ_LIMIT"],
    "adapters.sealing": ["KEY_BYTES", "NONCE_BYTES", "TAG_BYTES"],
    "client": ["PROTOCOL", "MAX_FRAME", "UNAVAILABLE"],
    "daemon.background": ["RETRY_SECONDS", "STREAM_SECONDS", "NOTIFY_SECONDS"],
    "daemon.server": ["HOOK_PATIENCE"], "daemon.session": ["CHUNK", "WINDOW", "PATIENCE", "LAST_WORD"],
    "deploy.start": ["DEFAULT_PORT"], "deploy.probes": ["LOOK"], "deploy.readiness": ["SIGKILLED"],
    "deploy.drain": ["DRAIN_POLL"],
    "deploy.tasks": ["POLL"],
    "adapters.docker_files": ["MAX_HEADERS"], "api": ["API"], "backups.keyring": ["KIT_WORD"],
    "backups.streams": ["CHUNK"], "daemon.memory": ["LARGE"], "failpoints": ["POLL"], "ops.services": ["CHUNK"],
    "services.container": ["LOG_LINES", "PAUSE"], "services.transfer": ["CHUNK"], "services.shell": ["CHUNK"],
    "backups.owner": ["FORMAT"], "backups.spool": ["DIRECTORY", "FILE", "STEP_NS"], "backups.sqlite_ship": ["SMALL"],
    "model.sqlite": ["SNAPSHOT", "HEADER_BYTES", "SHARD"], "ops.sqlite_streams": ["LOOK_LARGE_SECONDS"],
    "backups.sqlite_program": ["LOOK_SECONDS"],
    "backups.pitr_feed": ["ATTEMPTS", "LOOK_SECONDS"], "backups.pitr_receiver": ["STOP"],
    "backups.pitr_restore": ["LOOK_SECONDS", "STOP", "WORDS"], "backups.room": ["LOOK_SECONDS"],
    "backups.pitr_ship": ["BLOCK", "LARGEST", "MERGE", "SETTLED"], "model.pitr_health": ["FULL"],
    "model.ports": ["HIGHEST"], "model.traffic": ["CLASSES"], "adapters.caddy_traffic": ["CHUNK", "SWITCHING"],
    "daemon.prometheus": ["LOOK_SECONDS"],
    "ops.pitr_streams": ["MOST_PAUSE"],
    "model.backup_manifest": ["FORMAT"], "model.strict": ["LARGEST"],
    "ops.cron_attended": ["LISTEN_SECONDS"], "ops.cron_run": ["POLL_SECONDS", "RETRY_SECONDS"],
    "ops.events": ["POLL_SECONDS"], "ops.logs": ["LOOK_SECONDS", "QUIET_SECONDS", "FIRST_SECONDS"],
    "adapters.docker_archives": ["CHUNK"], "adapters.installation": ["PASSES"], "backups.platform_pack": ["CHUNK"],
    "ops.revive": ["CHUNK"], "ops.revive_apps": ["PAUSE"],
    "adapters.wake_door": ["HEAD_BYTES", "BACKLOG", "LOOK_SECONDS"], "daemon.waker": ["RETRY_SECONDS"],
    "ops.sleep": ["TURN_POLL"], "ops.runs": ["INTERRUPTED", "NO_CODE"], "ops.terminal": ["CHUNK", "WATCH_SECONDS"],
    "pump": ["CHUNK"],
    "store.engine": ["BUSY_TIMEOUT"],
    "adapters.confined": ["NOBODY"], "adapters.log_sinks": ["ANSWER"],
    "adapters.patterns_child": ["ASK"], "ops.log_search": ["STAMP"],
    "ops.drain_forward": ["LINGER_SECONDS"], "model.drain": ["SHOWN"],
    "adapters.http_notify": ["ANSWER_LIMIT"], "ops.uptime": ["IDLE_SECONDS"],
    "adapters.docker_disk": ["PAUSE"], "adapters.disk_files": ["BLOCK"],
}
UNITS = {"bytes": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600}


def amount(text: str) -> float:
    """``1,000``, ``64 KB``, ``5m`` → a number (of bytes or seconds); words that are no unit count nothing."""
    number, unit = re.fullmatch(r"([\d.,]+) ?([a-zA-Z]*)", text).groups()
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


def documented_limits() -> dict[str, str]:
    """Constant → what limits.md says of it."""
    rows = re.findall(r"^\| .* \| ([^|]+) \| `(paas\.[\w.]+)` \|$", read("limits.md"), re.M)
    return {name: limit for limit, name in rows}


def constant(name: str) -> float:
    """The value of ``paas.module.NAME`` or ``paas.module.Class.field`` (a default)."""
    module, _, rest = name.rpartition(".")
    if module.rpartition(".")[2][0].isupper():
        module, rest = module.rpartition(".")[0], f"{module.rpartition('.')[2]}.{rest}"
    value = functools.reduce(getattr, rest.split("."), importlib.import_module(module))
    return amount(value) if isinstance(value, str) else float(value)


def numbers_of_the_code() -> set[str]:
    """Every constant of a module that is an amount."""
    found = set()
    for path in sorted((ROOT / "paas").rglob("*.py")):
        if "testing" in path.parts or path.name == "__main__.py":
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for statement in ast.parse(path.read_text()).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            for name in (one.id for one in targets if isinstance(one, ast.Name) and one.id.isupper()):
                value = getattr(importlib.import_module(module), name)
                if type(value) in (int, float) or re.fullmatch(r"\d+(ms|s|m|h)", str(value)):
                    found.add(f"{module}.{name}")
    return found


@pytest.mark.parametrize(("name", "limit"), documented_limits().items())
def test_a_limit_is_what_the_code_says(name, limit):
    assert amount(limit) == constant(name)


def test_every_limit_of_the_code_is_documented():
    exempt = {f"paas.{module}.{name}" for module, names in NO_LIMITS.items() for name in names}
    found = numbers_of_the_code()
    assert len(found) > 80
    assert found - exempt - set(documented_limits()) == set()
    assert exempt - found == set(), "no longer there"


def test_limits_that_stand_in_other_files():
    assert "maxInputSize = 1g\n" in git._CONFIG
    assert docker_posture.LOGS["Config"] == {"max-size": "10m", "max-file": "3"}
    assert names.app_name("a" * 30)
    with pytest.raises(BadInput):
        names.app_name("a" * 31)


# Benchmarks


def benchmarks() -> list[Path]:
    return [path for path in sorted((ROOT / "bench").iterdir()) if path.is_file() and os.access(path, os.X_OK)]


def test_every_benchmark_is_explained_with_its_figures_and_aims():
    text = read("benchmarks.md")
    assert len(benchmarks()) >= 4
    for path in benchmarks():
        section = re.search(rf"^## {path.name}\n(.*?)^## ", text, re.M | re.S)
        assert section, path.name
        assert f"\n| `{path.name}` | " in text.partition("## Measured")[2], path.name
        for kind, key in re.findall(r'aims\.(note|at_most|at_least)\(f?"([a-z_]+)', path.read_text()):
            row = re.search(rf"^\| .*`{key}\d*`.* \| .+ \| (.*)\|$", section[1], re.M)
            assert row, (path.name, key)
            assert bool(row[1].strip()) == (kind != "note"), (path.name, key)


# Examples


def lines_of(text: str) -> list[str]:
    """What a fenced block shows as typed at a shell, one command a line; `text` blocks are synopses."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S)
    return [line.strip() for kind, block in blocks if kind in ("", "sh") for line in block.splitlines()]


def words_of(line: str) -> list[str] | None:
    """The words that paas would get; None: the line is not one of its commands."""
    inner = re.search(r"\$\((paas [^)]*)\)|\| (paas .*)", line)
    line = (inner[1] or inner[2]) if inner else line
    typed = re.match(r"(?:sudo )?paas (?!@)|ssh (?:-t )?paas@[\w.]+ ", line)
    if not typed:
        return None
    words = shlex.split(re.split(r" (?:\||<|>|&&) ?", line[typed.end():], maxsplit=1)[0], comments=True)
    return shlex.split(" ".join(words)) if typed[0].startswith("ssh") else words


def examples() -> list[tuple[str, list[str]]]:
    found = [(str(page.relative_to(ROOT)), words) for page in PAGES for line in lines_of(page.read_text())
             if (words := words_of(line))]
    for name, command in visible().items():
        for line in re.findall(r"^\s*Example: (.*)$", command.help or "", re.M):
            found.append((f"help {name}", words_of(line) or []))
    return found


def accept(words: list[str], standing: str = "") -> None:
    """Parse as the daemon does, and run nothing; *standing*: the app whose checkout a laptop stands in.

    :raises click.UsageError: the daemon would refuse it.
    """
    _, words = laptop.take_remote(words)
    given, words = ("", words) if words[0] != "--app" else (words[1], words[2:])
    name, *rest = words
    if name not in COMMANDS:
        raise click.UsageError(f"no command {name}")
    store = SimpleNamespace(apps=list)
    call = Call(SimpleNamespace(store=store), Actor("root"), None, app_given=given, app_default=standing)
    try:
        with COMMANDS[name].make_context(name, rest, obj=call):
            pass
    except HelpWanted:
        pass


@pytest.mark.parametrize(("place", "words"), examples(),
                         ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60])
def test_examples_are_accepted(place, words):
    accept(words, "hello" if place == "docs/laptop.md" else "")


@pytest.mark.parametrize("line", ["paas apps:creat hello", "paas apps:create", "paas logs hello --no-such-option",
                                  "ssh paas@server config:set", "paas ps:scale"])
def test_a_wrong_example_would_be_found(line):
    with pytest.raises(click.UsageError):
        accept(words_of(line))


def test_there_are_examples():
    assert {f"help {name}" for name in visible()} <= {place for place, _ in examples()}
    assert len([place for place, _ in examples() if place == "README.md"]) >= 6


def test_commands_named_in_the_text_exist():
    no_commands = {"ip:port"}
    ours = [page for page in PAGES if page.name != "from-dokku.md"]
    named = {(page.name, name) for page in ours
             for name in re.findall(r"`(?:paas )?([a-z-]+:[a-z-]+)\b", page.read_text()) if name not in no_commands}
    assert len(named) > 20
    assert {(page, name) for page, name in named if name not in COMMANDS} == set()


# Links


@functools.cache
def anchors(page: Path) -> set[str]:
    return {generator().slug(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.M)}


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if link.startswith(("http://", "https://")):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or target.is_dir() or anchor in anchors(target), f"{page.name}: {link}"


def test_the_generator_runs_as_a_program():
    done = subprocess.run([sys.executable, ROOT / "docs/generate", "--check"], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
