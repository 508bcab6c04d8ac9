"""Valkey, the official image: https://hub.docker.com/r/valkey/valkey. Its commands, files and digests are Redis's."""

from __future__ import annotations

from paas_plugins.redis import Redis


class Valkey(Redis):
    """Linked as ``REDIS_URL``: what clients look for, and what Heroku calls its Valkey."""

    name, title, image = "valkey", "Valkey", "valkey/valkey"
    versions, default = ("7", "8", "9"), "8"


datastore = Valkey()
