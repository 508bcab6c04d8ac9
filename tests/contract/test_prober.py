"""The prober's contract over fake and real; then what only a real network can show."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import pytest

from paas.adapters.http import BODY_LIMIT, HttpProber
from paas.ports import Answer
from paas.testing.contract_prober import ProberContract
from paas.testing.fake_prober import REFUSED, FakeProber
from tests.contract.pems import self_signed


class Raw:
    """A server that says exactly these pieces, with pauses, and keeps what it was asked; with *tls* over that."""

    def __init__(self, *pieces: bytes, pause: float = 0.0, hold: float = 0.0,
                 tls: ssl.SSLContext | None = None) -> None:
        self.pieces, self.pause, self.hold, self.tls, self.asked = pieces, pause, hold, tls, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.at = self.listener.getsockname()
        self.ended = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with contextlib.suppress(OSError), self.secured(connection) as stream:
                    self.asked = stream.recv(65536)
                    for piece in self.pieces:
                        stream.sendall(piece)
                        self.ended.wait(self.pause)
                    self.ended.wait(self.hold)

    def secured(self, connection: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(connection, server_side=True) if self.tls else connection

    def close(self) -> None:
        self.ended.set()
        self.listener.close()


@pytest.fixture
def raw():
    made = []

    def make(*pieces: bytes, **how: float) -> Raw:
        made.append(Raw(*pieces, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answer(status: int, body: bytes = b"", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


def server_context(directory: Path) -> ssl.SSLContext:
    """With a certificate of its own making, for another name."""
    chain, key = self_signed("elsewhere.test")
    (directory / "own.pem").write_text(chain + key.reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "own.pem")
    return context


@pytest.fixture
def tls(tmp_path) -> ssl.SSLContext:
    return server_context(tmp_path)


class TestHttpProber(ProberContract):
    @pytest.fixture
    def world(self, raw, tls):
        class World:
            prober = HttpProber()
            serving = staticmethod(lambda status, body=b"": raw(answer(status, body)).at)
            serving_tls = staticmethod(lambda status, body=b"": raw(answer(status, body), tls=tls).at)
            nobody = staticmethod(lambda: ("127.0.0.1", free_port()))
        return World()


class TestFakeProber(ProberContract):
    @pytest.fixture
    def world(self):
        class World:
            def __init__(self) -> None:
                self.prober = FakeProber()
                self.prober.default = REFUSED

            def serving(self, status: int, body: bytes = b"") -> tuple[str, int]:
                self.prober.answers[status] = Answer(status, body=body)
                return "192.0.2.1", status

            def serving_tls(self, status: int, body: bytes = b"") -> tuple[str, int]:
                self.prober.answers[8000 + status] = Answer(status, body=body)
                self.prober.secure.add(8000 + status)
                return "192.0.2.1", 8000 + status

            def nobody(self) -> tuple[str, int]:
                return "192.0.2.1", 9
        return World()


def get(server: Raw, timeout: float = 5.0, path: str = "/") -> Answer:
    return HttpProber().get(*server.at, path, "shop.test", timeout)


def test_the_request_is_a_visitors(raw):
    server = raw(answer(200, b"hello"))
    assert get(server, path="/health?x=1").body == b"hello"
    assert server.asked.startswith(b"GET /health?x=1 HTTP/1.1\r\nHost: shop.test\r\n")


def asked_with(raw, *headers: tuple[str, str]) -> bytes:
    server = raw(answer(200))
    assert HttpProber().get(*server.at, "/", "shop.test", 5, headers).status == 200
    return server.asked


def test_headers_of_the_caller_are_sent(raw):
    head = asked_with(raw, ("X-Forwarded-Proto", "https"), ("X-Empty", ""))
    assert head.count(b"\r\nHost: shop.test\r\n") == 1
    assert b"\r\nX-Forwarded-Proto: https\r\nX-Empty: \r\n\r\n" in head


def test_a_header_of_the_caller_takes_the_place_of_the_platforms(raw):
    head = asked_with(raw, ("host", "other.test"), ("User-Agent", "probe/1")).lower()
    assert (head.count(b"\r\nhost: "), head.count(b"\r\nuser-agent: ")) == (1, 1)
    assert b"\r\nhost: other.test\r\nuser-agent: probe/1\r\n" in head


@pytest.mark.parametrize("field", [("X\r\nY", "1"), ("X Y", "1"), ("X", "1\r\nY: 2"), ("X", "1\n"), ("X", "\0")])
def test_a_header_never_begins_another(raw, field):
    server = raw(answer(200))
    seen = HttpProber().get(*server.at, "/", "shop.test", 5, [field])
    assert seen.status == 0
    assert "control character" in seen.error
    assert server.asked == b""


def test_a_wanted_body_is_waited_for(raw, monkeypatch):
    """Its second half comes later than anybody waits for a body that nobody wants."""
    monkeypatch.setattr("paas.adapters.http.BODY_PATIENCE", 0.1)
    server = raw(answer(200, b"x" * 200_000)[:-1000], b"x" * 1000, pause=0.5)
    assert len(HttpProber().get(*server.at, "/", "shop.test", 60, (), 1024**2).body) == 200_000


def test_the_last_chunk_ends_the_answer_without_a_close(raw):
    server = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", hold=600)
    assert HttpProber().get(*server.at, "/", "shop.test", 600, (), 1024**2).body == b"abc"


def test_redirects_are_shown_not_followed(raw):
    seen = get(raw(answer(301, extra=b"Location: http://127.0.0.1:9/login\r\n")))
    assert (seen.status, seen.location) == (301, "http://127.0.0.1:9/login")


def test_an_answer_is_complete_without_a_close(raw, monkeypatch):
    """A server that ignores `Connection: close` does not cost the whole timeout (here: the test's own would end it)."""
    monkeypatch.setattr("paas.adapters.http.BODY_PATIENCE", 600)
    assert get(raw(answer(200, b"ok"), hold=600), timeout=600).body == b"ok"


def test_the_body_is_capped(raw):
    assert len(get(raw(answer(200, b"x" * 3_000_000))).body) == BODY_LIMIT


def test_a_body_that_never_ends_still_has_a_status(raw):
    seen = get(raw(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n", hold=20))
    assert (seen.status, seen.body) == (200, b"data: 1\n\n")


def test_chunks_are_joined_even_when_cut(raw):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert get(raw(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).body == b"abcde"
    assert get(raw(head + b"3\r\nabc\r\n9\r\nde")).body.startswith(b"abc")


@pytest.mark.parametrize(("pieces", "how", "error"), [
    ([], {"hold": 20}, "no answer within 0.3 s"),
    ([b"H"] * 100, {"pause": 0.05}, "no answer within 0.3 s"),
    ([b"SSH-2.0-OpenSSH_9.2\r\n"], {}, "not an HTTP answer"),
    ([b"220 mail ESMTP\r\n\r\n"], {}, "not an HTTP answer"),
    ([b"HTTP/1.1 2"], {}, "not an HTTP answer"),
    ([], {}, "closed without an answer"),
])
def test_what_is_no_answer_is_told_in_words(raw, pieces, how, error):
    assert get(raw(*pieces, **how), timeout=0.3) == Answer(0, error)


def test_bad_words_never_raise():
    for path, host, address in (("/a\r\nX: y", "h", "127.0.0.1"), ("/", "h\nX: y", "127.0.0.1"),
                                ("/", "h", "no address")):
        seen = HttpProber().get(address, free_port(), path, host, 1)
        assert seen.status == 0
        assert seen.error


# Over TLS


@pytest.mark.parametrize(("host", "headers", "named"), [
    ("shop.test", (), "shop.test"), ("shop.test.", (), "shop.test"), ("192.0.2.7", (), None), ("", (), None),
    ("shop.test", [("host", "other.test:8443")], "other.test"), ("a_b.test", (), "a_b.test"),
    ("shop.test", [("Host", "[::1]:80")], None), ("x" * 64 + ".test", (), None), (".test", (), None)])
def test_the_name_in_sni_is_that_of_the_host_field(raw, tls, host, headers, named):
    names = []
    tls.sni_callback = lambda sock, name, context: names.append(name)
    assert HttpProber().get(*raw(answer(200), tls=tls).at, "/", host, 20, headers, None, True).status == 200
    assert names == [named]


def test_the_host_field_is_sent_over_tls_as_it_is_without(raw, tls):
    server = raw(answer(200), tls=tls)
    HttpProber().get(*server.at, "/up", "shop.test", 20, (), None, True)
    assert server.asked.startswith(b"GET /up HTTP/1.1\r\nHost: shop.test\r\n")


def test_a_body_longer_than_a_record_comes_whole(raw, tls):
    server = raw(answer(200, b"x" * 200_000 + b"ready"), tls=tls)
    assert HttpProber().get(*server.at, "/", "h", 60, (), 1024**2, True).body.endswith(b"ready")


def test_a_handshake_that_is_never_answered_ends_in_time(raw):
    seen = HttpProber().get(*raw(hold=600).at, "/", "h", 0.3, (), None, True)
    assert seen == Answer(0, "no answer within 0.3 s")


def test_a_handshake_that_is_cut_is_told_in_words(raw):
    seen = HttpProber().get(*raw().at, "/", "h", 20, (), None, True)
    assert seen.status == 0
    assert seen.error in ("closed without an answer", "connection reset")


def test_a_server_that_wants_what_the_prober_has_not_is_told_in_words(raw, tmp_path):
    """An alert of TLS itself, of RFC 8446 section 6.2."""
    odd = server_context(tmp_path)
    odd.maximum_version = ssl.TLSVersion.TLSv1_2
    odd.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")               # its key is no RSA key
    seen = HttpProber().get(*raw(tls=odd).at, "/", "h", 20, (), None, True)
    assert (seen.status, seen.error.startswith("TLS failed: "), "handshake failure" in seen.error) == (0, True, True)
