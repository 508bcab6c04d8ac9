"""Messages over real connections: to a local web server and a local mail server."""

import base64
import email
import email.policy
import hashlib
import hmac
import socket
import ssl

import pytest

from paas.adapters import email as mailer
from paas.adapters import http_notify
from paas.adapters.messengers import Messengers
from paas.errors import BadInput, PaasError
from paas.model.channel import channel_name, mail_address, web_address
from paas.model.incident import Address, ChannelType
from paas.model.message import Message
from paas.secret import Secret
from paas.testing.fake_messengers import FakeMessengers
from tests.contract.pems import self_signed
from tests.fixtures.hooks import Hook, Mail, server_tls

SLACK, DISCORD, NTFY, WEBHOOK, EMAIL = ChannelType
MESSAGE = Message("srv-7-opened", "[srv] hello: app-down", ("hello is <down> & out", "Server: srv"),
                  words={"event": "opened", "app": "hello"})


@pytest.fixture
def hook():
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """For localhost, and trusted by this process."""
    certificate, key = self_signed("localhost")
    context = server_tls(tmp_path, certificate, key.reveal())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


def send(type, url, secret="", message=MESSAGE):
    return Messengers().send(type, Address(Secret(url), Secret(secret)), message)


# The port, over the real thing and the fake


@pytest.fixture(params=["real", "fake"])
def both(request, hook):
    """(a Messengers, a URL that takes everything, one where nobody listens)"""
    if request.param == "real":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return Messengers(), hook.url(), f"http://127.0.0.1:{port}/hook"
    fake = FakeMessengers()
    fake.down.add("http://gone/")
    return fake, "http://there/", "http://gone/"


def test_what_was_taken_has_an_answer_and_what_was_not_an_error(both):
    messengers, good, gone = both
    assert messengers.send(WEBHOOK, Address(Secret(good)), MESSAGE) == "200 ok"
    messengers.ping(Secret(good))
    with pytest.raises(PaasError, match="cannot be reached: connection refused"):
        messengers.send(WEBHOOK, Address(Secret(gone)), MESSAGE)
    with pytest.raises(PaasError, match="cannot be reached"):
        messengers.ping(Secret(gone))


# Web


def test_slack_gets_text_with_its_special_characters_escaped(hook):
    send(SLACK, hook.url())
    assert hook.received[0].json == {
        "text": "[srv] hello: app-down\nhello is &lt;down&gt; &amp; out\nServer: srv"}
    assert hook.received[0].headers["Content-Type"] == "application/json"


def test_discord_gets_content_that_mentions_nobody(hook):
    hook.status, hook.body = 204, b""
    long = Message("1", "t", ("@everyone " + "x" * 3000,))
    assert send(DISCORD, hook.url(), message=long) == "204"
    got = hook.received[0].json
    assert got["allowed_mentions"] == {"parse": []}
    assert len(got["content"]) == 2000


def test_ntfy_gets_plain_text_with_headers(hook):
    send(NTFY, hook.url("/topic"), "tk_1", Message("1", "[srv] größe", ("é" * 3000,)))
    got = hook.received[0]
    assert (got.path, got.headers["Priority"], got.headers["Authorization"]) == ("/topic", "high", "Bearer tk_1")
    assert got.headers["Title"] == f"=?UTF-8?B?{base64.b64encode('[srv] größe'.encode()).decode()}?="
    assert len(got.body) <= 4000
    assert got.body.decode().startswith("éé")


@pytest.mark.parametrize(("secret", "key"), [("geheim-and-long", b"geheim-and-long"),
                                             ("whsec_" + base64.b64encode(b"k" * 24).decode(), b"k" * 24)])
def test_a_webhook_is_signed_as_standard_webhooks_says(hook, secret, key):
    send(WEBHOOK, hook.url(), secret)
    got = hook.received[0]
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{mac}"
    assert got.headers["webhook-id"] == "srv-7-opened"
    assert (got.json["event"], got.json["title"]) == ("opened", "[srv] hello: app-down")


def test_without_a_secret_it_is_not_signed(hook):
    send(WEBHOOK, hook.url())
    assert "webhook-signature" not in hook.received[0].headers


def test_a_refusal_says_the_status_and_never_the_secret_parts_of_the_url(hook):
    hook.status, hook.body = 404, b"Cannot POST /services/T0SECRET?token=abcdefgh by geheim-key"
    with pytest.raises(PaasError) as caught:
        send(WEBHOOK, hook.url("/services/T0SECRET?token=abcdefgh"), "geheim-key")
    assert "404 Cannot POST" in caught.value.what
    for secret in ("T0SECRET", "abcdefgh", "geheim-key"):
        assert secret not in caught.value.what + caught.value.hint


def test_no_redirect_is_followed(hook):
    hook.status, hook.location = 302, hook.url("/elsewhere")
    with pytest.raises(PaasError, match="302"):
        send(WEBHOOK, hook.url())
    assert [one.path for one in hook.received] == ["/hook"]


