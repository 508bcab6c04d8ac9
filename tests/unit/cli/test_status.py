"""status, doctor, reconcile, over fakes."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from paas.adapters.host import ThisHost
from paas.errors import EngineError, StateError
from paas.model.access import Certificate
from paas.ops import doctor
from paas.secret import Secret


class FakeHost:
    def __init__(self) -> None:
        self.found = {"git": "2.50.1", "dulwich": "1.2.21", "sqlite": "3.50.4", "python": "3.11.2"}
        self.free, self.total = 50 * 10**9, 100 * 10**9

    def versions(self) -> dict[str, str]:
        return dict(self.found)

    def disk(self, path: Path) -> tuple[int, int]:
        return self.free, self.total

    def daemon_memory(self) -> int:
        return 50_000_000


@pytest.fixture
def sound(deployed, tmp_path, monkeypatch):
    """A deployed app on a machine with nothing to complain of."""
    flow = deployed.flow
    settings = replace(flow.rt.settings, config_dir=tmp_path / "etc")
    flow.rt = replace(flow.rt, settings=settings, host=FakeHost())
    flow.containers.engine_version = "25.0.3"
    settings.config_dir.mkdir()
    for path in (settings.master_key, settings.database):
        path.touch(mode=0o600)
    monkeypatch.setattr(doctor.settings, "load", lambda: flow.rt.settings)
    monkeypatch.setattr(doctor, "backups", lambda rt: iter(()))      # told of in their own tests
    return deployed


def findings(desk):
    return {one.id: one for one in doctor.examine(desk.flow.rt)}


def test_a_sound_platform_has_no_findings(sound):
    assert findings(sound) == {}


def test_doctor_exits_with_one_only_if_something_is_to_mend(sound):
    assert "All is well." in sound.ok("doctor").text
    sound.flow.containers.engine_version = "20.10.24"
    (one,) = sound.ok("doctor --format json").json
    assert (one["severity"], one["id"], one["found"]) == ("advice", "version-old", "20.10.24")
    sound.flow.router.held = {"a.example.com": sound.flow.clock.now()}
    said = sound.run("doctor")
    assert (said.code, "certificate-expired" in said.text, "1 to mend." in said.text) == (1, True, True)


def test_an_engine_that_is_down_hides_nothing_else(sound):
    def down(*words):
        raise EngineError("Docker does not answer", "Start it.")

    sound.flow.containers.version = sound.flow.containers.list = down
    sound.flow.router.up = False
    found = findings(sound)
    assert {"engine-down", "proxy-down"} <= set(found)
    assert found["engine-down"].severity == "error"


def test_an_app_that_the_proxy_leaves_out_is_told(sound):
    sound.flow.router.refuse(sound.flow.app().id, "'{x}' is not a host name")
    found = findings(sound)["site-refused"]
    assert (found.object, found.found, found.severity) == ("hello", "'{x}' is not a host name", "error")


def test_the_dry_plan_of_reconcile_is_shown_and_not_carried_out(sound):
    (row,) = sound.flow.rt.store.instances(1)
    sound.flow.containers.crash(row.container_id, 1)
    found = findings(sound)
    assert (found["instance-stopped"].object, found["instance-stopped"].severity) == ("hello web.1", "warning")
    assert sound.flow.containers.running() == []


def test_reconcile_repairs_once(sound):
    (row,) = sound.flow.rt.store.instances(1)
    sound.flow.containers.crash(row.container_id, 1)
    assert sound.ok("reconcile --dry-run --format json").json[0]["result"] == "planned"
    assert sound.flow.containers.running() == []
    assert sound.ok("reconcile --app hello --format json").json[0]["result"] == "done"
    assert len(sound.flow.containers.running()) == 1
    assert "Nothing to repair." in sound.ok("reconcile").text


def test_a_repair_that_fails_is_told(sound):
    (row,) = sound.flow.rt.store.instances(1)
    sound.flow.containers.crash(row.container_id, 1)
    for step in ("containers.start", "containers.create"):
        sound.flow.faults.fail_on(step, 1, EngineError("no way"))
    said = sound.run("reconcile")
    assert (said.code, "no way" in said.text) == (1, True)


def test_certificates_near_their_end(sound):
    now = sound.flow.clock.now()
    sound.flow.router.held = {"a.example.com": now + timedelta(days=5), "b.example.com": now + timedelta(days=60)}
    sound.flow.rt.store.put_certificate(
        Certificate(1, "PEM", ("c.example.com",), "CA", now - timedelta(days=1), "f" * 64), Secret("KEY"))
    found = [(one.id, one.object, one.severity) for one in doctor.examine(sound.flow.rt)
             if one.id.startswith("certificate")]
    assert found == [("certificate-expired", "certificate added to hello", "error"),
                     ("certificate-expiring", "certificate of a.example.com", "warning")]


def test_disk(sound):
    sound.flow.rt.host.free = 10**9
    assert findings(sound)["disk-full"].found == "1.0 GB free"
    sound.flow.rt.host.free = 4 * 10**9
    assert set(findings(sound)) == {"disk-low"}


def test_private_files(sound):
    sound.flow.rt.settings.master_key.chmod(0o777)
    assert findings(sound)["file-open"].object == "master key"
    sound.flow.rt.settings.master_key.unlink()
    assert findings(sound)["file-missing"].object == "master key"


def test_the_settings_file(sound, monkeypatch):
    changed = replace(sound.flow.rt.settings, http_port=8080)
    monkeypatch.setattr(doctor.settings, "load", lambda: changed)
    assert findings(sound)["settings-changed"].found == "differs in http_port"

    def broken():
        raise StateError("paas.toml is not valid TOML")

    monkeypatch.setattr(doctor.settings, "load", broken)
    assert findings(sound)["settings-bad"].severity == "error"


def test_a_damaged_database(sound):
    sound.flow.rt.store.integrity = lambda: ["row 3 missing from index"]
    assert findings(sound)["database-damaged"].found == "row 3 missing from index"


@pytest.mark.parametrize(("text", "old"), [("2.39.5", True), ("2.43.6", True), ("2.43.7", False), ("2.44.3", True),
                                           ("2.50.1", False), ("2.51.0", False), ("2.47.3.windows", False)])
def test_git_is_judged_by_its_release_line(text, old):
    assert doctor.too_old(text, doctor.FIXED["git"]) == old


@pytest.mark.parametrize(("text", "old"), [("1.1.5", True), ("1.2.7", True), ("1.2.8", False), ("1.3.2", True),
                                           ("1.3.3", False), ("1.4.0", False)])
def test_runc_is_judged_by_its_release_line(text, old):
    assert doctor.too_old(text, doctor.FIXED["runc"]) == old


@pytest.mark.docker
def test_this_machine_says_its_versions():
    found = ThisHost().versions()
    assert all(re.fullmatch(r"\d+\.[\w.]+", found[name]) for name in ("git", "runc", "dulwich", "sqlite", "python"))


def test_status(sound):
    found = sound.ok("status --format json").json
    assert (found["engine"], found["proxy"], found["database"]) == ("Docker 25.0.3", "answers", "sound")
    assert (found["apps"], found["apps_live"], found["instances"], found["jobs"]) == (1, 1, 1, [])
    assert (found["disk_free"], found["daemon_memory"]) == (50 * 10**9, 50_000_000)
    assert "50.0 GB" in sound.ok("status").text


def test_status_tells_what_does_not_answer(sound):
    sound.flow.router.up = False
    sound.flow.faults.fail_on("containers.version", 1, EngineError("Docker does not answer"))
    found = sound.ok("status --format json").json
    assert (found["engine"], found["proxy"]) == ("does not answer", "does not answer")


def test_status_lists_jobs(sound):
    turn = sound.flow.rt.jobs.try_turn(1, "a deploy")
    assert sound.ok("status --format json").json["jobs"] == ["hello: a deploy"]
    sound.flow.rt.jobs.leave(turn)
