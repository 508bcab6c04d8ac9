"""What every Images does, fake and real; then what only a real builder can show."""

from __future__ import annotations

import json
import secrets
import threading
import time
from pathlib import Path

import pytest

from paas.adapters import docker_room
from paas.adapters.buildkit_trace import Masker, fields
from paas.adapters.docker_build_errors import Failure, explain
from paas.adapters.docker_images import DockerImages
from paas.errors import BuildFailed, Cancelled, Conflict, EngineError, NoSpace, NotFound, PushRefused
from paas.ports import BuildRequest
from paas.secret import Secret
from paas.testing.fake_images import FakeImages
from tests.contract.docker_lab import SOCKET, tar

SECRET = "correct-horse-battery-staple"


class Rig:
    """An Images, the name of a base image it knows, and what the last build wrote."""

    def __init__(self, images, base: str) -> None:
        self.images, self.base = images, base
        self.tag = f"ct-build-{secrets.token_hex(4)}"
        self.out = b""

    @property
    def text(self) -> str:
        """What the last build wrote."""
        return self.out.decode()

    def build(self, text: str, *, files=None, links=None, cancelled=lambda: False, context=None, **changes):
        self.out = b""
        content = tar({"Dockerfile": self.full(text), **(files or {})}, links)
        changes.setdefault("labels", {"build": self.tag})
        request = BuildRequest(tag=self.tag, context=context or [content[:700], content[700:]], **changes)
        return self.images.build(request, self.hear, cancelled)

    def full(self, text: str) -> bytes:
        return text.replace("BASE", self.base).encode()

    def hear(self, data: bytes) -> None:
        self.out += data


@pytest.fixture
def real(lab):
    yield Rig(DockerImages(SOCKET, lab.server, "ct"), lab.base)
    lab.clean()


@pytest.fixture
def classic(lab):
    yield Rig(DockerImages(SOCKET, lab.server, "ct", builder="classic"), lab.base)
    lab.clean()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker),
                        pytest.param("classic", marks=pytest.mark.docker)])
def rig(request):
    return Rig(FakeImages(), "busybox") if request.param == "fake" else request.getfixturevalue(request.param)


# every Images -----------------------------------------------------------------------------------------------------


def test_a_build_gives_an_image_with_its_facts(rig):
    image = rig.build('FROM BASE\nEXPOSE 8080/tcp 53/udp 80\nENTRYPOINT ["/run"]\nCMD ["a b", "c"]\n'
                      "HEALTHCHECK CMD true\n")
    assert image.digest.startswith("sha256:")
    assert image.exposed == (80, 8080)
    assert image.command == ("/run", "a b", "c")
    assert image.healthcheck
    assert image.size > 0
    assert image.created_at.tzinfo is not None
    labels = dict(image.labels)
    assert labels["build"] == rig.tag
    assert labels["paas.server"]
    assert rig.images.inspect(image.digest) == image
    assert rig.images.inspect(rig.tag) == image


def test_no_healthcheck_is_not_a_healthcheck(rig):
    assert not rig.build("FROM BASE\nHEALTHCHECK NONE\n").healthcheck


def test_the_output_names_steps_and_what_they_print(rig):
    rig.build(f"FROM BASE\nRUN echo out-{rig.tag}\n")
    assert "RUN echo" in rig.text
    assert f"\nout-{rig.tag}\n" in rig.text


def test_a_failing_step_is_named_with_code_and_last_lines(rig):
    with pytest.raises(BuildFailed) as caught:
        rig.build("FROM BASE\nRUN echo last words; exit 7\n")
    assert "RUN echo last words; exit 7" in caught.value.what
    assert "ended with exit code 7" in caught.value.what
    assert "\nlast words" in caught.value.hint
    with pytest.raises(NotFound):
        rig.images.inspect(rig.tag)


def test_a_bad_dockerfile_names_its_line(rig):
    with pytest.raises(BuildFailed, match="the Dockerfile has an error in line 2: unknown instruction: RUNN"):
        rig.build("FROM BASE\nRUNN echo\n")


