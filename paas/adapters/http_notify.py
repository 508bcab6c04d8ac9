"""One bounded HTTP request to a messenger or a watcher outside: TLS verified, no redirect followed, nothing kept open.

The standard library's client: these are a few requests an hour, and the daemon is to stay small.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from paas.adapters.http import in_words, parsed, receive
from paas.errors import PaasError
from paas.model import names
from paas.model.incident import Address, ChannelType
from paas.model.message import Message
from paas.ports import Answer
from paas.secret import Secret

TIMEOUT = 10.0                           # seconds for the whole exchange, beside the name's lookup
ANSWER_LIMIT = 64 * 1024
DISCORD_LIMIT = 2000                     # characters of a message
NTFY_LIMIT = 4000                        # bytes; above that ntfy makes an attachment of it
SLACK_LIMIT = 3500                       # bytes; Slack advises 4,000 characters


@dataclass(frozen=True)
class Request:
    body: bytes
    headers: Mapping[str, str]


def send(type: ChannelType, address: Address, message: Message) -> str:
    """POST it; return what the other side answered. PaasError: it did not take it."""
    return post(address, BUILDERS[type](address, message))


def slack(address: Address, message: Message) -> Request:
    """An incoming webhook's ``text``; only these three characters are special (docs.slack.dev, formatting)."""
    text = cut(f"{message.title}\n{message.text}", SLACK_LIMIT)
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    return as_json({"text": text})


def discord(address: Address, message: Message) -> Request:
    """A webhook's ``content``; nobody is mentioned by what an app's name or error happens to say."""
    text = f"**{message.title}**\n{message.text}"[:DISCORD_LIMIT]
    return as_json({"content": text, "allowed_mentions": {"parse": []}})


def ntfy(address: Address, message: Message) -> Request:
    """The URL is the topic's; headers as docs.ntfy.sh/publish has them, the title as RFC 2047 says where it must."""
    headers = {"Title": ascii_header(message.title), "Priority": "default" if message.over else "high",
               "Tags": "white_check_mark" if message.over else "warning", "Content-Type": "text/plain; charset=utf-8"}
    token = address.secret.reveal()
    return Request(cut(message.text, NTFY_LIMIT).encode(),
                   {**headers, **({"Authorization": f"Bearer {token}"} if token else {})})


def webhook(address: Address, message: Message) -> Request:
    """JSON, with the headers of the Standard Webhooks specification (standardwebhooks.com): id, time, signature."""
    made = as_json({"id": message.id, "title": message.title, "text": message.text, **message.words})
    at = str(int(time.time()))
    headers = {**made.headers, "webhook-id": message.id, "webhook-timestamp": at}
    if len(address.secret):
        headers["webhook-signature"] = "v1," + signature(address.secret, f"{message.id}.{at}.".encode() + made.body)
    return Request(made.body, headers)


def signature(secret: Secret, signed: bytes) -> str:
    """HMAC-SHA256, base64. A secret ``whsec_…`` is base64 of the key, any other the key itself."""
    text = secret.reveal()
    key = base64.b64decode(text.removeprefix("whsec_")) if text.startswith("whsec_") else text.encode()
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


BUILDERS = {ChannelType.SLACK: slack, ChannelType.DISCORD: discord, ChannelType.NTFY: ntfy,
            ChannelType.WEBHOOK: webhook}


def as_json(words: Mapping[str, object]) -> Request:
    return Request(json.dumps(words, ensure_ascii=False).encode("utf-8", "replace"),
                   {"Content-Type": "application/json"})


def cut(text: str, limit: int) -> str:
    return text if len(text.encode()) <= limit else text.encode()[:limit - 3].decode("utf-8", "ignore") + "…"


def ascii_header(text: str) -> str:
    return text if text.isascii() else f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def post(address: Address, request: Request) -> str:
    answer = exchange("POST", address.url, request.body, request.headers)
    if not 200 <= answer.status < 300:
        raise PaasError(f"{urlsplit(address.url.reveal()).hostname} did not take it: {shown(answer, address)}",
                        "A redirect is not followed; check the URL." if 300 <= answer.status < 400 else
                        "Check the URL and the secret at the other side.")
    return shown(answer, address)


def ping(url: Secret) -> None:
    """One GET. PaasError: no answer, or not a good one."""
    answer = exchange("GET", url, b"", {})
    if not 200 <= answer.status < 300:
        raise PaasError(f"{urlsplit(url.reveal()).hostname} answered {answer.status}", "Check the URL.")


def exchange(method: str, url: Secret, body: bytes, headers: Mapping[str, str]) -> Answer:
    """:raises PaasError: no HTTP answer."""
    parts = urlsplit(url.reveal())
    received, ends = bytearray(), time.monotonic() + TIMEOUT
    try:
        with connect(parts) as sock:
            sock.sendall(head(method, parts, len(body), headers) + body)
            receive(sock, received, ends, ANSWER_LIMIT, 1.0)
    except TimeoutError:
        pass
    except ssl.SSLCertVerificationError as error:
        raise PaasError(f"the certificate of {parts.hostname} is not trusted: {error.verify_message}",
                        "Its authority must be one that this machine knows.") from None
    except (OSError, ValueError) as error:
        raise PaasError(f"{parts.hostname} cannot be reached: {in_words(error)}", "Check the URL.") from None
    answer = parsed(received, ANSWER_LIMIT)
    if answer is None:
        raise PaasError(f"{parts.hostname} gave no HTTP answer within {TIMEOUT:g} s", "Check the URL.")
    return answer


def connect(parts: SplitResult) -> socket.socket:
    secure = parts.scheme == "https"
    sock = socket.create_connection((parts.hostname or "", parts.port or (443 if secure else 80)), TIMEOUT)
    if not secure:
        return sock
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise


def head(method: str, parts: SplitResult, length: int, headers: Mapping[str, str]) -> bytes:
    """:raises ValueError: a control character or a blank where it would begin another field."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "paas", "Accept": "*/*", "Connection": "close",
              "Content-Length": str(length), **headers}
    text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    if " " in target or any(ord(c) < 32 for c in target + "".join(fields.values())):
        raise ValueError("the URL or a header holds a blank or a control character")
    return (text + "\r\n").encode("ascii", "strict")


def shown(answer: Answer, address: Address) -> str:
    """Status and the beginning of the body, without the parts of the URL that are secret: servers echo them."""
    body = answer.body.decode("utf-8", "replace")
    parts = urlsplit(address.url.reveal())
    hidden = [address.secret.reveal(), parts.query, *parts.path.split("/")]
    for word in sorted((word for word in hidden if len(word) >= 6), key=len, reverse=True):
        body = body.replace(word, "[redacted]")
    return f"{answer.status} {names.printable(' '.join(body.split()), 200)}".strip()
