"""Events of the real daemon, as lines of the machine's log."""

import json
import os
import re
import socket
import tempfile

import pytest

from tests.e2e.world import World


@pytest.fixture(scope="module")
def log():
    with tempfile.TemporaryDirectory() as home, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(os.path.join(home, "log"))
        sock.settimeout(20)
        yield sock


@pytest.fixture(scope="module")
def heard(log):
    opened = World.open(syslog=log.getsockname())
    yield opened
    opened.close()


def next_line(log, verb):
    while True:
        text = log.recv(65536).decode()
        if f"verb={verb} " in text:
            return dict(re.findall(r"(\w+)=(\S+)", text)), text


def test_a_command_over_ssh_is_a_line_with_the_hash_of_its_event(heard, log):
    heard.paas("apps:create", "blog", check=True)
    heard.paas("config:set", "blog", "TOKEN=geheim", check=True)
    line, text = next_line(log, "config:set")
    (event,) = json.loads(heard.paas("events", "-n", "1", "--format", "json", check=True).stdout)
    assert text.startswith("<86>paas[")
    for field in ("actor", "user", "key", "address", "verb", "object", "result", "hash"):
        assert line[field] == event[field], field
    assert (event["actor"], event["object"], event["address"]) == ("admin", "blog", "127.0.0.1")
    assert "geheim" not in text


def test_a_refused_command_is_a_line_too(heard, log):
    heard.paas("domains:add", "blog", "not a domain")
    assert next_line(log, "domains:add")[0]["result"] in ("refused", "failed")


def test_commands_go_on_without_a_log(heard, log):
    os.unlink(log.getsockname())
    heard.paas("config:set", "blog", "A=1", check=True)
