"""``server:…``: settings of the whole server."""

import click

from paas.cli.base import Call, command, format_option
from paas.cli.config import read_pairs
from paas.cli.settings import put_report
from paas.errors import UsageError
from paas.ops import build_settings, settings
from paas.secret import Secret


@command("server:set", mutates=True)
@click.argument("key")
@click.argument("value", default="")
def set_(call: Call, key: str, value: str) -> None:
    """Set a limit or default of the server, at once.

    Without VALUE: back to the default.

    Example: paas server:set keep-releases 10
    """
    for line in settings.set_server(call.rt, key, value):
        call.warn(line)
    call.say(f"{key}: {value or 'the default'}")


@command("server:report")
@format_option
def report(call: Call, format: str) -> None:
    """Show the settings of the server and what they mean.

    Example: paas server:report
    """
    put_report(call, settings.server_report(call.rt), format)


@command("server:build-ca", mutates=True)
@click.argument("file", required=False)
@click.option("--clear", is_flag=True, help="Builds trust the usual certificates only.")
def build_ca(call: Call, file: str | None, clear: bool) -> None:
    """Have builds trust the certificates of your network.

    For a proxy that re-signs HTTPS. On standard input: a bundle in PEM form, with all that builds shall trust.
    Buildpacks use it; a Dockerfile asks for it by RUN --mount=type=secret,id=paas_ca. It is in no image.

    Example: paas server:build-ca < /etc/ssl/certs/ca-certificates.crt
    """
    if clear:
        call.say("Removed." if build_settings.clear_ca(call.rt.store) else "Nothing changed.")
        return
    limit = build_settings.MAX_CA_BYTES
    pem = call.local_file(file, limit) if file else call.stdin(limit)
    call.say(f"The next builds trust {build_settings.set_ca(call.rt.store, pem)} certificates.")


@command("server:build-env")
@format_option
def build_env(call: Call, format: str) -> None:
    """List the names of the variables that builds are given, without values.

    Example: paas server:build-env
    """
    keys = build_settings.variables(call.rt.store)
    call.rows(("key",), [(key,) for key in keys], format)


@command("server:build-env-set", mutates=True, secret=True)
@click.argument("pairs", nargs=-1, metavar="KEY=VALUE...")
def build_env_set(call: Call, pairs: tuple[str, ...]) -> None:
    """Give variables to every build: PIP_INDEX_URL, NPM_CONFIG_REGISTRY, GOPROXY, HTTPS_PROXY, …

    Buildpacks have them in their install steps; a Dockerfile sources them: RUN --mount=type=secret,id=paas_env
    . /run/secrets/paas_env && …. They are in no image. Proxies are predefined build arguments as well.

    Example: paas server:build-env-set PIP_INDEX_URL=https://pypi.example.com/simple
    """
    given = read_pairs(call, pairs, encoded=False, from_stdin=False)
    if not given:
        raise UsageError("name a variable: KEY=VALUE", "See: paas server:build-env")
    call.note(keys=" ".join(given)[:500])
    build_settings.set_variables(call.rt.store, {key: Secret(value) for key, value in given.items()})
    call.say("The next builds have them.")


@command("server:build-env-unset", mutates=True)
@click.argument("keys", nargs=-1, required=True)
def build_env_unset(call: Call, keys: tuple[str, ...]) -> None:
    """Take variables away from builds.

    Example: paas server:build-env-unset PIP_INDEX_URL
    """
    build_settings.unset_variables(call.rt.store, keys)
    call.say("The next builds are without.")
