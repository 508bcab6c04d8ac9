"""What a build is given: arguments (shown in the image's history) and secrets (in no layer and no log)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paas.errors import BadInput, NotFound
from paas.model import names
from paas.model.app import App

if TYPE_CHECKING:
    from paas.runtime import Runtime

ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
ARG, SECRET = "build-arg.", "build-secret."
MAX_BYTES = 4096


def arguments(app: App) -> dict[str, str]:
    return {key.removeprefix(ARG): value for key, value in sorted(app.settings.items()) if key.startswith(ARG)}


def secrets(app: App) -> list[str]:
    return [key.removeprefix(SECRET) for key in sorted(app.settings) if key.startswith(SECRET)]


def set_arguments(rt: Runtime, app: App, given: Mapping[str, str]) -> None:
    """Kept until unset; the next build uses them."""
    for name, value in given.items():
        if not ARGUMENT.fullmatch(name):
            raise BadInput(f"'{names.printable(name)}' cannot name a build argument", "Use letters, digits and _.")
        if not value.isprintable() or len(value.encode()) > MAX_BYTES:
            raise BadInput(f"the value of {name} must be printable text of at most {MAX_BYTES} bytes")
    for name, value in given.items():
        rt.store.set_app_setting(app.id, ARG + name, value)


def add_secrets(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """Mount these config vars into builds; return those that are not set yet."""
    for name in given:
        names.config_key(name)
    for name in given:
        rt.store.set_app_setting(app.id, SECRET + name, "true")
    return [name for name in given if name not in rt.store.config(app.id)]


def unset(rt: Runtime, app: App, kind: str, given: Sequence[str]) -> None:
    """*kind*: ARG or SECRET. NotFound, and nothing changes, if one of them is not there."""
    for name in given:
        if kind + name not in app.settings:
            raise NotFound(f"{app.name} has no build {'argument' if kind == ARG else 'secret'} {names.printable(name)}")
    for name in given:
        rt.store.set_app_setting(app.id, kind + name, None)
