"""E03, E04, E08: what a container can reach besides the internet, and what of the server can be reached from outside.

The rules are set for this world's network pool only, and taken away again.
"""

import http.server
import secrets
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from paas.adapters import firewall
from tests.e2e import state
from tests.e2e.world import run, until
from tests.fixtures import apps

METADATA = "169.254.169.254"
ANSWER = "import http.server as h; h.HTTPServer(('%s', 80), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest.fixture(scope="module")
def inside(world):
    """The container of an app, and the server's address in its network."""
    command = "exec python -m http.server --directory /www $PORT"
    repo = world.app_repo({"Dockerfile": f"FROM python:3.11-slim\nCOPY www /www\nCMD {command}\n", **apps.page("in")})
    repo.push()
    state.come_to_rest(world)
    (container,) = world.containers(repo.app)
    (network,) = container["NetworkSettings"]["Networks"].values()
    return repo, container["Id"], network["Gateway"]


def reaches(container, address, port) -> bool:
    program = f"import socket; socket.create_connection(({address!r}, {port}), timeout=3)"
    return run(["docker", "exec", container, "python", "-c", program], timeout=60).returncode == 0


@pytest.fixture
def service():
    """Something of the server that listens on every address."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def metadata():
    """A cloud's metadata service: another machine, at the well-known address, that answers."""
    mark = secrets.token_hex(3)
    space, here, there = f"md-{mark}", f"mh{mark}", f"mt{mark}"
    steps = [["netns", "add", space], ["link", "add", here, "type", "veth", "peer", "name", there, "netns", space],
             ["address", "add", "169.254.1.1/32", "dev", here], ["link", "set", here, "up"],
             ["route", "add", f"{METADATA}/32", "dev", here, "src", "169.254.1.1"],
             ["-n", space, "address", "add", f"{METADATA}/32", "dev", there],
             ["-n", space, "link", "set", there, "up"], ["-n", space, "link", "set", "lo", "up"],
             ["-n", space, "route", "add", "169.254.1.1/32", "dev", there]]
    process = None
    try:
        for step in steps:
            run(["ip", *step], check=True)
        process = subprocess.Popen(["ip", "netns", "exec", space, "/usr/bin/python3", "-c", ANSWER % METADATA],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield
    finally:
        if process:
            process.kill()
            process.wait()
        run(["ip", "link", "delete", here])
        run(["ip", "netns", "delete", space])


@pytest.fixture
def rules(world):
    yield lambda: firewall.apply(world.settings)
    firewall.remove(world.settings)


def test_e04_the_server_and_the_metadata_are_out_of_reach(world, inside, service, metadata, rules):
    repo, container, gateway = inside
    # Without the rules all of it is reached: what follows could fail.
    until(lambda: reaches(container, METADATA, 80), "the metadata service answers")
    assert reaches(container, gateway, service)
    rules()
    rules()                                          # a second time changes nothing
    assert not reaches(container, METADATA, 80)
    assert not reaches(container, gateway, service)
    assert not reaches(container, gateway, world.settings.ssh_port)
    for address in run(["hostname", "--all-ip-addresses"]).stdout.split():
        assert ":" in address or not reaches(container, address, service), address
    assert world.get(repo.host).text == "in"         # the proxy reaches the app, and the app the proxy's ports
    assert run(["curl", "--silent", "--max-time", "5", f"http://{gateway}:{service}/"]).returncode == 0
    listed = run(["iptables", "--wait", "--list-rules"]).stdout
    host, out = firewall.chains(world.settings)
    assert [listed.count(f"-j {host}\n"), listed.count(f"-j {out}\n")] == [1, 2]
    firewall.remove(world.settings)
    assert host not in run(["iptables", "--wait", "--list-rules"]).stdout
    assert reaches(container, gateway, service)


def test_e04_ports_that_are_named_stay_open(world, inside, service, rules):
    _, container, gateway = inside
    firewall.apply(replace(world.settings, host_ports=f"1, {service}"))
    assert reaches(container, gateway, service)
    rules()
    assert not reaches(container, gateway, service)


def test_e04_the_admin_sockets_are_no_ports(world, inside):
    """Docker, the proxy's admin and the daemon listen on Unix sockets, which no container has."""
    _, container, gateway = inside
    for port in (2019, 2375, 2376):
        assert not reaches(container, gateway, port)
    found = run(["docker", "exec", container, "find", "/run", "/var/run/", "-type", "s"]).stdout
    assert found == ""


def test_e08_nothing_of_an_app_or_a_datastore_listens_on_the_server(world, inside):
    for container in world.containers():
        bindings = (one for ports in (container["HostConfig"]["PortBindings"] or {}).values() for one in ports)
        assert {one["HostIp"] for one in bindings} <= {"127.0.0.1"}, container["Name"]      # an exposed datastore
        assert not container["HostConfig"]["PublishAllPorts"]
        assert container["HostConfig"]["NetworkMode"] != "host"


def test_the_users_of_the_platform_may_not_speak_to_docker(world):
    """Whoever may open Docker's socket is root: neither the SSH user nor the proxy's is of its group."""
    for user in (world.settings.ssh_user, world.settings.proxy_user):
        groups = run(["id", "--name", "--groups", user], check=True).stdout.split()
        assert not {"docker", "sudo", "root", "wheel", "adm"} & set(groups)
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(world.settings.docker_socket)!r})"
        tried = run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "/usr/bin/python3", "-c", program])
        assert "PermissionError" in tried.stderr
        for path in (world.settings.database, world.settings.master_key):
            assert run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "cat", str(path)]).returncode != 0
    assert "paas" not in (line.rpartition(":")[2] for line in Path("/etc/group").read_text().splitlines()
                          if line.startswith("docker:"))
