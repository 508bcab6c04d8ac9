"""Incidents: what is wrong and lasts, from its beginning to its end, and the channels that are told of both.

One incident per kind and object is open at a time. Whoever sees the fault opens it as often as it sees it; the first
time counts. As with the alerts of Prometheus (Alertmanager's groups), each incident is one message, and its end
another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paas.secret import Secret


class Kind(StrEnum):
    DEPLOY_FAILED = "deploy-failed"
    ROLLED_BACK = "rolled-back"
    APP_DOWN = "app-down"
    CRASH_LOOP = "crash-loop"
    OUT_OF_MEMORY = "out-of-memory"
    CERTIFICATE = "certificate"
    DISK = "disk"
    BACKUP = "backup"
    DRILL = "drill"
    CRON = "cron"
    DAEMON_RESTARTED = "daemon-restarted"
    ENGINE = "engine"                    # Docker does not answer
    PROXY = "proxy"                      # it does not answer: no app is reachable
    PORT = "port"                        # another program holds an app's further public port
    CHANNEL = "channel"                  # messages do not arrive there; the other channels are told


# The first word of such an incident's object is the app's name.
OF_APPS = frozenset({Kind.DEPLOY_FAILED, Kind.ROLLED_BACK, Kind.APP_DOWN, Kind.CRASH_LOOP, Kind.OUT_OF_MEMORY,
                     Kind.CRON})
# Over as soon as they are told: nobody waits for a message of their end.
TOLD_ONCE = frozenset({Kind.ROLLED_BACK, Kind.DAEMON_RESTARTED})


@dataclass(frozen=True)
class Incident:
    """A row of ``incidents``."""

    id: int
    kind: Kind
    object: str                          # "hello", "hello 5a0152d8" (a job), "postgres/db", "certificate of a.example"
    what: str                            # one sentence, as the message has it
    hint: str                            # what to do; may be empty
    opened_at: datetime
    closed_at: datetime | None = None
    ending: str = ""                     # one sentence on how it ended; may be empty

    @property
    def app(self) -> str:
        """The app that it is about; empty: none."""
        return self.object.split(" ")[0] if self.kind in OF_APPS else ""


class ChannelType(StrEnum):
    SLACK = "slack"
    DISCORD = "discord"
    NTFY = "ntfy"
    WEBHOOK = "webhook"
    EMAIL = "email"


@dataclass(frozen=True)
class Address:
    """Where a channel leads. Stored sealed: with most of these services the URL alone lets anybody write there."""

    url: Secret                          # https://…; of an email the address that gets it
    secret: Secret = Secret("")          # a webhook's signing key, an ntfy token, an SMTP password
    host: str = ""                       # SMTP server
    port: int = 0
    tls: str = ""                        # "starttls", "tls", "none"
    user: str = ""
    sender: str = ""


@dataclass(frozen=True)
class Channel:
    """A row of ``channels``."""

    id: int
    name: str
    type: ChannelType
    address: Address
    kinds: tuple[str, ...]               # told of these only; none: of all
    apps: tuple[str, ...]                # of incidents that are about an app: these apps' only; none: all apps'
    created_at: datetime
    created_by: str

    def wants(self, incident: Incident) -> bool:
        if incident.kind is Kind.CHANNEL and incident.object == self.name:
            return False
        return (not self.kinds or incident.kind in self.kinds) \
            and (not self.apps or not incident.app or incident.app in self.apps)


class Phase(StrEnum):
    OPENED = "opened"
    CLOSED = "closed"


class DeliveryState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given-up"                # a day of attempts


@dataclass(frozen=True)
class Delivery:
    """A row of ``deliveries``: one message to one channel, with what it is about."""

    id: int
    channel_id: int
    phase: Phase
    state: DeliveryState
    created_at: datetime
    tries: int
    next_at: datetime                    # not before
    error: str                           # of the last attempt
    ended_at: datetime | None
    summed: bool                         # it went out as a line of a summary
    incident: Incident
