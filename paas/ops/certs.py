"""Certificates that a user brings: checked before anything changes, put back if the proxy refuses them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from paas.errors import BadInput, NotFound, PaasError, ProxyError
from paas.model.access import Certificate
from paas.model.app import App
from paas.ops import domains, routes
from paas.ports import KeyPair
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

MAX_BYTES = 64 * 1024                    # chain and key together
MAX_TAR_BYTES = 256 * 1024               # a tar pads
Held = tuple[Certificate, Secret]


def read(data: bytes) -> bytes:
    """PEM from *data*: PEM itself, or a tar with one \\*.crt (or .pem) and one \\*.key, as Dokku takes it."""
    if len(data) > MAX_TAR_BYTES:
        raise BadInput("a certificate with its chain and key has at most 64 KB")
    pem = data if b"-----BEGIN" in data[:4096] and data[257:262] != b"ustar" else from_tar(data)
    if len(pem) > MAX_BYTES:
        raise BadInput("a certificate with its chain and key has at most 64 KB")
    return pem


def from_tar(data: bytes) -> bytes:
    """Plain, not compressed (a small bomb would cost minutes). Nothing is unpacked to disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = [one for one in tar if not one.isdir()]
            if not all(one.isreg() and one.size <= MAX_BYTES for one in members):
                raise BadInput("the tar may hold only regular files of at most 64 KB")
            chain = pick(members, (".crt", ".pem"), "certificate (*.crt)")
            key = pick(members, (".key",), "private key (*.key)")
            return tar.extractfile(chain).read() + b"\n" + tar.extractfile(key).read()
    except (tarfile.TarError, EOFError, OSError):
        raise BadInput("this is neither PEM text nor a tar",
                       "Send certificate, chain and key: cat cert.pem key.pem | paas certs:add APP") from None


def pick(members: Iterable[tarfile.TarInfo], ends: tuple[str, ...], what: str) -> tarfile.TarInfo:
    found = [one for one in members if one.name.endswith(ends) and not one.name.rpartition("/")[2].startswith("._")]
    if len(found) != 1:
        raise BadInput(f"the tar holds {len(found)} files that could be the {what}; one is needed")
    return found[0]


def add(rt: Runtime, app: App, data: bytes) -> tuple[Certificate, list[str]]:
    """Serve *app* with this certificate; return it and warnings. BadInput: it is not fit; ProxyError: not taken.

    Until the proxy has taken it the old one is served; one that is refused leaves everything as it was.
    """
    pair = rt.certificates.read(read(data))
    refuse_expired(rt, pair)
    made = Certificate(app.id, pair.chain, pair.names, pair.issuer, pair.not_after, pair.fingerprint)
    with rt.routing:
        before = rt.store.certificate(app.id)
        try:
            rt.store.put_certificate(made, pair.key)
            refused = routes.apply(rt)
            if app.id in refused:
                raise ProxyError(f"the proxy does not take this certificate: {refused[app.id]}")
        except PaasError as error:
            put_back(rt, app, before)
            hint = f"The certificate of {app.name} is as it was. {error.hint}".rstrip()
            raise type(error)(error.what, hint) from error
    return made, uncovered_lines(rt, app, made) + domains.quarantine_lines(rt, refused)


def refuse_expired(rt: Runtime, pair: KeyPair) -> None:
    now = rt.clock.now()
    if pair.not_after <= now:
        raise BadInput(f"the certificate expired on {pair.not_after:%Y-%m-%d}", "Renew it and add the new one.")
    if pair.not_before > now:
        raise BadInput(f"the certificate is not valid before {pair.not_before:%Y-%m-%d %H:%M} UTC")


def put_back(rt: Runtime, app: App, before: Held | None) -> None:
    if before:
        rt.store.put_certificate(*before)
    else:
        rt.store.remove_certificate(app.id)
    try:
        routes.apply(rt)
    except PaasError:
        return                           # reconcile tells the proxy; the first error is the one to report


def remove(rt: Runtime, app: App) -> list[str]:
    """Back to automatic certificates."""
    get(rt, app)
    with rt.routing:
        rt.store.remove_certificate(app.id)
        return domains.quarantine_lines(rt, routes.apply(rt))


def get(rt: Runtime, app: App) -> Certificate:
    held = rt.store.certificate(app.id)
    if not held:
        raise NotFound(f"{app.name} has no certificate of its own", "Public domains get one by themselves.")
    return held[0]


def report(rt: Runtime, app: App | None = None) -> list[tuple[App, Certificate]]:
    held = [(one, rt.store.certificate(one.id)) for one in ([app] if app else rt.store.apps())]
    return [(one, pair[0]) for one, pair in held if pair]


def uncovered(rt: Runtime, app: App, certificate: Certificate) -> list[str]:
    """The app's domains that visitors would get a warning for."""
    return [name for name in domains.current(rt, app) if not covers(certificate.names, name)]


def uncovered_lines(rt: Runtime, app: App, certificate: Certificate) -> list[str]:
    return [f"the certificate does not cover {name}" for name in uncovered(rt, app, certificate)]


def covers(certified: Iterable[str], host: str) -> bool:
    """RFC 6125, section 6.4.3: a wildcard stands for exactly the first label."""
    return any(name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:]) for name in certified)
