"""Events as lines of the machine's log."""

import re
import socket
from datetime import UTC, datetime

import pytest

from paas.adapters.syslog import Syslog, line
from paas.model.access import Event

EVENT = Event(7, datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC), "ann laptop", "config:set", "blog", "refused",
              {"user": "ann", "key": "SHA256:abc+/=", "address": "192.0.2.7", "words": "blog A=geheim"}, "0" * 64)


@pytest.fixture
def log(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(5)
        yield sock


def pairs(text):
    """logfmt, read."""
    found = re.findall(r'([a-z]+)=("(?:[^"\\]|\\.)*"|\S*)', text)
    return {key: re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value for key, value in found}


def test_one_line_with_everything_but_the_words(tmp_path, log):
    Syslog(tmp_path / "log").tell(EVENT)
    text = log.recv(65536).decode()
    assert re.match(r"<85>paas\[\d+\]: audit id=7 at=2026-01-02T03:04:05\.678Z actor=\"ann laptop\" user=ann ", text)
    assert pairs(text) == {
        "id": "7", "at": "2026-01-02T03:04:05.678Z", "actor": "ann laptop", "user": "ann", "key": "SHA256:abc+/=",
        "address": "192.0.2.7", "verb": "config:set", "object": "blog", "result": "refused", "hash": "0" * 64}
    assert "geheim" not in text


@pytest.mark.parametrize("name", ["a\nb", "x id=9 result=ok", 'a"b', "a\\", "\x1b[2J", "é", "\udcff", "a\u2028b",
                                  "a" * 9000])
def test_no_name_makes_another_line_or_another_field(name):
    text = line(Event(1, EVENT.at, name, "a", name, "ok", {"address": name}))
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 2000
    assert list(pairs(text)) == ["id", "at", "actor", "address", "verb", "object", "result"]
    assert pairs(text)["result"] == "ok"


def test_a_log_that_is_not_there_or_full_is_no_error(tmp_path, log):
    Syslog(tmp_path / "none").tell(EVENT)
    for _ in range(2000):                # far more than a datagram socket holds, and nobody reads
        Syslog(tmp_path / "log").tell(EVENT)
    assert log.recv(65536).startswith(b"<85>paas")