def test_a_base_image_that_cannot_be_fetched_is_named(rig):
    with pytest.raises(BuildFailed, match="the base image registry.invalid/x/y:1 could not be fetched: its reg"):
        rig.build("FROM registry.invalid/x/y:1\nRUN true\n")


def test_the_dockerfile_may_be_elsewhere_or_missing(rig):
    image = rig.build("FROM nosuch\n", files={"sub/Other": rig.full('FROM BASE\nCMD ["x"]\n')}, dockerfile="sub/Other")
    assert image.command == ("x",)
    with pytest.raises(BuildFailed, match="no Dockerfile at the given path"):
        rig.build("FROM BASE\n", dockerfile="nosuch")


def test_cancelled_before_and_during(rig):
    with pytest.raises(Cancelled):
        rig.build("FROM BASE\nRUN echo x\n", cancelled=lambda: True)
    with pytest.raises(Cancelled):
        rig.build("FROM BASE\nRUN sleep 1000\n", cancelled=lambda: b"RUN sleep" in rig.out)
    with pytest.raises(NotFound):
        rig.images.inspect(rig.tag)


def test_what_the_context_raises_comes_out_as_it_is(rig):
    def broken():
        yield tar({"Dockerfile": rig.full("FROM BASE\n")})[:512]
        raise PushRefused("a bad tree timed out")

    with pytest.raises(PushRefused, match="a bad tree"):
        rig.build("", context=broken())


def test_the_same_source_gives_the_same_image(rig):
    first = rig.build('FROM BASE\nRUN echo 1\nCMD ["x"]\n')
    assert rig.build('FROM BASE\nRUN echo 1\nCMD ["x"]\n').digest == first.digest


def test_list_takes_every_label(rig):
    one = rig.build('FROM BASE\nCMD ["1"]\n', labels={"run": rig.tag, "n": "1"})
    rig.tag += "b"
    two = rig.build('FROM BASE\nCMD ["2"]\n', labels={"run": rig.tag[:-1], "n": "2"})
    assert {image.digest for image in rig.images.list({"run": rig.tag[:-1]})} == {one.digest, two.digest}
    assert rig.images.list({"run": rig.tag[:-1], "n": "2"}) == [two]
    assert rig.images.list({"run": "other"}) == []


def test_a_label_cannot_claim_another_server(rig):
    image = rig.build('FROM BASE\nCMD ["1"]\n', labels={"paas.server": "other", "run": rig.tag})
    assert dict(image.labels)["paas.server"] != "other"
    assert rig.images.list({"run": rig.tag}) == [image]


def test_remove_takes_all_tags_and_is_patient_with_the_unknown(rig):
    image = rig.build('FROM BASE\nCMD ["1"]\n')
    first, rig.tag = rig.tag, rig.tag + "b"
    assert rig.build('FROM BASE\nCMD ["1"]\n', labels={"build": first}).digest == image.digest
    rig.images.remove(image.digest)
    for name in (image.digest, first, rig.tag):
        with pytest.raises(NotFound):
            rig.images.inspect(name)
    rig.images.remove(image.digest)


def test_disk(rig):
    assert rig.images.free_bytes() > 10**6
    assert rig.images.prune_cache(10**15) == 0           # the engine is shared: nothing is over this


# only the real engine ---------------------------------------------------------------------------------------------


@pytest.mark.docker
@pytest.mark.parametrize("state", ["created", "exited"])
def test_an_image_in_use_is_not_removed_even_by_a_stopped_container(real, lab, state):
    image = real.build('FROM BASE\nCMD ["true"]\n')
    made = lab.api.create_container_from_config(
        {"Image": image.digest, "Entrypoint": ["echo"], "Labels": {"paas.server": lab.server}})
    if state == "exited":
        lab.api.start(made)
        lab.api.wait(made)
    with pytest.raises(Conflict, match="in use by the container"):
        real.images.remove(image.digest)
    assert real.images.inspect(real.tag).digest == image.digest
    lab.api.remove_container(made, force=True)
    real.images.remove(image.digest)
    with pytest.raises(NotFound):
        real.images.inspect(image.digest)


