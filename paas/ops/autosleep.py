"""What a person says of an app's sleep: when it sleeps by itself, what does not wake it; now asleep, now awake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.errors import BadInput
from paas.model import app_settings
from paas.model import sleep as rules
from paas.model.app import App
from paas.ops import settings, sleep

if TYPE_CHECKING:
    from paas.runtime import Runtime

PATIENCE = 60.0                          # seconds that `ps:sleep` waits for the end of a deploy

def set_after(rt: Runtime, app: App, seconds: int) -> bool:
    """From now on it sleeps after so many seconds; 0: never, and it wakes. False: nothing changed.

    BadInput: it cannot sleep.
    """
    why = sleep.hindrance(rt, app) if seconds else ""
    if why:
        raise BadInput(f"{app.name} cannot sleep: {why}", "See docs/autosleep.md.")
    changed = sleep.after(app) != seconds
    if changed:
        rt.store.set_app_setting(app.id, "sleep.after", str(seconds) if seconds else None)
    woken = not seconds and wake_now(rt, app)
    return changed or woken


def set_rule(rt: Runtime, app: App, key: str, value: str) -> bool:
    """Set ``ignore-agents`` or ``ignore-paths``; ``default`` goes back. False: nothing changed. BadInput."""
    return settings.set_app(rt, app, "sleep", key, "" if value == "default" else value)


def sleep_now(rt: Runtime, app: App) -> bool:
    """False: it sleeps already. BadInput: it cannot now. What retires after a deploy is waited for."""
    if app.asleep:
        return False
    ends = rt.clock.monotonic() + PATIENCE
    while (why := sleep.fall_asleep(rt, app.id)) == sleep.UNDER_WAY and rt.clock.monotonic() < ends:
        rt.clock.sleep(0.1)
    if why:
        raise BadInput(f"{app.name} stays awake: {why}", "See docs/autosleep.md.")
    return True


def wake_now(rt: Runtime, app: App) -> bool:
    """False: it does not sleep."""
    if not app.asleep:
        return False
    sleep.wake(rt, app.id)
    return True


def report(rt: Runtime, app: App) -> dict[str, object]:
    values = {key: app_settings.value_of(app_settings.APP, app.settings, f"sleep.{key}")
             for key in ("ignore-agents", "ignore-paths")}
    return {"app": app.name, "after": sleep.after(app), "asleep": app.asleep,
            "kept_awake_by": kept_awake_by(rt, app),
            "ignored_agents": list(rules.words(values["ignore-agents"])),
            "ignored_paths": list(rules.words(values["ignore-paths"]) or rules.SCANS)}


def kept_awake_by(rt: Runtime, app: App) -> str:
    if not sleep.counted(rt):
        return "the proxy does not count requests: paas server:set metrics true"
    return sleep.hindrance(rt, app) or ("" if app.asleep else sleep.business(rt, app))
