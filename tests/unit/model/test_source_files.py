"""Procfile and app.json, as Heroku and Dokku read them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import PushRefused
from paas.model import appjson, procfile


def test_procfile():
    content = b"\xef\xbb\xbf# comment\r\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\r\n\r\nworker:  python -m w  \n"
    assert procfile.parse(content) == {"web": "gunicorn app:app --bind 0.0.0.0:$PORT", "worker": "python -m w"}


@pytest.mark.parametrize("content", [
    b"web gunicorn", b"../x: y", b"web.1: y", b"--privileged: y", b"web: a\nweb: b", b"Web: a", b": a", b"web:",
    b"web: " + b"x" * 70000, b"\n".join(b"t%d: x" % n for n in range(60))])
def test_procfile_refused(content):
    with pytest.raises(PushRefused):
        procfile.parse(content)


@given(st.binary(max_size=300))
def test_procfile_never_breaks(content):
    try:
        found = procfile.parse(content)
    except PushRefused:
        return
    assert all(kind.islower() for kind in found)


@pytest.mark.parametrize(("line", "shell"), [
    ("gunicorn app:app --bind :$PORT", "exec gunicorn app:app --bind :$PORT"),
    ("cd src && python app.py", "cd src && python app.py"),
    ("A=1 python app.py", "A=1 python app.py"),
    ("exec python app.py", "exec python app.py"),
    ("a; b", "a; b")])
def test_the_shell_steps_aside_for_one_program(line, shell):
    assert procfile.shell_command(line) == ("/bin/sh", "-c", shell)


def read(data: object) -> appjson.AppJson:
    return appjson.parse(json.dumps(data).encode())


def test_formation_is_read_and_unknown_keys_are_named():
    found = read({"formation": {"web": {"quantity": 2, "size": "eco"}}, "stack": "heroku-24"})
    assert found.quantities == {"web": 2}
    assert found.ignored == ("formation.web.size", "stack")


@pytest.mark.parametrize("content", [
    b"{", b"[]", b'{"a": 1, "a": 2}', b'{"healthchecks": []}', b'{"healthchecks": {"web": {}}}', b"[" * 100_000,
    b'{"healthchecks": {"web": [{"path": "up"}]}}', b'{"healthchecks": {"web": [{"timeout": "5"}]}}',
    b'{"formation": {"web": {"quantity": -1}}}', b'{"formation": {"web": 2}}', b'{"formation": {"../x": {}}}',
    b" " * 300_000])
def test_app_json_refused(content):
    with pytest.raises(PushRefused):
        appjson.parse(content)