@pytest.mark.docker
def test_cached_steps_say_so(real):
    real.build("FROM BASE\nRUN echo one\n")
    real.build("FROM BASE\nRUN echo one\n")
    assert "CACHED" in real.text
    assert "\none\n" not in real.text
    real.build("FROM BASE\nRUN echo one\n", no_cache=True)
    assert "\none\n" in real.text


@pytest.mark.docker
def test_output_is_live(real):
    """The build goes on only when this side has seen the line before: cancelled by what it read."""
    seen = threading.Event()

    def hear(data: bytes) -> None:
        real.out += data
        if b"\nfirst\n" in real.out:
            seen.set()

    request = BuildRequest(tag=real.tag, labels={}, context=[tar(
        {"Dockerfile": real.full(f"FROM BASE\nRUN echo first; sleep 1000 # {real.tag}\n")})])
    with pytest.raises(Cancelled):
        real.images.build(request, hear, seen.is_set)
    assert seen.is_set()


@pytest.mark.docker
def test_cancelling_stops_the_build_in_the_engine(real, lab):
    mark = f"m{secrets.token_hex(6)}"
    with pytest.raises(Cancelled):
        real.build(f"FROM BASE\nRUN sh -c 'sleep 1000; : {mark}'\n", cancelled=lambda: b"RUN sh" in real.out and
                   running(mark))
    deadline = time.monotonic() + 20
    while running(mark):
        assert time.monotonic() < deadline, "the build step still runs"
        time.sleep(0.05)


