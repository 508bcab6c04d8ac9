"""What only a real engine can show of containers."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from paas.adapters.docker_containers import DockerContainers
from paas.adapters.docker_listening import listener
from paas.adapters.docker_posture import CLOUDWATCH
from paas.errors import Conflict, EngineError, NotFound
from paas.ports import BindMount, Listener
from paas.secret import Secret
from tests.contract.container_rig import Rig, until
from tests.contract.docker_lab import SOCKET


def output_of(rig: Rig, *command: str, **changes) -> str:
    made = rig.containers.create(replace(rig.spec("silent", "out", **changes), command=command))
    rig.containers.start(made)
    rig.containers.wait(made)
    return "\n".join(line.text.decode() for line in rig.containers.logs(made))


@pytest.mark.docker
def test_the_posture_of_every_container(real, lab):
    made = real.run("silent", **real.join(), memory=64 * 1024**2, cpus=0.5, restart="on-failure:10", stop_timeout=7)
    found = lab.api.inspect_container(made)
    host = found["HostConfig"]
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE"}
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Init"] is True
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (2**26, 2**26, 5 * 10**8, 512)
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 10}
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-size": "10m", "max-file": "3"}}
    assert (host["IpcMode"], host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("private", "", "", "")
    assert host["CgroupnsMode"] == "private"
    assert host["NetworkMode"] == real.network
    assert not host["PortBindings"]
    assert found["Config"]["StopTimeout"] == 7
    assert found["Config"]["Labels"]["paas.server"] == lab.server


@pytest.mark.docker
def test_the_kernel_sees_the_posture(real):
    status = output_of(real, "grep", "-E", "^(CapEff|CapBnd|NoNewPrivs|Seccomp):", "/proc/self/status")
    values = dict(line.split(":\t") for line in status.splitlines())
    allowed = sum(1 << bit for bit in (0, 1, 3, 5, 6, 7, 10))     # capabilities(7), by number
    assert int(values["CapBnd"], 16) == allowed
    assert (values["NoNewPrivs"], values["Seccomp"]) == ("1", "2")


@pytest.mark.docker
def test_environment_arrives_byte_for_byte(real):
    value = "a b\n\"c\" '$HOME' `x` \\n ü\t" + "z" * 65536
    made = real.run("silent", environment={"VALUE": Secret(value)})
    _, attached = real.containers.exec(made, ["sh", "-c", 'printf %s "$VALUE"'], False, {})
    attached.close_stdin()
    assert b"".join(data for _, data in attached.frames()).decode() == value


@pytest.mark.docker
def test_environment_that_is_not_text_is_refused(real):
    with pytest.raises(EngineError, match="VALUE is not UTF-8"):
        real.containers.create(real.spec("silent", environment={"VALUE": Secret("a\udcff")}))


@pytest.mark.docker
def test_a_name_of_somebody_else_is_not_taken(real, lab):
    stranger = DockerContainers(SOCKET, lab.server + "x", "ct")
    made = real.containers.create(real.spec("silent"))
    with pytest.raises(Conflict, match="not of this server"):
        stranger.create(real.spec("silent"))
    assert stranger.list({}) == []
    assert stranger.networks() == {}
    assert real.containers.state(made).id == made


@pytest.mark.docker
def test_following_goes_on_over_restarts(real):
    spec = replace(real.spec("dies", restart="on-failure:10"), command=("sh", "-c", "echo run; exit 1"))
    made = real.containers.create(spec)
    real.containers.start(made)
    stream = real.containers.logs(made, follow=True)
    lines = [next(stream) for _ in range(3)]
    stream.close()
    assert [line.text for line in lines] == [b"run"] * 3
    assert len({line.at for line in lines}) == 3
    assert real.containers.state(made).restarts >= 2


@pytest.mark.docker
def test_lines_longer_than_the_engines_pieces_are_whole(real):
    made = real.containers.create(replace(real.spec("dies"), command=(
        "sh", "-c", "for n in 16383 16384 16385 40000; do head -c $n /dev/zero | tr '\\0' x; echo; done; echo -n end")))
    real.containers.start(made)
    real.containers.wait(made)
    lines = until(lambda: [x.text for x in real.containers.logs(made) if x][-1:] == [b"end"] and
                  [x.text for x in real.containers.logs(made)], "the last line")
    assert [len(line) for line in lines] == [16383, 16384, 16385, 40000, 3]


@pytest.mark.docker
def test_a_terminal_has_the_size_asked_for_before_the_start(real):
    made = real.containers.create(replace(real.spec("cat", stdin=True, tty=True),
                                          command=("sh", "-c", "read x; stty size; echo $x >&2; read y; stty size")))
    attached = real.containers.attach(made, True)
    attached.resize(101, 44)
    real.containers.start(made)
    attached.send(b"go\n")
    frames = attached.frames()
    seen = ""
    while "44 101" not in seen:
        stream, data = next(frames)
        assert stream == "stdout"
        seen += data.decode()
    attached.resize(80, 24)
    attached.send(b"on\n")
    assert "24 80" in "".join(data.decode() for _, data in frames)
    attached.close()


@pytest.mark.docker
def test_exec_keeps_streams_apart_and_gets_its_environment(real):
    made = real.run("silent")
    exec_id, attached = real.containers.exec(made, ["sh", "-c", "echo $A; echo err >&2; exit 4"], False,
                                             {"A": Secret("x\ny")})
    attached.close_stdin()
    frames = list(attached.frames())
    assert b"".join(data for stream, data in frames if stream == "stdout") == b"x y\n"
    assert b"".join(data for stream, data in frames if stream == "stderr") == b"err\n"
    assert real.containers.exec_exit_code(exec_id) == 4


@pytest.mark.docker
def test_exec_loses_no_early_output(real):
    made = real.run("silent")
    for _ in range(10):
        _, attached = real.containers.exec(made, ["echo", "first"], False, {})
        assert list(attached.frames()) == [("stdout", b"first\n")]
        attached.close()


@pytest.mark.docker
def test_a_volume_outlives_its_container_and_a_read_only_mount_is(real, lab, tmp_path):
    volume = f"ct-vol-{real.tag}"
    (tmp_path / "file").write_text("from the host\n")
    mounts = (BindMount(volume, "/data"), BindMount(str(tmp_path), "/host", read_only=True))
    try:
        script = "echo kept >/data/f; cat /host/file; echo no >/host/file || echo refused"
        out = output_of(real, "sh", "-c", script, mounts=mounts)
        assert {"from the host", "refused"} <= set(out.splitlines())
        for one in real.containers.list({"run": real.tag}):
            real.containers.remove(one.id)
        assert output_of(real, "cat", "/data/f", mounts=mounts[:1]) == "kept"
    finally:
        lab.clean()
        lab.api.remove_volume(volume)


@pytest.mark.docker
def test_the_command_replaces_the_entrypoint(real, lab):
    made = real.run("silent")
    found = lab.api.inspect_container(made)["Config"]
    assert (found["Entrypoint"], found["Cmd"]) == (["sleep"], ["1000"])


@pytest.mark.docker
def test_an_unknown_image_is_not_found(real):
    with pytest.raises(NotFound, match="No such image"):
        real.containers.create(real.spec("silent", image="sha256:" + "0" * 64))


@pytest.mark.docker
def test_memory_limit_kills_and_says_so(real):
    made = real.containers.create(replace(real.spec("silent", memory=8 * 1024**2),
                                          command=("sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=64M")))
    real.containers.start(made)
    real.containers.wait(made)
    state = until(lambda: not (found := real.containers.state(made)).running and found, "the end")
    assert state.exit_code == 137
    # On cgroup v1 an engine may lose the kernel's note of the kill: then its own client does not show it either.
    shown = subprocess.run(["docker", "inspect", "--format", "{{.State.OOMKilled}}", made], capture_output=True,
                           text=True, check=True)
    assert state.oom_killed == (shown.stdout.strip() == "true")


def test_a_dead_engine_is_named_and_the_way_out_too(tmp_path: Path):
    for ask in (lambda c: c.version(), lambda c: c.list({}), lambda c: c.logs("x"), lambda c: c.attach("x", True),
                lambda c: c.ensure_network("n", "10.1.0.0/25", {}), lambda c: c.stop("x", 1)):
        with pytest.raises(EngineError, match="Docker does not answer") as caught:
            ask(DockerContainers(tmp_path / "none.sock", "s", "p"))
        assert "Start Docker" in caught.value.hint
        assert str(tmp_path) not in caught.value.what


@pytest.mark.parametrize(("raw", "wanted"), [
    ("0100007F:1F90", Listener("127.0.0.1", 8080)),
    ("00000000:0050", Listener("0.0.0.0", 80)),
    ("00000000000000000000000000000000:1388", Listener("::", 5000)),
    ("00000000000000000000000001000000:1388", Listener("::1", 5000)),
    ("0000000000000000FFFF00000100007F:1388", Listener("127.0.0.1", 5000)),
])
def test_proc_addresses(raw, wanted):
    assert listener(raw) == wanted


@pytest.mark.docker
def test_a_drain_to_cloudwatch_that_leads_nowhere_keeps_nothing_up(real, lab):
    """AWS cannot be reached here: the container starts all the same, and its lines are read, counted and followed."""
    spec = real.spec("silent", "cloudy")
    labels = {**spec.labels, CLOUDWATCH: "eu-west-1 my/apps hello/web.1/7"}
    made = real.containers.create(replace(spec, labels=labels, command=(
        "sh", "-c", "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done; sleep 600")))
    real.containers.start(made)
    assert lab.api.inspect_container(made)["HostConfig"]["LogConfig"] == {"Type": "awslogs", "Config": {
        "awslogs-region": "eu-west-1", "awslogs-group": "my/apps", "awslogs-stream": "hello/web.1/7",
        "awslogs-create-group": "true", "mode": "non-blocking", "max-buffer-size": "4m",
        "cache-max-size": "10m", "cache-max-file": "3"}}
    followed = real.containers.logs(made, follow=True)
    lines = [next(followed) for _ in range(5000)]
    followed.close()
    assert [line.text for line in lines] == [f"line {number}".encode() for number in range(1, 5001)]
    assert [line.text for line in real.containers.logs(made, tail=2)] == [b"line 4999", b"line 5000"]
    late = list(real.containers.logs(made, since=lines[-1].at))
    assert late[-1].text == b"line 5000"
    assert len(late) < 5000
