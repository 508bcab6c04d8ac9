"""New storage belongs to whoever the image runs as: what every Containers does, and what only a real engine shows."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from paas.adapters import docker_mounts
from paas.adapters.docker_containers import DockerContainers
from paas.ports import BindMount
from paas.testing.fake_containers import Behaviour
from tests.contract.container_rig import Rig
from tests.contract.docker_lab import BUSYBOX, SOCKET, TOOLS, tar

PASSWD = b"root:x:0:0::/:/bin/sh\nbroken line\napp:x:1234:1235::/:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:app\n"


class Images:
    """Real images whose only difference is ``USER`` and the files in /etc; removed at the end."""

    def __init__(self, lab) -> None:
        self.lab, self.made = lab, []

    def __call__(self, user: str, passwd: bytes = PASSWD, links: dict[str, str] | None = None,
                 files: dict[str, bytes] | None = None) -> str:
        links = links or {}
        held = {name: data for name, data in {"etc/passwd": passwd, "etc/group": GROUP, **(files or {})}.items()
                if name not in links}
        content = tar({"bin/busybox": BUSYBOX.read_bytes(), **held},
                      {**{f"bin/{tool}": "busybox" for tool in TOOLS}, **links})
        name = f"{self.lab.base}-u{len(self.made)}"
        self.lab.api.import_image_from_data(content, repository=name, tag="latest",
                                            changes=["ENV PATH=/bin", *([f"USER {user}"] if user else [])])
        self.made.append(name)
        return self.lab.api.inspect_image(name)["Id"]


@pytest.fixture
def images(lab):
    made = Images(lab)
    yield made
    lab.clean()
    for name in made.made:
        lab.api.remove_image(name, force=True)


@pytest.fixture
def storage():
    """Below /srv: where the engine's own view of the machine has it too."""
    path = Path(tempfile.mkdtemp(dir="/srv", prefix="ct-storage-"))
    yield path
    shutil.rmtree(path)


class FakeMounts:
    def __init__(self, storage: Path) -> None:
        from paas.testing.fake_containers import FakeContainers

        self.rig, self.storage = Rig(FakeContainers(prefix="ct"), "sha256:" + "1" * 64), storage

    def create(self, user: str, *mounts: BindMount) -> str:
        self.rig.containers.behave("kind=silent", Behaviour(user=user))
        return self.rig.containers.create(self.rig.spec("silent", mounts=mounts))

    def fill(self, mount: BindMount) -> None:
        self.rig.containers.used.add(mount.source)


class RealMounts:
    def __init__(self, rig: Rig, images: Images, storage: Path) -> None:
        self.rig, self.images, self.storage = rig, images, storage

    def create(self, user: str, *mounts: BindMount) -> str:
        return self.rig.containers.create(self.rig.spec("silent", image=self.images(user), mounts=mounts))

    def fill(self, mount: BindMount) -> None:
        (Path(mount.source) / "data").write_text("kept")


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
def scene(request, storage):
    return FakeMounts(storage) if request.param == "fake" else request.getfixturevalue("real_scene")


def remove_volumes(lab) -> None:
    lab.clean()
    for one in lab.api.volumes(filters={"name": "ct-volume-"})["Volumes"] or []:
        if one["Name"].startswith("ct-volume-77-"):
            lab.api.remove_volume(one["Name"])


def volume(scene, name: str = "data", **changes) -> BindMount:
    return BindMount(f"ct-volume-77-{scene.rig.tag}-{name}", "/srv/data", **changes)


def directory(scene, name: str = "one", target: str = "/one", **changes) -> BindMount:
    path = scene.storage / name
    path.mkdir(parents=True)
    return BindMount(str(path), target, **changes)


def give(scene, container: str) -> tuple[list[str], list[str]]:
    return scene.rig.containers.give_empty_mounts(container, scene.storage)


