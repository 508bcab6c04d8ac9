"""The memory of a cgroup, in both versions."""

import pytest

from paas.adapters.docker_memory import used

V1 = "5:devices:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n"
V2 = "0::/system.slice/docker-abc.scope\n"


@pytest.fixture
def machine(tmp_path):
    def make(table: str, group: str, **files: str):
        (tmp_path / "proc" / "7").mkdir(parents=True)
        (tmp_path / "proc" / "7" / "cgroup").write_text(table)
        (tmp_path / "sys" / group).mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / "sys" / group / name.replace("_", ".", 1)).write_text(text)
        return lambda pid: used(pid, tmp_path / "sys", tmp_path / "proc")
    return make


def test_version_1(machine):
    read = machine(V1, "memory/docker/abc", memory_usage_in_bytes="1000\n",
                   memory_stat="inactive_file 1\ntotal_inactive_file 300\n")
    assert read(7) == 700


def test_version_2(machine):
    read = machine(V2, "system.slice/docker-abc.scope", memory_current="1000\n",
                   memory_stat="anon 5\ninactive_file 400\n")
    assert read(7) == 600


def test_gone(machine):
    read = machine(V2, "elsewhere", memory_current="1000\n", memory_stat="")
    assert (read(7), read(8)) == (0, 0)


def test_a_table_without_memory(machine):
    assert machine("5:devices:/docker/abc\n", "x")(7) == 0
