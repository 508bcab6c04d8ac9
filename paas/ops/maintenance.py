"""Maintenance: visitors get the platform's own page (503) while the app runs on behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.model.app import App
from paas.ops import routes

if TYPE_CHECKING:
    from paas.runtime import Runtime


def turn(rt: Runtime, app: App, on: bool) -> bool:
    """Turn it *on* or off, at once, without a deploy; False: it was so already (the route is written all the same)."""
    changed = app.maintenance != on
    app = rt.store.update_app(app.id, maintenance=on)
    routes.ensure_known(rt, app)
    with rt.routing:
        rt.router.point(app.id, routes.wanted(rt, app))
    return changed
