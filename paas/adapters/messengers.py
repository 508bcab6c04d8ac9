"""Implements :class:`paas.ports_watch.Messengers`."""

from __future__ import annotations

from paas.model.incident import Address, ChannelType
from paas.model.message import Message
from paas.secret import Secret


class Messengers:
    """What it needs is imported with the first message: most daemons send none for weeks."""

    def send(self, type: ChannelType, address: Address, message: Message) -> str:
        if type is ChannelType.EMAIL:
            from paas.adapters import email

            return email.send(address, message)
        from paas.adapters import http_notify

        return http_notify.send(type, address, message)

    def ping(self, url: Secret) -> None:
        from paas.adapters import http_notify

        http_notify.ping(url)
