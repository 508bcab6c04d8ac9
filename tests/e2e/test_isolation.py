"""Apps side by side: addresses that stay, networks that do not reach each other, containers without needless rights."""

import json

import pytest

from tests.e2e import state
from tests.e2e.world import run, until
from tests.fixtures import apps

MANY = 60


def network_of(container):
    (name, found), = container["NetworkSettings"]["Networks"].items()
    return name, found["IPAddress"]


def web(text):
    """With a client in it that can resolve names (a static busybox cannot)."""
    command = "exec python -m http.server --directory /www $PORT"
    return {"Dockerfile": f"FROM python:3.11-slim\nCOPY www /www\nCMD {command}\n", **apps.page(text)}


@pytest.fixture(scope="module")
def pair(world):
    repos = [world.app_repo(web("first")), world.app_repo(web("second"))]
    for repo in repos:
        repo.push()
    return repos


def one(world, repo):
    state.come_to_rest(world)
    (found,) = world.containers(repo.app)
    return found


def test_apps_cannot_reach_each_other(world, pair):
    """By address, and by every name that Docker's resolver could know."""
    first, second = (one(world, repo) for repo in pair)
    addresses = [network_of(container)[1] for container in (first, second)]
    gateway = addresses[0].rpartition(".")[0] + ".1"
    assert fetched(first, f"http://{addresses[0]}:5000/").stdout == "first"
    for place in (f"{addresses[1]}:5000", f"{second['Name'].strip('/')}:5000", f"{pair[1].app}:5000",
                  f"{second['Config']['Hostname']}:5000", f"{gateway}:2019", f"{gateway}:2375"):
        assert fetched(first, f"http://{place}/").returncode != 0, place


def fetched(container, url):
    program = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=2).read().decode(), end='')"
    return run(["docker", "exec", container["Id"], "python", "-c", program], timeout=60)


def test_each_app_has_its_network_and_its_address_stays(world, pair):
    before = [network_of(one(world, repo)) for repo in pair]
    assert before[0][0] != before[1][0]
    run(["docker", "restart", "--time", "0", one(world, pair[0])["Id"]], check=True)
    assert [network_of(one(world, repo)) for repo in pair] == before
    assert world.get(pair[0].host).text == "first"


def test_started_in_another_order_each_answers_under_its_own_name(world, pair):
    containers = [one(world, repo)["Id"] for repo in pair]
    run(["docker", "stop", "--time", "0", *containers], check=True)
    for container in reversed(containers):
        run(["docker", "start", container], check=True)
    for repo, text in zip(pair, ("first", "second"), strict=True):
        until(lambda repo=repo: world.get(repo.host).status == 200, "it answers")
        assert world.get(repo.host).text == text


def test_a_container_has_no_more_than_it_needs(world, pair):
    world.paas("resource:limit", "--memory", "64m", "--cpu", "0.5", pair[0].app, check=True)
    world.paas("ps:rebuild", pair[0].app, check=True)
    found = one(world, pair[0])
    host = found["HostConfig"]
    assert "no-new-privileges" in " ".join(host["SecurityOpt"])
    assert host["CapDrop"] in (["ALL"], ["all"])
    given = {cap.removeprefix("CAP_") for cap in host["CapAdd"]}
    assert not given & {"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_MODULE", "MKNOD", "DAC_READ_SEARCH"}
    assert (host["Privileged"], host["NetworkMode"] != "host", host["PidMode"], host["IpcMode"]) == (
        False, True, "", "private")
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 * 2**20, 500_000_000, 512)
    assert host["LogConfig"]["Config"].keys() >= {"max-size", "max-file"}
    assert host["RestartPolicy"]["Name"] == "on-failure"
    assert host["Init"] is True
    assert not host["PortBindings"]
    assert not any("docker.sock" in json.dumps(mount) for mount in found["Mounts"])
    label = found["Config"]["Labels"]
    assert {"paas.app", "paas.release", "paas.process", "paas.server"} <= label.keys()
    # What the kernel says, not the engine.
    kernel = run(["docker", "exec", found["Id"], "cat", "/proc/1/status"], check=True).stdout
    assert "NoNewPrivs:\t1" in kernel


@pytest.mark.timeout(280)
def test_sixty_apps_on_one_engine(own_world):
    """Docker's own address pools end near 31 networks. All serve, each under its own name."""
    own_world.local("server:set", "max-builds", "2", check=True)
    for number in range(MANY):
        own_world.app_repo(apps.web(f"app {number}"), f"many-{number}").push()
    wrong = [number for number in range(MANY)
             if own_world.get(f"many-{number}.paas.test").text != f"app {number}"]
    assert wrong == []
    networks = {network_of(container)[0] for container in own_world.containers()}
    assert len(networks) == MANY
    assert "Nothing to repair." in own_world.local("reconcile", check=True).output
