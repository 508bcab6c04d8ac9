"""Faults of the list X01 to X32 that no step of the matrix has: others at work meanwhile, limits, what lies about."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.contract.caddybox import free_port
from tests.e2e import state
from tests.e2e.recovery import ended, newest, start_push
from tests.e2e.world import SOURCE, Repo, World, run, until
from tests.faults import oracle
from tests.faults.harness import Lab
from tests.fixtures import apps

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.usefixtures("base_images"), pytest.mark.timeout(300)]
BEGUN = 3.0                              # seconds that a command gets to begin, or to say that it waits


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Its own world: commands meet its deploys half-way."""
    made = Lab()
    yield made
    made.close()


def paused_push(lab: Lab, repo: Repo, point: str) -> subprocess.Popen:
    """A push that stands still at *point* until the gate is opened."""
    reached = Path(f"{lab.gate}.reached")
    reached.unlink(missing_ok=True)
    lab.gate.touch()
    lab.world.failpoints(f"{point}=pause:{lab.gate}")
    push = start_push(repo)
    until(reached.exists, f"{point} is reached", 60)
    return push


def command(world: World, *words: str) -> subprocess.Popen:
    argv = [*world.ssh_argv(), world.remote("").rstrip(":"), " ".join(words)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def settled(lab: Lab) -> None:
    """Nothing is violated, after no more than one reconcile, and a second one finds nothing."""
    assert list(lab.recover()) == [], lab.world.daemon.tail()


def met(lab: Lab, repo: Repo, point: str, *verbs: tuple[str, ...]) -> None:
    """All of *verbs* at once while a deploy stands still: each is done in its turn, or refused in words."""
    push = paused_push(lab, repo, point)
    running = [command(lab.world, *words) for words in verbs]
    for one in running:
        try:
            one.wait(BEGUN)
        except subprocess.TimeoutExpired:
            continue                     # it waits for its turn
    lab.gate.unlink()
    ended(push)
    for one, words in zip(running, verbs, strict=True):
        said = one.communicate(timeout=100)[0].decode()
        assert one.returncode == 0 or " !     " in said, (words, said)
        assert "internal error" not in said, (words, said)
        assert "Traceback" not in said, (words, said)


@pytest.mark.parametrize("point", ["B1.after", "S4.after"])
def test_commands_during_a_deploy(lab, point):
    """X19: config, scale, domains, rollback, restart, backup."""
    repo = lab.repo
    repo.commit({oracle.TOKEN: f"commands at {point}"})
    met(lab, repo, point, ("config:set", repo.app, f"AT={point}"), ("ps:scale", repo.app, "web=2"),
        ("domains:add", repo.app, f"{point.lower()}.example.test"), ("rollback", repo.app),
        ("ps:restart", repo.app), ("redis:unlink", "cache", repo.app), ("builds:cancel", repo.app))
    settled(lab)
    lab.world.paas("ps:scale", repo.app, "web=1", check=True)
    lab.world.paas("redis:link", "cache", repo.app)
    repo.push()
    settled(lab)


@pytest.mark.parametrize("point", ["C3.before", "S3.after"])
def test_rename_and_destroy_during_a_deploy(lab, point):
    """X19: nothing is half renamed, nothing is left of what was destroyed."""
    repo = lab.world.app_repo(apps.web("one"))
    repo.push()
    repo.commit(apps.page("two"))
    met(lab, repo, point, ("apps:rename", repo.app, f"{repo.app}-new"))
    settled(lab)
    name = next(app for app in (repo.app, f"{repo.app}-new")
                if state.query(lab.world, "select id from apps where name = ?", app))
    repo.app = name
    repo.commit(apps.page("three"))
    met(lab, repo, point, ("apps:destroy", name, "--confirm", name))
    settled(lab)
    lab.world.paas("apps:destroy", name, "--confirm", name)
    assert lab.world.containers(name) == []
    settled(lab)


def test_pushes_at_once_to_one_app(lab):
    """X17: each pusher gets a verdict; live, the branch and the last accepted push are one."""
    repo = lab.world.app_repo(apps.web("start"))
    repo.push()
    others = []
    for number in range(4):
        path = repo.path.with_name(f"{repo.path.name}-{number}")
        run(["git", "clone", "--quiet", str(repo.path), str(path)], check=True)
        other = Repo(lab.world, path, repo.app)
        for name in ("user.name", "user.email"):
            other.git("config", name, "x@example.com")
        other.commit(apps.page(f"push {number}"))
        others.append(other)
    pushes = [start_push(other) for other in others]
    said = [ended(push) for push in pushes]
    accepted = [number for number, push in enumerate(pushes) if push.returncode == 0]
    assert len(accepted) == 1, said
    assert all("went live meanwhile" in said[number] for number in range(4) if number not in accepted)
    assert lab.world.get(repo.host).text == f"push {accepted[0]}"
    settled(lab)


def test_a_release_task_that_is_killed(lab):
    """X14: the old release serves, the run is recorded as one that failed, and it is not run again in silence."""
    repo = lab.world.app_repo({**apps.with_worker("one"), "Procfile": "web: httpd -f -p $PORT -h /app/www\n"})
    repo.push()
    repo.commit({**apps.page("two"), "Procfile": "web: httpd -f -p $PORT -h /app/www\nrelease: sleep 600\n"})
    push = start_push(repo)

    def task() -> list[dict]:
        return [one for one in lab.world.containers(repo.app) if one["Config"]["Labels"]["paas.kind"] == "task"
                and one["State"]["Running"]]

    until(task, "the task runs", 60)
    os.kill(task()[0]["State"]["Pid"], signal.SIGKILL)
    said = ended(push)
    assert push.returncode != 0
    assert "failed with exit code 137" in said
    assert lab.world.get(repo.host).text == "one"
    assert newest(lab.world, "task_runs", repo.app)["exit_code"] == 137
    settled(lab)


def test_another_program_holds_the_database(lab):
    """X12: changes fail as a whole and in words, reading goes on; afterwards the same works."""
    repo = lab.repo
    repo.commit({oracle.TOKEN: "behind the lock"})
    connection = sqlite3.connect(lab.place.state / "paas.db", isolation_level=None)
    try:
        connection.execute("begin immediate")
        refused, changed = repo.push(check=False), lab.world.paas("config:set", repo.app, "LOCKED=1")
        assert repo.app in lab.world.paas("apps:list", check=True).stdout
    finally:
        connection.execute("rollback")
        connection.close()
    for result in (refused, changed):
        assert result.returncode
        assert "Traceback" not in result.output
        assert "internal error" not in result.output
    assert "LOCKED" not in lab.world.paas("config", repo.app, check=True).stdout
    settled(lab)
    repo.push()
    assert lab.serving() == "behind the lock"
    settled(lab)


def test_the_authority_of_certificates_is_down(lab):
    """X23: HTTP is served as before, also of a new domain; deploys go on."""
    world = lab.world
    world.local("server:set", "acme-directory", f"https://127.0.0.1:{free_port()}/dir", check=True)
    world.local("server:set", "acme-email", "admin@example.com", check=True)
    try:
        repo = world.app_repo(apps.web("without a certificate"))
        repo.push()
        world.paas("domains:add", repo.app, "uncertified.example.test", check=True)
        for host in (repo.host, "uncertified.example.test"):
            assert world.get(host).text == "without a certificate"
        settled(lab)
    finally:
        for name in ("acme-directory", "acme-email"):
            world.local("server:set", name, "", check=True)


def test_a_lock_file_that_names_a_living_process(lab):
    """X30: a lock is flock(2), which dies with its holder; what the file says counts nothing."""
    lab.world.kill_daemon()
    (lab.place.state / "paasd.lock").write_text(f"{os.getpid()}\n")
    for repository in (lab.place.state / "repos").glob("*.git"):
        (repository / "gc.pid").write_text(f"{os.getpid()} localhost\n")
    lab.world.start_daemon()
    lab.repo.commit({oracle.TOKEN: "past the lock file"})
    lab.repo.push()
    assert lab.serving() == "past the lock file"
    settled(lab)


@contextmanager
def daemon_by(world: World, *argv: str) -> Iterator[None]:
    """Meanwhile the daemon is started by the program *argv*, which gets the daemon's own words behind."""
    world.daemon.stop()
    usual = world.daemon
    world.daemon = type(usual)(usual.name, [*argv, *usual.argv], usual.environment, usual.log)
    try:
        world.start_daemon()
        yield
    finally:
        world.daemon.stop()
        world.daemon = usual
        world.start_daemon()


def works(lab: Lab, token: str) -> None:
    """A push and a change, both recorded."""
    lab.repo.commit({oracle.TOKEN: token})
    lab.repo.push()
    assert lab.serving() == token
    before = len(state.query(lab.world, "select id from events where verb = 'config:set'"))
    lab.world.paas("config:set", lab.repo.app, f"TOKEN={token}", check=True)
    assert len(state.query(lab.world, "select id from events where verb = 'config:set'")) > before
    settled(lab)


def test_nothing_can_be_logged(lab):
    """X31: a standard output that takes nothing stops nothing, and no line of the audit is lost."""
    with daemon_by(lab.world, "/bin/sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh"):
        works(lab, "unlogged")


@pytest.mark.skipif(SOURCE.is_relative_to("/tmp"), reason="the program itself is beneath /tmp")
def test_tmp_is_full_and_runs_nothing(lab):
    """X31: the daemon needs no /tmp."""
    mount = "mount -t tmpfs -o size=4k,noexec none /tmp && ! head -c 8192 /dev/zero 2>/dev/null >/tmp/full"
    with daemon_by(lab.world, "/usr/bin/unshare", "--mount", "/bin/sh", "-c", f'{mount} && exec "$@"', "sh"):
        works(lab, "without-tmp")


@contextmanager
def at_most(pid: int, more: int) -> Iterator[None]:
    """No more than *more* further threads of a process, as ``TasksMax`` of its service does it: the pids controller."""
    first = Path("/sys/fs/cgroup/pids")
    if not first.is_dir():
        first = Path("/sys/fs/cgroup")
        (first / "cgroup.subtree_control").write_text("+pids")
    before = next(line.split(":")[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
                  if line.startswith("0::") or line.split(":")[1] == "pids")
    own = first / f"paas-threads-{pid}"
    own.mkdir()
    try:
        (own / "cgroup.procs").write_text(str(pid))
        (own / "pids.max").write_text(str(len(os.listdir(f"/proc/{pid}/task")) + more))
        yield
    finally:
        (own / "pids.max").write_text("max")
        (first / before.lstrip("/") / "cgroup.procs").write_text(str(pid))
        until(lambda: not (own / "cgroup.procs").read_text(), "the group is empty")
        own.rmdir()


def quiet(pid: int) -> bool:
    """As many threads as a second ago, and a daemon's usual number."""
    before = os.listdir(f"/proc/{pid}/task")
    time.sleep(1)
    return len(before) > 15 and before == os.listdir(f"/proc/{pid}/task")


@pytest.mark.parametrize("more", [0, 1, 3, 8])
def test_few_threads(lab, more):
    """X32: what needs a thread that the system does not give is refused; nothing waits for it for ever."""
    lab.repo.commit({oracle.TOKEN: f"{more} more threads"})
    until(lambda: quiet(lab.world.daemon.popen.pid), "the daemon has started all it starts")
    with at_most(lab.world.daemon.popen.pid, more):
        sessions = [command(lab.world, "ps", lab.repo.app) for _ in range(6)]
        push = start_push(lab.repo)
        said = [ended(push), *(one.communicate(timeout=60)[0].decode() for one in sessions)]
    assert "Traceback" not in "".join(said)
    if not more:
        assert [one for one in said if "no thread left" in one]
    lab.repo.push()
    assert lab.serving() == f"{more} more threads"
    settled(lab)


def test_few_file_descriptors(lab):
    """X32: what does not fit is refused, and afterwards everything works without a restart."""
    pid = str(lab.world.daemon.popen.pid)
    before = run(["prlimit", "--pid", pid, "--nofile", "--noheadings", "--output", "SOFT,HARD"], check=True).stdout
    lab.repo.commit({oracle.TOKEN: "few descriptors"})
    run(["prlimit", "--pid", pid, f"--nofile={len(os.listdir(f'/proc/{pid}/fd')) + 6}:"], check=True)
    try:
        sessions = [command(lab.world, "ps", lab.repo.app) for _ in range(12)]
        push = start_push(lab.repo)
        with suppress(subprocess.TimeoutExpired):
            push.wait(BEGUN)
    finally:
        run(["prlimit", "--pid", pid, f"--nofile={':'.join(before.split())}"], check=True)
    said = [ended(push), *(one.communicate(timeout=100)[0].decode() for one in sessions)]
    assert "Traceback" not in "".join(said)
    until(lambda: lab.world.local("version").returncode == 0, "paasd answers again")
    lab.repo.push()
    assert lab.serving() == "few descriptors"
    settled(lab)
