"""Base images from a registry that wants a token, as Docker Hub does: a tiny one on loopback (insecure by default)."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import secrets
import threading

import pytest

from paas.adapters.docker_images import DockerImages
from paas.errors import BuildFailed
from paas.ports import BuildRequest
from tests.contract.docker_lab import SOCKET, open_lab, tar

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
pytestmark = pytest.mark.docker


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry(http.server.ThreadingHTTPServer):
    """One image, any name, tag "1", content new at each start; only for the bearer of the anonymous token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        layer = tar({"file": secrets.token_hex().encode()})
        packed = gzip.compress(layer, mtime=0)
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                       "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(packed), "digest": digest(packed)}]}).encode()
        self.blobs = {digest(config): config, digest(packed): packed}
        self.paths: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, *args) -> None:
        return

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        last = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/token"):
            self.answer(200, b'{"token": "anonymous"}', {})
        elif self.headers.get("Authorization") != "Bearer anonymous" or "/private/" in self.path:
            realm = f'Bearer realm="http://{self.server.host}/token",service="test"'
            self.answer(401, b"", {"WWW-Authenticate": realm})
        elif "/blobs/" in self.path:
            self.answer(200, self.server.blobs[last], {})
        elif last in ("1", digest(self.server.manifest)):
            self.answer(200, self.server.manifest,
                        {"Content-Type": MANIFEST, "Docker-Content-Digest": digest(self.server.manifest)})
        else:
            self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}', {})

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def lab():
    yield from open_lab()


@pytest.fixture
def registry():
    server = Registry()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def build(lab, text: str):
    context = [tar({"Dockerfile": text.encode()})]
    request = BuildRequest(tag=f"ct-build-{secrets.token_hex(4)}", labels={}, context=context)
    return DockerImages(SOCKET, lab.server, "ct").build(request, lambda data: None, lambda: False)


def test_a_public_image_is_fetched_with_an_anonymous_token(lab, registry):
    image = build(lab, f'FROM {registry.host}/team/base:1\nCMD ["x"]\n')
    assert image.command == ("x",)
    assert any(path.startswith("/token") for path in registry.paths)
    assert any("/blobs/" in path for path in registry.paths)


def test_a_private_image_is_named_with_the_reason(lab, registry):
    with pytest.raises(BuildFailed) as caught:
        build(lab, f"FROM {registry.host}/private/base:1\n")
    assert caught.value.what == (f"the base image {registry.host}/private/base:1 could not be fetched: "
                                 "there is no such image, or it needs a login")


def test_a_missing_tag_is_named_with_the_reason(lab, registry):
    with pytest.raises(BuildFailed) as caught:
        build(lab, f"FROM {registry.host}/team/base:2\n")
    said, reason = caught.value.what.split(": ")
    assert said == f"the base image {registry.host}/team/base:2 could not be fetched"
    # BuildKit sometimes asks for a login first, and then tells only of that.
    assert reason in ("its registry has no such tag", "there is no such image, or it needs a login")
