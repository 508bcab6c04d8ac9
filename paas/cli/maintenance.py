"""``maintenance:…``: the platform's own page instead of the app."""

from paas.cli.base import Call, app_argument, command, format_option
from paas.model.app import App
from paas.ops import maintenance


@command("maintenance")
@command("maintenance:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show whether an app is in maintenance.

    Example: paas maintenance hello
    """
    call.record({"app": app.name, "maintenance": app.maintenance}, format)


@command("maintenance:on", mutates=True)
@app_argument
def on(call: Call, app: App) -> None:
    """Answer for an app with 503 and a maintenance page. Its containers run on.

    Example: paas maintenance:on hello
    """
    changed = maintenance.turn(call.rt, app, True)
    call.say(f"{app.name} is in maintenance." if changed else "Nothing changed.")


@command("maintenance:off", mutates=True)
@app_argument
def off(call: Call, app: App) -> None:
    """Let an app answer for itself again.

    Example: paas maintenance:off hello
    """
    changed = maintenance.turn(call.rt, app, False)
    call.say(f"{app.name} answers for itself." if changed else "Nothing changed.")
