"""Settings of an app and of the server: one table each (``paas.model.app_settings``), set, unset and reported alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.errors import BadInput, PaasError
from paas.model import app_settings, names, ports
from paas.model.app import App
from paas.model.app_settings import Setting
from paas.ops import disk, domains, exposition, routes

if TYPE_CHECKING:
    from paas.runtime import Runtime

PROXY_KEYS = frozenset({"https", "acme-email", "acme-directory", "acme-ca-root", "metrics"})


@dataclass(frozen=True)
class Line:
    """A setting as a report shows it."""

    key: str
    value: str
    own: bool                            # False: the default
    meaning: str


def report(rt: Runtime, app: App, namespace: str) -> list[Line]:
    """The app's settings of one namespace ("git", "builder", …), keys without it."""
    mine = {key.removeprefix(f"{namespace}."): one for key, one in app_settings.APP.items()
            if key.startswith(f"{namespace}.")}
    stored = {key.removeprefix(f"{namespace}."): value for key, value in app.settings.items()
              if key.startswith(f"{namespace}.")}
    return lines(mine, stored)


def server_report(rt: Runtime) -> list[Line]:
    return lines(app_settings.SERVER, rt.store.settings())


def lines(table: Mapping[str, Setting], stored: Mapping[str, str]) -> list[Line]:
    return [Line(key, stored.get(key, one.default), key in stored, one.meaning) for key, one in table.items()]


def set_app(rt: Runtime, app: App, namespace: str, key: str, value: str) -> bool:
    """Set ``namespace.key`` of *app*; an empty *value* goes back to the default. False: nothing changed."""
    full = f"{namespace}.{key}"
    setting = known(app_settings.APP, full, namespace)
    wanted = setting.check(value) if value else None
    if app.settings.get(full) == wanted:
        return False
    rt.store.set_app_setting(app.id, full, wanted)
    return True


def set_server(rt: Runtime, key: str, value: str) -> list[str]:
    """Set *key* of the server; an empty *value* goes back to the default. What else changed, as lines to show."""
    setting = known(app_settings.SERVER, key, "")
    if key == "global-domain":
        return domains.set_global(rt, value) if value else domains.clear_global(rt)
    wanted = setting.check(value) if value else None
    if key in PROXY_KEYS:
        return set_for_proxy(rt, key, wanted)
    if key == exposition.LISTEN and wanted:
        refuse_public(rt, int(wanted.rpartition(":")[2]))
    rt.store.set_setting(key, wanted)
    return disk.reserve_set(rt) if key == "disk-reserve" else []


def refuse_public(rt: Runtime, number: int) -> None:
    for app in rt.store.apps():
        if number in {one.number for one in ports.of(app.settings)}:
            raise BadInput(f"the port {number} is a public port of {app.name}", "Give another number.")


def set_for_proxy(rt: Runtime, key: str, wanted: str | None) -> list[str]:
    """What the proxy does not take is put back: a bad value here would keep every later change from it."""
    with rt.routing:
        before = rt.store.settings().get(key)
        rt.store.set_setting(key, wanted)
        try:
            return domains.quarantine_lines(rt, routes.apply(rt))
        except PaasError as error:
            rt.store.set_setting(key, before)
            raise type(error)(error.what, f"{key} is as it was. {error.hint}".rstrip()) from error


def known(table: Mapping[str, Setting], full: str, namespace: str) -> Setting:
    if full in table:
        return table[full]
    prefix = f"{namespace}." if namespace else ""
    keys = ", ".join(key.removeprefix(prefix) for key in table if key.startswith(prefix))
    raise BadInput(f"there is no setting '{names.printable(full.removeprefix(prefix))}' here", f"Known: {keys}.")
