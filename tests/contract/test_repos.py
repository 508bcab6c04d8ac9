"""`Repos`: the fake and real git do the same."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from paas.adapters.git import GitRepos
from paas.ports_source import Quarantine
from paas.settings import Settings
from paas.testing.contract_repos import ReposContract
from paas.testing.fake_repos import Content, FakeRepos

ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


class FakeWorld:
    def __init__(self) -> None:
        self.repos = FakeRepos()
        self.commit = self.repos.commit
        self.push = self.repos.push
        self.lose = self.repos.lose

    def leave(self, app_id: int, age: float) -> None:
        self.repos.leftovers.setdefault(app_id, []).append(age)


class RealWorld:
    """Commits are made with `git fast-import`, in the repository or in a quarantine directory of it."""

    def __init__(self, root: Path, packed: bool) -> None:
        self.repos = GitRepos(Settings(state_dir=root, lib_dir=root / "lib", ssh_user="no-such-user"))
        self._limit = 1 if packed else 100
        self._count = 0

    def commit(self, app_id: int, files: Mapping[str, Content], subject: str = "", parent: str | None = None) -> str:
        return self._import(self.repos.ensure(app_id), {}, files, subject, parent)

    def push(self, app_id: int, files: Mapping[str, Content], subject: str = "",
             parent: str | None = None) -> tuple[str, Quarantine]:
        path = self.repos.ensure(app_id)
        place = path / "objects" / f"tmp_objdir-incoming-{secrets.token_hex(3)}"
        (place / "pack").mkdir(parents=True)
        environment = {"GIT_OBJECT_DIRECTORY": str(place), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(path / "objects")}
        return self._import(path, environment, files, subject, parent), Quarantine(place, (path / "objects",))

    def lose(self, quarantine: Quarantine) -> None:
        shutil.rmtree(quarantine.objects)

    def leave(self, app_id: int, age: float) -> None:
        left = self.repos.ensure(app_id) / "objects" / f"tmp_objdir-incoming-{secrets.token_hex(3)}"
        (left / "pack").mkdir(parents=True)
        os.utime(left, (time.time() - age,) * 2)

    def _import(self, path: Path, environment: dict[str, str], files: Mapping[str, Content], subject: str,
                parent: str | None) -> str:
        self._count += 1
        ref = f"refs/import/{self._count}"
        text = subject.encode()
        stream = [b"feature done\ncommit %s\ncommitter Ada <ada@example.com> %d +0000\ndata %d\n%s\n"
                  % (ref.encode(), 1700000000 + self._count, len(text), text)]
        stream += [b"from %s\n" % parent.encode() if parent else b"", b"deleteall\n"]
        for name, content in files.items():
            mode, data = (0o100644, content) if isinstance(content, bytes) else content
            if mode == 0o160000:
                stream.append(b"M %o %s %s\n" % (mode, data, name.encode()))
            else:
                stream.append(b"M %o inline %s\ndata %d\n%s\n" % (mode, name.encode(), len(data), data))
        run = ["git", "-c", f"fastimport.unpackLimit={self._limit}", f"--git-dir={path}"]
        environment = {**ENVIRONMENT, **environment}
        stream.append(b"done\n")
        subprocess.run([*run, "fast-import", "--quiet"], input=b"".join(stream), env=environment, check=True)
        sha = subprocess.run([*run, "rev-parse", ref], env=environment, check=True, capture_output=True, text=True)
        (path / ref).unlink()
        return sha.stdout.strip()


class TestFake(ReposContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()


class TestGitLoose(ReposContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> RealWorld:
        return RealWorld(tmp_path, packed=False)


class TestGitPacked(ReposContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> RealWorld:
        return RealWorld(tmp_path, packed=True)