@pytest.mark.parametrize("user", ["1234", "app"])
def test_an_empty_volume_and_directory_are_given_once(scene, user):
    made = scene.create(user, volume(scene), directory(scene))
    assert give(scene, made) == (["/one", "/srv/data"], [])
    assert give(scene, made) == ([], [])


@pytest.mark.parametrize("user", ["", "0", "root", "0:0"])
def test_root_is_given_nothing(scene, user):
    assert give(scene, scene.create(user, volume(scene), directory(scene))) == ([], [])


def test_what_is_read_only_or_not_the_platforms_is_left(scene, tmp_path):
    outside = BindMount(str(tmp_path), "/outside")
    foreign = BindMount(f"ct-other-{scene.rig.tag}", "/foreign")
    assert give(scene, scene.create("1234", outside, directory(scene, read_only=True))) == ([], [])
    if isinstance(scene, FakeMounts):
        assert give(scene, scene.create("1234", foreign)) == ([], [])


def test_a_directory_that_holds_anything_is_left(scene):
    mount = directory(scene)
    scene.fill(mount)
    assert give(scene, scene.create("1234", mount)) == ([], [])


def test_a_user_that_the_image_does_not_know_is_a_line(scene):
    given, (line,) = give(scene, scene.create("ghost", volume(scene), directory(scene)))
    assert given == []
    assert "'ghost' is not in its /etc/passwd" in line
    assert "/one" in line
    assert "/srv/data" in line


# Real only


@pytest.fixture
def real_scene(lab, images, storage):
    yield RealMounts(Rig(DockerContainers(SOCKET, lab.server, "ct"), lab.digest), images, storage)
    remove_volumes(lab)


def owner(mount: BindMount) -> tuple[int, int, int]:
    found = os.stat(mount.source)
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def given_to(scene, image: str) -> tuple[int, int, int]:
    """Whose a new directory is after a container of *image*."""
    mount = directory(scene, f"d{len(list(scene.storage.iterdir()))}")
    made = scene.rig.containers.create(scene.rig.spec("silent", image=image, mounts=(mount,)))
    scene.rig.containers.give_empty_mounts(made, scene.storage)
    return owner(mount)


@pytest.mark.docker
@pytest.mark.parametrize(("user", "wanted"), [
    ("1000", (1000, 0)), ("1000:7", (1000, 7)), ("1234", (1234, 1235)), ("app", (1234, 1235)),
    ("app:staff", (1234, 50)), ("1000:staff", (1000, 50)), ("app:nobody", (0, 0)),
    ("ghost", (0, 0)), ("2147483647", (2147483647, 0)),
])
def test_owner_and_group_are_those_that_docker_runs_it_as(real_scene, user, wanted):
    image = real_scene.images(user)
    assert given_to(real_scene, image) == (*wanted, 0o755)


@pytest.mark.docker
def test_what_docker_runs_as_is_what_was_given(real_scene):
    """The engine itself is asked: a program of the image writes into both."""
    mounts = (volume(real_scene), directory(real_scene))
    image = real_scene.images("app:staff")
    containers = real_scene.rig.containers
    script = "echo 1 >/srv/data/f && echo 2 >/one/f"
    made = containers.create(real_scene.rig.spec("silent", image=image, mounts=mounts, command=("sh", "-c", script)))
    containers.give_empty_mounts(made, real_scene.storage)
    containers.start(made)
    said = [line.text.decode() for line in containers.logs(made, follow=True)]
    assert containers.wait(made) == 0, said
    found = (Path(mounts[1].source) / "f").stat()
    assert (found.st_uid, found.st_gid) == (1234, 50)


@pytest.mark.docker
def test_without_it_the_program_could_not_write(real_scene):
    mount = directory(real_scene)
    made = real_scene.rig.containers.create(real_scene.rig.spec(
        "silent", image=real_scene.images("app"), mounts=(mount,), command=("sh", "-c", "echo 2 >/one/f")))
    real_scene.rig.containers.start(made)
    assert real_scene.rig.containers.wait(made) != 0