def running(mark: str) -> bool:
    """A process of this machine has *mark* in its command line."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(mark.encode() in one.read_bytes())
        except OSError:
            continue
    return any(found)


@pytest.mark.docker
def test_cancelled_while_the_context_is_still_being_sent(real):
    sent = 0

    def endless():
        nonlocal sent
        yield tar({"Dockerfile": real.full("FROM BASE\n")})[:1024]
        while True:
            sent += 1
            time.sleep(0.01)
            yield b"\0" * 100_000

    with pytest.raises(Cancelled):
        real.build("", context=endless(), cancelled=lambda: sent > 10)


@pytest.mark.docker
def test_cancelled_while_the_context_hangs(real):
    asked, release = threading.Event(), threading.Event()

    def hanging():
        asked.set()
        release.wait(60)
        yield b""

    with pytest.raises(Cancelled):
        real.build("", context=hanging(), cancelled=asked.is_set)
    release.set()


@pytest.mark.docker
def test_a_secret_is_used_and_is_in_neither_image_nor_log(real, lab):
    image = real.build(
        "FROM BASE\n"
        "RUN --mount=type=secret,id=KEY,required=true cat /run/secrets/KEY; wc -c </run/secrets/KEY >/size"
        f" # {real.tag}\n",
        secrets={"KEY": Secret(SECRET)})
    assert SECRET not in real.text
    assert "[redacted]" in real.text
    assert SECRET not in json.dumps([lab.api.history(image.digest), lab.api.inspect_image(image.digest)])
    saved = b"".join(lab.api.get_image(image.digest))
    assert SECRET.encode() not in saved
    assert f"{len(SECRET)}\n".encode() in saved


@pytest.mark.docker
def test_a_secret_larger_than_the_first_window(real):
    value = secrets.token_hex(50_000)
    real.build(f"FROM BASE\nRUN --mount=type=secret,id=big wc -c </run/secrets/big # {real.tag}\n",
               secrets={"big": Secret(value)})
    assert "\n100000\n" in real.text


@pytest.mark.docker
def test_a_missing_secret_is_named(real):
    with pytest.raises(BuildFailed, match="needs the build secret KEY, which is not given"):
        real.build("FROM BASE\nRUN --mount=type=secret,id=KEY,required=true true\n")


@pytest.mark.docker
def test_the_classic_builder_refuses_secrets(classic):
    with pytest.raises(BuildFailed, match="no BuildKit") as caught:
        classic.build("FROM BASE\n", secrets={"KEY": Secret(SECRET)})
    assert "20.10" in caught.value.hint


@pytest.mark.docker
def test_a_cache_mount_keeps_its_files(real):
    mount = f"--mount=type=cache,target=/cache,id={real.tag}"
    real.build(f"FROM BASE\nRUN {mount} echo kept >/cache/f\n")
    real.build(f"FROM BASE\nRUN {mount} cat /cache/f; echo $((1+1))\n")
    assert "\nkept\n2\n" in real.text


@pytest.mark.docker
def test_build_arguments_arrive(real):
    real.build(f"FROM BASE\nARG WHO\nRUN echo \"<$WHO>\" # {real.tag}\n", arguments={"WHO": 'a "b" $c'})
    assert '<a "b" $c>' in real.text


@pytest.mark.docker
def test_links_and_long_names_of_the_context(real):
    long = "d" * 90 + "/" + "f" * 90
    real.build(f"FROM BASE\nCOPY . /src\nRUN readlink /src/link; cat /src/{long} # {real.tag}\n",
               files={long: b"deep\n"}, links={"link": "../outside"})
    assert "\n../outside\ndeep\n" in real.text


@pytest.mark.docker
def test_a_syntax_line_that_cannot_be_had_is_explained(real):
    with pytest.raises(BuildFailed, match=r"`# syntax=` line asks .* \(registry.invalid/f:1\)") as caught:
        real.build("# syntax=registry.invalid/f:1\nFROM BASE\n")
    assert "Remove that line" in caught.value.hint


@pytest.mark.docker
def test_a_foreign_frontend_by_build_argument_is_refused(real):
    with pytest.raises(BuildFailed, match="BUILDKIT_SYNTAX may name docker/dockerfile only, not attacker/image"):
        real.build("FROM BASE\n", arguments={"BUILDKIT_SYNTAX": "attacker/image"})


@pytest.mark.docker
@pytest.mark.parametrize("flag", ["--security=insecure", "--network=host", "--device=/dev/mem"])
def test_a_step_gets_no_more_rights_than_others(real, flag):
    """Refused by the parser of older engines, for lack of the entitlement by newer ones."""
    with pytest.raises(BuildFailed, match="(?i)unknown flag|not allowed|entitlement"):
        real.build(f"FROM BASE\nRUN {flag} echo {real.tag}\n")


@pytest.mark.docker
@pytest.mark.parametrize("path", ["/", "//"])
def test_an_image_that_hides_its_own_files(real, path):
    with pytest.raises(BuildFailed, match="VOLUME /"):
        real.build(f"FROM BASE\nVOLUME {path}\n")
    with pytest.raises(NotFound):
        real.images.inspect(real.tag)


@pytest.mark.docker
def test_a_build_that_fills_the_disk_is_stopped(real, monkeypatch):
    """Here "full" is 300 MB less than there is now. What the step wrote is given back."""
    before = real.images.free_bytes()
    monkeypatch.setattr(docker_room, "LEAST_FREE", before - 300 * 1024**2)
    with pytest.raises(NoSpace, match="left less than"):
        real.build(f"FROM BASE\nRUN i=0; while [ $i -lt 40 ]; do dd if=/dev/zero of=/f$i bs=1M count=50 2>/dev/null; "
                   f"i=$((i+1)); sleep 0.1; done; echo end-{real.tag}\n")
    assert f"\nend-{real.tag}\n" not in real.text
    deadline = time.monotonic() + 30
    while real.images.free_bytes() < before - 150 * 1024**2:
        assert time.monotonic() < deadline, "the space was not given back"
        time.sleep(0.1)


@pytest.mark.docker
def test_a_build_that_takes_all_memory_is_stopped(real, monkeypatch):
    """Here "all" is 400 MB less than there is now; dd holds a GB for as long as it runs."""
    monkeypatch.setattr(docker_room, "LEAST_MEMORY", docker_room.memory() - 400 * 1024**2)
    with pytest.raises(BuildFailed, match="ran out of memory"):
        real.build(f"FROM BASE\nRUN dd if=/dev/zero of=/dev/null bs=1000M count=1000; echo end-{real.tag}\n")
    assert f"\nend-{real.tag}\n" not in real.text


@pytest.mark.docker
def test_a_fork_bomb_is_stopped(real, monkeypatch):
    """A small one, for the sake of the machine; when it is over, all of its processes are gone."""
    monkeypatch.setattr(docker_room, "MOST_TASKS", 500)
    mark = secrets.randbelow(10**6) + 10**6
    with pytest.raises(BuildFailed, match="started more than 500 processes"):
        real.build(f"FROM BASE\nRUN i=0; while [ $i -lt 1500 ]; do sleep {mark} & i=$((i+1)); done; wait\n")
    deadline = time.monotonic() + 20
    while running(str(mark)):
        assert time.monotonic() < deadline, "its processes still run"
        time.sleep(0.1)


@pytest.mark.docker
def test_a_file_that_is_not_in_the_source(real):
    with pytest.raises(BuildFailed, match="COPY nothere /x: /nothere is not in the source"):
        real.build("FROM BASE\nCOPY nothere /x\n")


@pytest.mark.docker
def test_another_servers_images_are_not_seen(real, lab):
    real.build('FROM BASE\nCMD ["1"]\n')
    assert DockerImages(SOCKET, lab.server + "x", "ct").list({}) == []


# without an engine ------------------------------------------------------------------------------------------------


def test_a_dead_engine_is_named_and_the_way_out_too(tmp_path):
    images = DockerImages(tmp_path / "none.sock", "s", "p")
    request = BuildRequest(tag="t", labels={}, context=[b""])
    for ask in (images.free_bytes, lambda: images.inspect("x"), lambda: images.list({}), lambda: images.prune_cache(1),
                lambda: images.build(request, lambda data: None, lambda: False)):
        with pytest.raises(EngineError, match="Docker does not answer"):
            ask()


@pytest.mark.parametrize(("said", "step", "wanted"), [
    # Docker 28 and its BuildKit word these differently from 20.10.
    ("failed to solve: python:nope: failed to resolve source metadata for docker.io/library/python:nope: "
     "docker.io/library/python:nope: not found", "[internal] load metadata for docker.io/library/python:nope",
     "the base image python:nope could not be fetched: its registry has no such tag"),
    ("failed to solve: x/y: failed to resolve source metadata for docker.io/x/y:latest: pull access denied, repository "
     "does not exist or may require authorization", "[internal] load metadata for docker.io/x/y:latest",
     "the base image x/y:latest could not be fetched: there is no such image, or it needs a login"),
    ("failed to solve: failed to resolve source metadata for docker.io/docker/dockerfile:1: dial tcp: i/o timeout",
     "resolve image config for docker-image://docker.io/docker/dockerfile:1",
     "the Dockerfile's `# syntax=` line asks for a frontend image (docker/dockerfile:1) that cannot be fetched: "
     "its registry does not answer"),
    ('process "/bin/sh -c false" did not complete successfully: exit code: 137', "[2/2] RUN false",
     "step [2/2] RUN false ended with exit code 137 (killed, often for lack of memory)"),
    ("dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)", "",
     "the Dockerfile has an error in line 3: unknown instruction: RUNN (did you mean RUN?)"),
    ("write /var/lib/docker/x: no space left on device", "[2/2] RUN dd", "the build failed because the disk is full"),
    ("failed to mount /var/lib/docker/overlay2/abc: boom", "[2/2] RUN x",
     "the build failed in step [2/2] RUN x: failed to mount (engine's directory) boom"),
])
def test_explanations(said, step, wanted):
    assert explain(Failure(said, step, "", bool(step))).what == wanted


def test_a_masked_secret_may_be_cut_anywhere():
    text = f"a {SECRET} b {SECRET[:9]} c"
    for cut in range(len(text)):
        masker = Masker({"KEY": Secret(SECRET)})
        out = masker(text[:cut].encode()) + masker(text[cut:].encode()) + masker.rest()
        assert out.decode() == f"a [redacted] b {SECRET[:9]} c"


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\xff" * 20, b"\x0b"])
def test_a_broken_trace_is_an_error_and_no_hang(data):
    with pytest.raises(ValueError, match="protobuf"):
        list(fields(data))
