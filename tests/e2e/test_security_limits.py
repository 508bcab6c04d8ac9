"""Limits that need no whole platform: a pack without end (C07), plugins that fail (F11), the units' and sshd's own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from paas.adapters import host_files
from paas.adapters.git import GitRepos
from paas.api import API
from paas.plugin import load
from paas.settings import Settings

pytestmark = [pytest.mark.e2e]
WHO = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
               **dict.fromkeys(WHO, "x@example.com")}


def git(path: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", "-C", str(path), *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)


def test_c07_a_pack_over_the_limit_is_cut_and_leaves_nothing(tmp_path):
    """With the limit that every repository has, made smaller for the test."""
    (tmp_path / "hooks").mkdir()
    bare = GitRepos(Settings(state_dir=tmp_path, lib_dir=tmp_path, ssh_user="no-such-user")).ensure(1)
    config = bare / "config"
    assert config.read_text().count("maxInputSize = 1g\n") == 1
    config.write_text(config.read_text().replace("maxInputSize = 1g\n", "maxInputSize = 1m\n"))
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch", "main")
    git(work, "commit", "--quiet", "--allow-empty", "--message", "small")
    assert git(work, "push", str(bare), "main").returncode == 0
    size = sum(path.stat().st_size for path in bare.rglob("*") if path.is_file())
    (work / "large").write_bytes(os.urandom(3_000_000))
    git(work, "add", "large")
    git(work, "commit", "--quiet", "--message", "large")
    refused = git(work, "push", str(bare), "main")
    assert refused.returncode != 0
    assert "pack exceeds maximum allowed size" in refused.stderr
    assert git(bare, "log", "--format=%s", "main").stdout == "small\n"
    assert list(bare.glob("objects/tmp_objdir-*")) == []
    assert sum(path.stat().st_size for path in bare.rglob("*") if path.is_file()) == size


@pytest.mark.parametrize("program", [
    "raise RuntimeError('x')", "import sys; sys.exit(1)", "import no_such_module", "datastore = None", "def broken(:",
    "1/0", "print('y' * 10_000_000); datastore = 1"])
def test_f11_a_plugin_that_cannot_be_loaded_stops_nothing(tmp_path, program, capsys):
    """It is named, and the others are there."""
    for name, source in (("bad", program), ("worse", program)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plugin.toml").write_text(f'name = "{name}"\napi = {API}\n')
        (tmp_path / name / "plugin.py").write_text(source)
    (tmp_path / "redis").symlink_to(Path(host_files.__file__).parents[2] / "plugins" / "redis")
    found = load(tmp_path)
    assert set(found.datastores) == {"redis"}
    assert [problem.split(" is left out")[0] for problem in found.problems] == ["the plugin bad", "the plugin worse"]
    assert "\n" not in "".join(found.problems)


def unit(name: str) -> dict[str, str]:
    lines = host_files.FILES[name](Settings()).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd judges its units")
@pytest.mark.parametrize(("name", "most"), [("paasd.service", 4.0), ("paas-proxy.service", 2.5)])
def test_the_units_are_as_tight_as_can_be(tmp_path, name, most):
    """What systemd itself says of them: its exposure level, 0 to 10; a service as it comes has 9.6."""
    (tmp_path / name).write_text(host_files.FILES[name](Settings()))
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold", str(int(most * 10)),
                           str(tmp_path / name)], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout[-300:]


def test_a_taken_port_of_an_app_does_not_keep_the_proxy_from_its_start():
    """What fails here (``-``) does not, either; it runs as root (``+``), who alone may write the config."""
    words = unit("paas-proxy.service")["ExecStartPre"].split()
    assert words[0].startswith("-+/")
    assert words[-2:] == ["paas.adapters.host_files", "proxy-ports"]
    assert host_files.FILES["proxy-ports"](Settings(state_dir=Path("/nonexistent"))) == ""


def test_the_daemon_may_not_change_the_kernel_or_gain_rights():
    words = unit("paasd.service")
    for key in ("NoNewPrivileges", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock",
                "ProtectControlGroups", "PrivateDevices", "PrivateTmp", "RestrictSUIDSGID", "RestrictNamespaces"):
        assert words[key] == "yes", key
    assert words["ProtectSystem"] == "strict"
    assert not {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO"} & set(
        words["CapabilityBoundingSet"].split())


def test_sshd_takes_the_drop_in_and_says_the_same(tmp_path):
    """Asked of sshd itself (sshd -T), for the platform's user and for another."""
    key, config = tmp_path / "key", tmp_path / "sshd_config"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    config.write_text(f"HostKey {key}\n{host_files.sshd_drop_in(Settings())}")

    def effective(user: str) -> dict[str, str]:
        done = subprocess.run(["/usr/sbin/sshd", "-T", "-f", str(config), "-C", f"user={user},host=x,addr=192.0.2.1"],
                              capture_output=True, text=True, check=True)
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)

    ours = effective("paas")
    assert {key: ours[key] for key in ("logingracetime", "maxstartups", "persourcemaxstartups", "maxauthtries",
                                       "maxsessions", "disableforwarding", "permituserrc", "permittunnel",
                                       "passwordauthentication", "authenticationmethods")} == {
        "logingracetime": "30", "maxstartups": "100:30:200", "persourcemaxstartups": "50", "maxauthtries": "12",
        "maxsessions": "4", "disableforwarding": "yes", "permituserrc": "no", "permittunnel": "no",
        "passwordauthentication": "no", "authenticationmethods": "publickey"}
    other = effective("root")
    assert (other["disableforwarding"], other["maxsessions"]) == ("no", "10")
    page = (Path(host_files.__file__).parents[2] / "docs/limits.md").read_text()
    for row in ("a connection to sshd that has not logged in | 30 s", "… of one address at once | 50",
                "… of all; from 100 on some are refused | 200", "keys that a client may try to log in with | 12"):
        assert f"| {row} | |\n" in page
