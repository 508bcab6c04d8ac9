"""What containers use, by their cgroups: real ones, and both versions of cgroups as files."""

from dataclasses import replace

import pytest

from paas.adapters.docker_loads import DockerLoads, belongs, cpu_seconds
from tests.contract.container_rig import until
from tests.contract.docker_lab import SOCKET

WORK = ("sh", "-c", "dd if=/dev/zero of=/dev/null bs=1024k count=2000; sleep 1000")
MB = 1 << 20


@pytest.fixture
def loads(lab):
    return DockerLoads(SOCKET, lab.server, "ct")


def started(real, name: str, *command: str, **changes) -> str:
    made = real.containers.create(replace(real.spec("silent", name, **changes), command=command))
    real.containers.start(made)
    return made


@pytest.mark.docker
def test_processor_time_and_memory_of_what_runs(real, loads):
    busy, idle = started(real, "busy", *WORK), real.run("silent", "idle")
    until(lambda: loads.read([busy])[busy].cpu > 0.05, "it has worked")
    found = loads.read([busy, idle])
    assert found[idle].cpu < found[busy].cpu
    assert 0 < found[idle].memory < 64 * MB
    assert found[busy].restarts == 0


@pytest.mark.docker
def test_what_does_not_run_has_none(real, loads):
    ended, gone = real.run("silent", "ended"), real.run("silent", "gone")
    assert set(loads.read([ended, gone])) == {ended, gone}
    real.containers.kill(ended, "SIGKILL")
    real.containers.remove(gone)
    until(lambda: not loads.read([ended, gone]), "they are out of it")
    assert loads.read([]) == loads.read(["0" * 64]) == {}


@pytest.mark.docker
def test_restarts_are_counted(real, loads):
    made = started(real, "again", "sh", "-c", "sleep 1; exit 3", restart="on-failure:3")
    until(lambda: (found := loads.read([made]).get(made)) and found.restarts >= 1, "it was started again", 60)


def machine(tmp_path, table: str, name: str, text: str):
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "cgroup").write_text(table)
    path = tmp_path / "sys" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return {"root": tmp_path / "sys", "proc": tmp_path / "proc"}


def test_version_1(tmp_path):
    where = machine(tmp_path, "2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n", "cpuacct/docker/abc/cpuacct.usage",
                    "1500000000\n")
    assert (cpu_seconds(7, **where), cpu_seconds(8, **where)) == (1.5, 0.0)
    assert belongs(7, "abc", where["proc"])
    assert not belongs(7, "def", where["proc"])
    assert not belongs(8, "abc", where["proc"])


def test_version_2(tmp_path):
    where = machine(tmp_path, "0::/system.slice/docker-abc.scope\n", "system.slice/docker-abc.scope/cpu.stat",
                    "usage_usec 2500000\nuser_usec 1\n")
    assert cpu_seconds(7, **where) == 2.5


def test_a_table_without_anything(tmp_path):
    assert cpu_seconds(7, **machine(tmp_path, "1:memory:/x\n", "x/y", "")) == 0.0
