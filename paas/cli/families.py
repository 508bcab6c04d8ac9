"""Commands that every datastore has: written once with ``{name}`` in their help, registered for each plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from paas import plugin
from paas.api import Datastore
from paas.cli.base import COMMANDS, Call, command


@dataclass(frozen=True, eq=False)
class Verb:
    name: str
    traits: dict[str, Any]
    function: Callable[..., Any]
    offered: Callable[[Datastore], bool]


def verb(name: str, *, offered: Callable[[Datastore], bool] = lambda store: True,
         **traits: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A command ``DATASTORE:name``. The function gets (call, store, …); an argument ``service`` comes as the Service.

    :param offered: which datastores have it.

    Its help may say ``{name}``, ``{title}``, ``{variable}``, ``{version}`` and ``{settings}``.
    """
    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        made = Verb(name, traits, function, offered)
        for store in plugin.loaded().datastores.values():
            register(made, store)
        return function
    return keep


def service_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("service")(function)


def family(function: Callable[..., Any]) -> object:
    """What names of one command have in common: their function, or the verb that every datastore has."""
    return getattr(function, "family", function)


def register(made: Verb, store: Datastore) -> None:
    def run(call: Call, **params: Any) -> Any:
        return made.function(call, store, **params)

    name = f"{store.name}:{made.name}"
    if name in COMMANDS or not made.offered(store):      # a plugin cannot take a core command's place
        return
    run.family = made
    run.__click_params__ = list(getattr(made.function, "__click_params__", []))
    run.__doc__ = (made.function.__doc__ or "").replace("{name}", store.name).replace("{title}", store.title) \
        .replace("{variable}", store.variable).replace("{version}", store.default) \
        .replace("{settings}", f" ({', '.join(store.settings)})" if store.settings else "")
    command(name, datastore=store.name, **made.traits)(run)
