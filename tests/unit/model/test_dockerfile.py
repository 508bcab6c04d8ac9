"""D05: which image may read a Dockerfile."""

import pytest

from paas.model.dockerfile import foreign_frontend

BODY = b"FROM busybox\nRUN true\n"


@pytest.mark.parametrize("head", [
    b"# syntax=%s\n", b"#syntax=%s\n", b"  #  SYNTAX = %s  \r\n", b"# escape=`\n# syntax=%s\n",
    b"\xef\xbb\xbf# syntax=%s\n",
    b"#!/usr/bin/env x\n# syntax=%s\n", b"// syntax=%s\n", b"\n\n# syntax=%s\n",
    b"# syntax=docker/dockerfile:1\n# syntax=%s\n"])
@pytest.mark.parametrize("image", [
    b"attacker/image", b"docker/dockerfile.evil.example/x", b"evil.example/docker/dockerfile:1", b"docker/dockerfiles",
    b"docker/dockerfile:1/../../x", b"library/docker/dockerfile", b"docker.io.evil.example/docker/dockerfile"])
def test_foreign(head, image):
    assert foreign_frontend(head % image + BODY) == image.decode()


def test_json_in_place_of_a_dockerfile():
    assert foreign_frontend(b' {"syntax": "attacker/image"}\n' + BODY)


@pytest.mark.parametrize("content", [
    BODY, b"", b"# syntax=docker/dockerfile:1\n" + BODY, b"# syntax=docker.io/docker/dockerfile:1.7-labs\n" + BODY,
    b"# syntax=docker/dockerfile:1@sha256:" + b"a" * 64 + b"\n" + BODY,
    b"# syntax=docker/dockerfile-upstream:master\n" + BODY,
    b"# the syntax=attacker/image of old\n" + BODY, BODY + b"# syntax=attacker/image\n",
    b"\xff\xfe\n" + BODY])
def test_docker_s_own_or_none(content):
    assert foreign_frontend(content) == ""