def test_one_that_says_nothing_is_left(hook, monkeypatch):
    monkeypatch.setattr(http_notify, "TIMEOUT", 0.2)
    hook.silent = True
    with pytest.raises(PaasError, match="no HTTP answer"):
        send(WEBHOOK, hook.url())


def test_tls_is_verified(tls):
    hook = Hook(tls)
    try:
        assert send(WEBHOOK, hook.url(scheme="https", host="localhost")) == "200 ok"
        with pytest.raises(PaasError, match=r"the certificate of 127\.0\.0\.1 is not trusted"):
            send(WEBHOOK, hook.url(scheme="https"))
    finally:
        hook.close()
    assert len(hook.received) == 1


def test_a_heartbeat_is_a_get(hook):
    Messengers().ping(Secret(hook.url("/ping/uuid")))
    assert (hook.received[0].method, hook.received[0].path) == ("GET", "/ping/uuid")
    hook.status = 500
    with pytest.raises(PaasError, match=r"127\.0\.0\.1 answered 500"):
        Messengers().ping(Secret(hook.url()))


# Mail


def mail_to(server, **given):
    values = {"host": "localhost", "port": server.port, "tls": "none", "user": "", "sender": "paas@srv.example.com",
              "server": "srv", **given}
    return mail_address("anna@example.com", "geheim", **values)


def test_a_letter_arrives():
    with Mail() as server:
        said = Messengers().send(EMAIL, mail_to(server), Message("1", "[srv] größe: app-down", ("größe is down",)))
    assert said == "localhost took it for anna@example.com"
    letter = email.message_from_string(server.letters[0].text, policy=email.policy.default)
    assert (letter["Subject"], letter["To"], letter["From"]) == (
        "[srv] größe: app-down", "anna@example.com", "paas@srv.example.com")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content().splitlines() == ["größe is down"]
    assert (server.letters[0].to, server.letters[0].secure) == (["anna@example.com"], False)


@pytest.mark.parametrize("wrapped", [False, True])
def test_with_tls_and_a_login(tls, wrapped):
    with Mail(tls, wrapped, login="anna:geheim") as server:
        mailer.send(mail_to(server, tls="tls" if wrapped else "starttls", user="anna"), MESSAGE)
    assert (server.letters[0].secure, server.letters[0].user) == (True, "anna:geheim")


def test_nothing_is_sent_where_the_server_cannot_do_tls():
    with Mail(login="anna:geheim") as server, pytest.raises(PaasError, match="did not take it"):
        mailer.send(mail_to(server, tls="starttls", user="anna"), MESSAGE)
    assert not server.letters


def test_an_untrusted_mail_server_gets_no_password(tls, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with Mail(tls, login="anna:geheim") as server, pytest.raises(PaasError, match="not trusted"):
        mailer.send(mail_to(server, tls="starttls", user="anna"), MESSAGE)
    assert not server.letters


def test_what_the_server_answers_is_told_without_the_password(tls):
    with Mail(tls, login="other:other") as server, pytest.raises(PaasError, match="535 authentication failed") as one:
        mailer.send(mail_to(server, tls="starttls", user="anna"), MESSAGE)
    assert "geheim" not in one.value.what
    with Mail(refuse="550 no such user") as server, pytest.raises(PaasError, match="550 no such user"):
        mailer.send(mail_to(server), MESSAGE)


def test_a_mail_server_that_is_not_there():
    with Mail() as server:
        address = mail_to(server)
    with pytest.raises(PaasError, match="localhost cannot be reached: connection refused"):
        mailer.send(address, MESSAGE)


# What is accepted as an address


@pytest.mark.parametrize("url", ["", "hooks.example.com", "ftp://a.example/x", "https://", "https://a b", "https:///x",
                                 "https://u:p@a.example/", "https://a.example/\n", "http://[", "https://a.example:x/",
                                 "https://a.example/" + "x" * 2000, "https://é.example/"])
def test_what_is_no_url_is_refused_and_not_repeated(url):
    with pytest.raises(BadInput) as caught:
        web_address(WEBHOOK, url, "")
    assert not url or url not in caught.value.what


def test_messengers_of_the_internet_want_https():
    web_address(WEBHOOK, "http://10.0.0.7:8080/hook", "")
    with pytest.raises(BadInput, match="https"):
        web_address(SLACK, "http://hooks.slack.com/services/x", "")


@pytest.mark.parametrize("secret", ["whsec_not base64", "whsec_", "a\nb", "geheim mit Leerzeichen", "größe"])
def test_what_is_no_secret(secret):
    with pytest.raises(BadInput):
        web_address(WEBHOOK, "https://a.example/", secret)


@pytest.mark.parametrize("given", [{"host": ""}, {"host": "a b"}, {"sender": "a\nBcc: b@c.example"},
                                   {"user": "anna", "tls": "none"}])
def test_what_is_no_mail_server(given):
    with Mail() as server, pytest.raises(BadInput):
        mail_to(server, **given)


@pytest.mark.parametrize("name", ["", "-a", "a b", "A", "a" * 31, "a\n"])
def test_what_cannot_name_a_channel(name):
    with pytest.raises(BadInput):
        channel_name(name)
