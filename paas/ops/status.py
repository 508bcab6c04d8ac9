"""The platform at a glance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import paas
from paas.errors import PaasError
from paas.model.app import App

if TYPE_CHECKING:
    from paas.runtime import Runtime


def status(rt: Runtime) -> dict[str, object]:
    """What each part says of itself; a part that does not answer is said to be so, the others are told all the same.

    Sizes in bytes.
    """
    apps = rt.store.apps()
    free, total = asked(lambda: rt.host.disk(rt.settings.state_dir), (None, None))
    return {
        "version": paas.__version__,
        "engine": asked(lambda: f"Docker {rt.containers.version()}", "does not answer"),
        "proxy": "answers" if asked(rt.router.healthy, False) else "does not answer",
        "database": "sound" if not rt.store.integrity() else "damaged",
        "disk_free": free, "disk_total": total,
        "images_free": asked(rt.images.free_bytes, None),
        "daemon_memory": asked(rt.host.daemon_memory, None),
        "apps": len(apps), "apps_live": sum(rt.store.live_release(app.id) is not None for app in apps),
        "apps_stopped": sum(app.stopped for app in apps), "apps_asleep": sum(app.asleep for app in apps),
        "instances": len(rt.store.instances()), "runs": len(rt.store.runs()),
        "changes": [f"{one.verb} {one.app}".rstrip() + f" by {one.actor}" for one in rt.store.intents()],
        "jobs": [title for app in apps for title in jobs(rt, app)],
    }


def jobs(rt: Runtime, app: App) -> list[str]:
    now = rt.jobs.running(app.id)
    titles = [f"{app.name}: {now.title}"] if now else []
    return titles + [f"{app.name}: {one.title} (waiting)" for one in rt.jobs.waiting(app.id)]


def asked(question: Callable[[], object], otherwise: object) -> object:
    try:
        return question()
    except PaasError:
        return otherwise
