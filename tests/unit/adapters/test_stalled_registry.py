"""A registry that begins to answer and stalls: the engine says nothing more, and whoever wants the image is told."""

import socket
import threading

import pytest

from paas.adapters import docker_images
from paas.adapters.docker_images import DockerImages
from paas.errors import EngineError

VERSION = b'{"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10"}'
NONE = b'{"message": "No such image"}'
PROGRESS = b'{"status": "Downloading", "id": "abc"}\r\n'


def whole(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def answer(request: bytes) -> bytes:
    if b"/version" in request:
        return whole(b"200 OK", VERSION)
    if b"/images/create" in request:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(PROGRESS), PROGRESS)
    return whole(b"404 Not Found", NONE)


def serve(connection: socket.socket) -> None:
    with connection:
        while request := connection.recv(65536):
            connection.sendall(answer(request))


@pytest.fixture
def engine(tmp_path):
    """An engine of which no pull comes to its end."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "engine"))
    listener.listen()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield tmp_path / "engine"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_it_is_told(engine, monkeypatch):
    monkeypatch.setattr(docker_images, "PULL_IDLE", 0.2)
    said = []

    def caught():
        try:
            DockerImages(engine, "server1", "paas").fetch("postgres:17", said.append)
        except EngineError as error:
            said.append(error.what)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    thread.join(30)
    assert said == ["Fetching postgres:17", "Docker did not answer in time and could not fetch the image postgres:17"]
