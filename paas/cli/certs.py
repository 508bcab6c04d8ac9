"""``certs:…``: certificates of your own; public domains get theirs without them."""

import click

from paas.cli.base import Call, app_argument, command, format_option, optional_app_argument
from paas.errors import UsageError
from paas.model.app import App
from paas.ops import certs


@command("certs:add", mutates=True)
@command("certs:update", mutates=True)
@app_argument
@click.argument("files", nargs=-1, metavar="[CERT KEY]")
def add(call: Call, app: App, files: tuple[str, ...]) -> None:
    """Serve an app with your own certificate.

    On standard input: the certificate, its chain and its private key as PEM, or a tar of a .crt and a .key file.
    Root on the server may name the files. The one before is served until the proxy has taken the new one.

    Example: cat cert.pem key.pem | paas certs:add hello
    """
    if len(files) > 2:
        raise UsageError("name the certificate (with its chain) and its key, no more files")
    parts = [call.local_file(file, certs.MAX_TAR_BYTES) for file in files] or [call.stdin(certs.MAX_TAR_BYTES)]
    certificate, told = certs.add(call.rt, app, b"\n".join(parts))
    for line in told:
        call.warn(line)
    call.note(fingerprint=certificate.fingerprint)
    call.say(f"{app.name} is served with the certificate of {certificate.issuer} for {', '.join(certificate.names)}, "
             f"valid until {certificate.not_after:%Y-%m-%d}.")


@command("certs:remove", mutates=True)
@app_argument
def remove(call: Call, app: App) -> None:
    """Go back to automatic certificates.

    Example: paas certs:remove hello
    """
    for line in certs.remove(call.rt, app):
        call.warn(line)
    call.say(f"{app.name} uses automatic certificates.")


@command("certs")
@command("certs:report")
@optional_app_argument
@format_option
def report(call: Call, app: App | None, format: str) -> None:
    """Show the certificates that were added, of an app or of all. Automatic ones: paas domains.

    Example: paas certs:report hello
    """
    rows = [(one.name, list(held.names), held.issuer, held.not_after, held.fingerprint,
             certs.uncovered(call.rt, one, held)) for one, held in certs.report(call.rt, app)]
    call.rows(("app", "names", "issuer", "expires_at", "fingerprint", "not_covered"), rows, format)
