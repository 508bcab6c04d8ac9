"""Config vars: a change is a new release without a build; what fails changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as replace_fields
from typing import TYPE_CHECKING

from paas.deploy import Work, bring_up
from paas.deploy.plan import from_release
from paas.errors import BadInput, NotFound, PaasError
from paas.model import names
from paas.model.access import Actor
from paas.model.app import App
from paas.ops import deploys
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

Change = Callable[[dict[str, Secret]], dict[str, Secret]]


def get(rt: Runtime, app: App, key: str) -> Secret:
    config = rt.store.config(app.id)
    if key not in config:
        raise NotFound(f"{app.name} has no config var {names.printable(key)}", f"See: paas config {app.name}")
    return config[key]


def set_vars(rt: Runtime, app: App, actor: Actor, pairs: Mapping[str, str], *, restart: bool,
             say: Callable[[str], None], replace: bool = False, tasks: bool = False) -> bool:
    """Set them; False when nothing differs. With *replace* all others go; with *tasks* the release's tasks run."""
    wanted = {names.config_key(key): Secret(names.config_value(value)) for key, value in pairs.items()}

    def change(config: dict[str, Secret]) -> dict[str, Secret]:
        return dict(wanted) if replace else {**config, **wanted}

    verb = "config:import" if replace else "config:set"
    return apply_change(rt, app, actor, change, f"{verb} {' '.join(wanted)}", restart=restart, say=say, tasks=tasks)


def unset_vars(rt: Runtime, app: App, actor: Actor, keys: Sequence[str], *, restart: bool,
               say: Callable[[str], None]) -> bool:
    for key in keys:
        get(rt, app, key)

    def change(config: dict[str, Secret]) -> dict[str, Secret]:
        return {key: value for key, value in config.items() if key not in keys}

    return apply_change(rt, app, actor, change, f"config:unset {' '.join(keys)}", restart=restart, say=say)


def apply_change(rt: Runtime, app: App, actor: Actor, change: Change, reason: str, *, restart: bool,
                 say: Callable[[str], None], tasks: bool = False) -> bool:
    """In the app's turn: compute the new config; live app: bring it up as a release, else only store it.

    The values become the app's desired ones together with the release (`commit_live`), so a failing release
    leaves the old values and the old containers in force.
    """
    if unchanged(rt, app, change, restart):
        return False

    def steps(work: Work) -> object:
        config = change(work.rt.store.config(work.app.id))
        if len(config) > names.MAX_CONFIG_KEYS:
            raise BadInput(f"an app has at most {names.MAX_CONFIG_KEYS} config vars")
        live = work.rt.store.live_release(work.app.id)
        if not restart or not live or work.app.stopped:
            work.rt.store.replace_config(work.app.id, config)
            return None
        image = work.rt.images.inspect(live.image)
        plan = from_release(work, live, image, names.printable(reason, 200), config=config)
        return bring_up(work, replace_fields(plan, run_tasks=tasks)).release

    try:
        deploys.run(rt, app, actor, reason, steps, say, wake=restart)
    except PaasError as error:
        kept = "Nothing was changed: the old values and the old containers stay in force."
        raise type(error)(error.what, f"{kept} {error.hint}".rstrip()) from error
    return True


def unchanged(rt: Runtime, app: App, change: Change, restart: bool) -> bool:
    """Neither the stored values nor, where they would be deployed, the running ones differ from what is asked.

    They differ from each other after a change with `--no-restart`.
    """
    now, live = rt.store.config(app.id), rt.store.live_release(app.id)
    waiting = restart and live and not app.stopped and change(dict(live.config)) != live.config
    return change(now) == now and not waiting
