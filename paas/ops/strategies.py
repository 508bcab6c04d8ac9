"""How the instances of each process type are replaced in a deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paas.errors import BadInput
from paas.model import names
from paas.model.app import App
from paas.model.app_settings import STRATEGY
from paas.model.release import Strategy
from paas.ops import ps

if TYPE_CHECKING:
    from paas.runtime import Runtime

DEFAULT = "default"


def parse(words: Sequence[str]) -> dict[str, str]:
    """``beat=stop-first web=default`` → process type → strategy; empty: the default. BadInput."""
    made: dict[str, str] = {}
    for word in words:
        kind, _, strategy = word.partition("=")
        if strategy not in (*Strategy, DEFAULT):
            raise BadInput(f"'{names.printable(word)}' is not TYPE=STRATEGY",
                           f"A strategy is {', '.join(Strategy)} or {DEFAULT}. Example: beat=stop-first")
        names.process_type(kind)
        if kind in made:
            raise BadInput(f"the process type {kind} is there twice", "Give each once.")
        made[kind] = "" if strategy == DEFAULT else strategy
    return made


def set_strategies(rt: Runtime, app: App, wanted: Mapping[str, str]) -> bool:
    """Store them for the next release. False: they were so already. BadInput for a process type that is not there."""
    ps.refuse_unknown(rt.store.live_release(app.id), wanted)
    changed = {kind: value for kind, value in wanted.items() if app.settings.get(STRATEGY + kind, "") != value}
    for kind, value in changed.items():
        rt.store.set_app_setting(app.id, STRATEGY + kind, value or None)
    return bool(changed)


def report(rt: Runtime, app: App) -> list[tuple[str, str, str]]:
    """(process type, the stored strategy, that of the live release)."""
    live = rt.store.live_release(app.id)
    released = {process.type: process.strategy or DEFAULT for process in live.formation} if live else {}
    stored = {key.removeprefix(STRATEGY): value for key, value in app.settings.items() if key.startswith(STRATEGY)}
    return [(kind, stored.get(kind, DEFAULT), released.get(kind, "")) for kind in {**released, **stored}]
