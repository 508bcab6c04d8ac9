"""A fake of :class:`paas.ports_watch.Messengers`: what was sent, in memory."""

from __future__ import annotations

from paas.errors import PaasError
from paas.model.incident import Address, ChannelType
from paas.model.message import Message
from paas.secret import Secret


class FakeMessengers:
    """Messages are kept by the URL that they went to; ``down`` holds URLs that do not answer."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Message]] = {}
        self.pings: list[str] = []
        self.down: set[str] = set()
        self.tries = 0

    def send(self, type: ChannelType, address: Address, message: Message) -> str:
        self.tries += 1
        url = address.url.reveal()
        if url in self.down:
            raise PaasError("hooks.example.com cannot be reached: connection refused", "Check the URL.")
        self.sent.setdefault(url, []).append(message)
        return "200 ok"

    def ping(self, url: Secret) -> None:
        if url.reveal() in self.down:
            raise PaasError("watch.example.com cannot be reached: connection refused", "Check the URL.")
        self.pings.append(url.reveal())
