"""What visitors asked of an app, as the proxy has counted it: the basis of a watched release's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model.app import App
from paas.model.release import Release
from paas.model.traffic import Traffic

if TYPE_CHECKING:
    from paas.runtime import Runtime


def so_far(rt: Runtime, app: App) -> Traffic:
    """All that is counted of the app's hosts since the proxy started; nothing where nobody counts, or it is silent."""
    if rt.traffic is None:
        return Traffic()
    try:
        counted = rt.traffic.read()
    except PaasError:
        return Traffic()
    return of_app(rt, app, counted)


def of_app(rt: Runtime, app: App, counted: Mapping[str, Traffic]) -> Traffic:
    """Of what the proxy *counted*, by the names of its domains, that of the app's."""
    return sum((counted.get(one.name, Traffic()) for one in rt.store.domains(app.id)), Traffic())


def lately(rt: Runtime, app: App, release: Release) -> Traffic:
    """Of the live *release*, since it was watched; where it was not, since the proxy started."""
    watched = next((one for one in rt.store.watches(app.id) if one.release_id == release.id), None)
    return so_far(rt, app).since(watched.counted if watched else Traffic())
