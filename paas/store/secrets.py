"""Secrets to sealed bytes and back, and the snapshots of a release to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from paas.model.release import Check, CheckKind, CronJob, Overlap, Process, Task
from paas.secret import Secret
from paas.store.engine import Sealer

# Every str, also one with lone surrogates (as PEP 383 gives for bytes that are not UTF-8), comes back equal.
ERRORS = "surrogatepass"


def seal_text(sealer: Sealer, secret: Secret, context: str) -> bytes:
    return sealer.seal(secret.reveal().encode("utf-8", ERRORS), context)


def open_text(sealer: Sealer, sealed: bytes, context: str) -> Secret:
    return Secret(sealer.open(sealed, context).decode("utf-8", ERRORS))


def seal_config(sealer: Sealer, config: Mapping[str, Secret], context: str) -> bytes:
    # ensure_ascii would write two lone surrogates as the pair that reads back as one character.
    plain = json.dumps({key: value.reveal() for key, value in config.items()}, ensure_ascii=False)
    return sealer.seal(plain.encode("utf-8", ERRORS), context)


def open_config(sealer: Sealer, sealed: bytes, context: str) -> dict[str, Secret]:
    plain = json.loads(sealer.open(sealed, context).decode("utf-8", ERRORS))
    return {key: Secret(value) for key, value in plain.items()}


def json_of(parts: Sequence[Process | Task | CronJob]) -> list[dict[str, Any]]:
    return [asdict(part) for part in parts]


def formation_of(words: Sequence[Mapping[str, Any]]) -> tuple[Process, ...]:
    return tuple(Process(**{**one, "command": tuple(one["command"]), "check": check_of(one["check"]),
                            "declared": one["declared"] and check_of(one["declared"])}) for one in words)


def tasks_of(words: Sequence[Mapping[str, Any]]) -> tuple[Task, ...]:
    return tuple(Task(**{**one, "command": tuple(one["command"])}) for one in words)


def cron_of(words: Sequence[Mapping[str, Any]]) -> tuple[CronJob, ...]:
    return tuple(CronJob(**{**one, "command": tuple(one["command"]), "overlap": Overlap(one["overlap"])})
                 for one in words)


def check_of(words: Mapping[str, Any]) -> Check:
    """Of any age: an older row has fewer words, and the rest are defaults."""
    return Check(**{
        **words, "kind": CheckKind(words["kind"]), "command": tuple(words.get("command", ())),
        "on_failure": tuple(words.get("on_failure", ())),
        "headers": tuple((name, value) for name, value in words.get("headers", ())),
        "also": tuple(check_of(one) for one in words.get("also", ()))})
