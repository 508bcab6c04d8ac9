"""An engine that takes a request and never answers: who asks is told, and waits no longer."""

import socket
import threading

import pytest

from paas.adapters import docker_events, docker_streams
from paas.adapters.docker_client import Engine
from paas.adapters.docker_events import DockerEvents
from paas.adapters.docker_streams import LogStream, hijack
from paas.errors import EngineError


class Api:
    api_version = "1.41"

    def inspect_container(self, container_id):
        return {"Config": {"Tty": False}, "State": {"Running": True}}


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """What is asked by docker-py is answered, streams are not."""
    for module in (docker_events, docker_streams):
        monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "engine"))
        listener.listen()
        made = Engine(tmp_path / "engine", "server1", "paas")
        made._api = Api()
        yield made


def logs(engine):
    list(LogStream(engine, "c1", tail=None, follow=False, since=None))


def followed_logs(engine):
    list(LogStream(engine, "c1", tail=None, follow=True, since=None))


def events(engine):
    follower = DockerEvents(engine.path, "server1")
    follower._engine = engine
    list(follower.follow(None, lambda: True))


def attached(engine):
    with docker_streams.asking("attach"):
        hijack(engine, "/attach", "attach")


@pytest.mark.parametrize("ask", [logs, followed_logs, events, attached])
def test_it_is_told(engine, ask):
    said = []

    def caught():
        try:
            ask(engine)
        except EngineError as error:
            said.append(error.what)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    thread.join(20)
    assert len(said) == 1
    assert "did not answer in time" in said[0]
