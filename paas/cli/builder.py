"""``builder:…``: how the image of an app is built."""

import click

from paas.cli.base import Call, app_argument, command, format_option
from paas.cli.settings import put_report, set_and_tell
from paas.errors import UsageError
from paas.model.app import App
from paas.ops import builder, settings

KINDS = ("dockerfile", "buildpack", "image")


@command("builder:set", mutates=True)
@app_argument
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, app: App, key: str, value: str) -> None:
    """Set how an app is built. Without VALUE: back to the default.

    selected: dockerfile, buildpack or image (builder:set APP dockerfile is short for it). dockerfile-path, and
    build-dir, the directory that is the app in a monorepo; the path is relative to it. no-cache. What each means:
    paas builder:report.

    Example: paas builder:set hello build-dir services/api
    """
    if key in KINDS and not value:
        key, value = "selected", key
    set_and_tell(call, app, "builder", key, value, "From the next push on.")


@command("builder:report")
@app_argument
@format_option
def report(call: Call, app: App, format: str) -> None:
    """Show the builder's settings, arguments and names of secrets.

    Example: paas builder:report hello
    """
    lines = settings.report(call.rt, app, "builder")
    lines += [settings.Line(f"arg {name}", value, True, "build argument")
              for name, value in builder.arguments(app).items()]
    lines += [settings.Line(f"secret {name}", "", True, "build secret: the config var of that name")
              for name in builder.secrets(app)]
    put_report(call, lines, format)


@command("builder:arg", mutates=True, secret=True)
@app_argument
@click.argument("pairs", nargs=-1, metavar="NAME=VALUE...")
@click.option("--unset", multiple=True, metavar="NAME", help="Remove one.")
def arg(call: Call, app: App, pairs: tuple[str, ...], unset: tuple[str, ...]) -> None:
    """Set build arguments (ARG lines of the Dockerfile). They end up in the image's history: no secrets.

    Example: paas builder:arg hello NODE_VERSION=22
    """
    given = {}
    for place, pair in enumerate(pairs, 1):
        name, equals, given[name] = pair.partition("=")
        if not equals:
            raise UsageError(f"word {place} after the app is not NAME=VALUE", "To remove one: --unset NAME")
    if not given and not unset:
        raise UsageError("name an argument to set, or one to --unset", f"See: paas builder:report {app.name}")
    call.note(names=" ".join([*given, *unset])[:500])
    builder.unset(call.rt, app, builder.ARG, unset)
    builder.set_arguments(call.rt, app, given)
    call.say("The next build has it.")


@command("builder:secret", mutates=True)
@app_argument
@click.argument("keys", nargs=-1)
@click.option("--unset", multiple=True, metavar="KEY", help="Mount it no more.")
def secret(call: Call, app: App, keys: tuple[str, ...], unset: tuple[str, ...]) -> None:
    """Mount config vars into builds as secrets.

    For RUN --mount=type=secret,id=KEY; the values are in no layer and no log.

    Example: paas builder:secret hello NPM_TOKEN
    """
    if not keys and not unset:
        raise UsageError("name a config var to mount, or one to --unset", f"See: paas builder:report {app.name}")
    builder.unset(call.rt, app, builder.SECRET, unset)
    for missing in builder.add_secrets(call.rt, app, keys):
        call.warn(f"{missing} is not set yet: paas config:set --no-restart {app.name} {missing}=…")
    call.say("The next build has it.")