@pytest.mark.docker
def test_a_link_is_never_followed(real_scene, tmp_path):
    """Also one in the middle, and one that appears when the container is there already."""
    scene, target = real_scene, Path(tempfile.mkdtemp(dir="/srv", prefix="ct-victim-"))
    try:
        (target / "sub").mkdir()
        one, two = directory(scene, "one"), directory(scene, "deep/sub", "/two")
        made = scene.create("1000", one, two)
        Path(one.source).rmdir()
        Path(one.source).symlink_to(target / "sub")
        shutil.rmtree(scene.storage / "deep")
        (scene.storage / "deep").symlink_to(target)
        given, refused = give(scene, made)
        assert given == []
        assert sorted(line.partition(":")[0] for line in refused) == ["/one", "/two"]
        assert all("symbolic link" in line for line in refused)
        assert (target / "sub").stat().st_uid == 0
    finally:
        shutil.rmtree(target)


@pytest.mark.docker
def test_a_path_that_leads_upwards_is_refused(real_scene):
    scene = real_scene
    mount = directory(scene)
    found = {"Type": "bind", "Source": f"{scene.storage}/one/../../x", "Destination": "/x", "RW": True}
    assert Path(mount.source).exists()
    with pytest.raises(OSError, match="upwards"):
        docker_mounts.open_own(found, scene.storage)


@pytest.mark.docker
def test_somebody_elses_stays(real_scene):
    mount = directory(real_scene)
    os.chown(mount.source, 4321, 4321)
    assert give(real_scene, real_scene.create("1000", mount)) == ([], [])
    assert owner(mount)[:2] == (4321, 4321)


@pytest.mark.docker
def test_a_directory_that_is_to_stay_roots_stays(real_scene):
    mount = directory(real_scene)
    os.setxattr(mount.source, docker_mounts.OWNER_MARK, b"0")
    assert give(real_scene, real_scene.create("1000", mount)) == ([], [])
    assert owner(mount)[:2] == (0, 0)


@pytest.mark.docker
def test_a_volume_of_another_name_is_left(real_scene, lab):
    foreign = BindMount(f"ct-other-{real_scene.rig.tag}", "/foreign")
    try:
        assert give(real_scene, real_scene.create("1000", foreign)) == ([], [])
    finally:
        lab.clean()
        lab.api.remove_volume(foreign.source)


@pytest.mark.docker
def test_accounts_are_read_within_bounds_and_inside_the_image(real_scene):
    """No image makes paasd read much, run anything, or read the server's own accounts."""
    huge = b"app:x:1234:1235::/:\n" + b"x" * (docker_mounts.ACCOUNT_BYTES + docker_mounts.TAR_BYTES)
    assert given_to(real_scene, real_scene.images("app", huge))[0] == 0
    inside = {"links": {"etc/passwd": "/lib/accounts"}, "files": {"lib/accounts": PASSWD}}
    assert given_to(real_scene, real_scene.images("app", **inside))[0] == 1234
    assert given_to(real_scene, real_scene.images("app", links={"etc/passwd": "/etc/passwd"}))[0] == 0
    assert given_to(real_scene, real_scene.images("app", links={"etc/passwd": "../../../srv"}))[0] == 0


@pytest.mark.parametrize("text", ["", "-1", "2147483648", "99999999999", "¹", "1 ", "0x1"])
def test_what_is_no_id(text):
    assert docker_mounts.number(text) is None


@pytest.mark.docker
def test_extra_hosts_reach_the_container(real_scene):
    containers = real_scene.rig.containers
    made = containers.create(real_scene.rig.spec("silent", command=("cat", "/etc/hosts"), **real_scene.rig.join(),
                                                 hosts=("db:10.0.0.5", "six:2001:db8::1")))
    containers.start(made)
    assert containers.wait(made) == 0
    lines = [line.text.split() for line in containers.logs(made)]
    assert [b"10.0.0.5", b"db"] in lines
    assert [b"2001:db8::1", b"six"] in lines
