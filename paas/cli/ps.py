"""``ps:…``: what runs, how many of each, restart, stop, start."""

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.cli.config import run_tasks_option
from paas.cli.settings import put_report, set_and_tell
from paas.errors import UsageError
from paas.model.app import App
from paas.model.limits import megabytes
from paas.model.sleep import read_after
from paas.ops import autosleep as rest
from paas.ops import ps, settings
from paas.ops import strategies as rules

COLUMNS = ("app", "instance", "state", "release", "started_at", "age", "restarts", "memory")


@command("ps")
@optional_app_argument
@format_option
def list_(call: Call, app: App | None, format: str) -> None:
    """List the running instances of an app, or of all.

    With state, release, age, restarts and memory.
    Under --format json ages are seconds and memory is bytes.

    Example: paas ps hello
    """
    plain = format == "json"
    rows = [(one.app, one.name, one.state, one.release, one.started_at, one.age if plain else age(one.age),
             one.restarts, one.memory if plain else size(one.memory)) for one in ps.listed(call.rt, app)]
    call.rows(COLUMNS, rows, format)


@command("ps:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show what should run, what runs, and what waits.

    What waits was changed since the live release; the next release has it.

    Example: paas ps:report hello
    """
    call.record(ps.report(call.rt, app), format)


@command("ps:scale", mutates=True)
@app_argument
@click.argument("quantities", nargs=-1, metavar="[TYPE=QUANTITY]...")
@click.option("--skip-deploy", is_flag=True, help="Store only; the next release has it.")
@format_option
def scale(call: Call, app: App, quantities: tuple[str, ...], skip_deploy: bool, format: str) -> None:
    """Set or show how many instances of each process type run.

    It makes a new release, without a build. web from 0 to 12, others from 0 to 50. If the release fails, the old
    quantities stay in force.

    Example: paas ps:scale hello web=2 worker=1
    """
    if not quantities:
        call.rows(("process", "quantity"), list(ps.formation(call.rt, app).items()), format)
        return
    wanted = ps.parse_scale(quantities)
    result = ps.scale(call.rt, app, call.actor, wanted, call.say, deploy=not skip_deploy)
    call.say({"unchanged": "Nothing changed.", "stored": "Stored; the next release has it.",
              "live": f"{app.name} runs {' '.join(f'{kind}={number}' for kind, number in wanted.items())}."}[result])


@command("ps:strategy", mutates=True)
@app_argument
@click.argument("strategies", nargs=-1, metavar="[TYPE=STRATEGY]...")
@format_option
def strategy(call: Call, app: App, strategies: tuple[str, ...], format: str) -> None:
    """Set or show how the instances of each process type are replaced.

    start-first: the new ones prove themselves beside the old ones. rolling: one at a time. stop-first: the old ones
    stop before the new ones start, for a scheduler that must never run twice; requests to web are held meanwhile.
    default: start-first; where memory is short, several instances roll and a lone worker stops first.

    Example: paas ps:strategy hello beat=stop-first
    """
    if not strategies:
        call.rows(("process", "strategy", "live"), rules.report(call.rt, app), format)
    elif rules.set_strategies(call.rt, app, rules.parse(strategies)):
        call.say(f"Stored; the next release has it. Now: paas ps:rebuild {app.name}")
    else:
        call.say("Nothing changed.")


@command("ps:restart", mutates=True)
@app_argument
@click.argument("type", required=False)
def restart(call: Call, app: App, type: str | None) -> None:
    """Replace the instances of the live release without a gap.

    Of all process types, or of one. The release stays the same, also its config and limits; ps:rebuild takes what was
    changed since.

    Example: paas ps:restart hello worker
    """
    waiting = ps.waiting(call.rt, app)
    ps.restart(call.rt, app, call.actor, type or "", call.say)
    if waiting:
        call.say(f"Changes wait for the next release (paas ps:rebuild {app.name}):")
        call.say("\n".join(f"  {line}" for line in waiting))


@command("ps:rebuild", mutates=True)
@app_argument
@run_tasks_option
def rebuild(call: Call, app: App, run_tasks: bool) -> None:
    """Make a new release of the live image, without a build.

    With config, scale, limits and checks as they are stored now.

    Example: paas ps:rebuild hello
    """
    made = ps.rebuild(call.rt, app, call.actor, call.say, tasks=run_tasks)
    if made:
        call.note(release=f"v{made.version}")


@command("ps:stop", mutates=True)
@app_argument
def stop(call: Call, app: App) -> None:
    """Stop all instances of an app.

    Visitors get a page (503) until ps:start or the next push.

    Example: paas ps:stop hello
    """
    gone = ps.stop(call.rt, app, call.actor, call.say)
    call.say("Nothing changed: it is stopped." if gone is None else f"{app.name} is stopped.")


@command("ps:start", mutates=True)
@app_argument
def start(call: Call, app: App) -> None:
    """Start a stopped app again, with what was stored meanwhile.

    Example: paas ps:start hello
    """
    if not ps.start(call.rt, app, call.actor, call.say):
        call.say("Nothing changed: it is not stopped.")


@command("ps:autosleep", mutates=True)
@app_argument
@click.option("--after", metavar="SPAN", help="Time without a request: 90s, 15m, 2h, 1d.")
@click.option("--off", is_flag=True, help="Never sleep; wakes it if it sleeps.")
@click.option("--ignore-agents", metavar="WORDS", help="Parts of User-Agent that do not wake it; none; default.")
@click.option("--ignore-paths", metavar="PATTERNS", help="Paths that do not wake it: /admin*, *.php; none; default.")
@format_option
def autosleep(call: Call, app: App, after: str | None, off: bool, ignore_agents: str | None, ignore_paths: str | None,
              format: str) -> None:
    """Let an idle app stop until the next request, or show whether it does.

    The request that comes is held, the app started, and the request answered. Workers, scheduled jobs and one-off
    containers that run, and open websockets keep it awake. Health probes and scanners do not wake it. It takes effect
    at once.

    Example: paas ps:autosleep hello --after 15m
    """
    if after and off:
        raise UsageError("--after and --off do not go together", "Give one of them.")
    rules = {"ignore-agents": ignore_agents, "ignore-paths": ignore_paths}
    if not (after or off or any(value is not None for value in rules.values())):
        call.record(rest.report(call.rt, app), format)
        return
    changed = [rest.set_rule(call.rt, app, key, value) for key, value in rules.items() if value is not None]
    if after or off:
        changed.append(rest.set_after(call.rt, app, read_after(after) if after else 0))
    call.say(f"{app.name}: stored." if any(changed) else "Nothing changed.")


@command("ps:sleep", mutates=True)
@app_argument
def sleep_(call: Call, app: App) -> None:
    """Put an app to sleep now; the next request wakes it.

    Requests that it is serving end first, at most for the drain timeout.

    Example: paas ps:sleep hello
    """
    call.say(f"{app.name} sleeps." if rest.sleep_now(call.rt, app) else "Nothing changed: it sleeps.")


@command("ps:wake", mutates=True)
@app_argument
def wake(call: Call, app: App) -> None:
    """Wake an app that sleeps.

    Example: paas ps:wake hello
    """
    call.say(f"{app.name} is awake." if rest.wake_now(call.rt, app) else "Nothing changed: it is awake.")


@command("ps:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set stop-timeout, task-timeout or restart-policy of an app.

    stop-timeout: the seconds from SIGTERM to SIGKILL. Without VALUE: back to the default.

    Example: paas ps:set hello stop-timeout 30
    """
    set_and_tell(call, app, "ps", key, value, "From the next release on.")


@command("ps:settings")
@app_argument
@format_option
def settings_(call: Call, app: App, format: str) -> None:
    """Show the settings that ps:set sets.

    Example: paas ps:settings hello
    """
    put_report(call, settings.report(call.rt, app, "ps"), format)


def age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def size(count: int) -> str:
    return megabytes(count) if count else ""
