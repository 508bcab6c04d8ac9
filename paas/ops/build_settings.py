"""What every build on this server is given: a bundle of CA certificates, index URLs, proxies. Sealed, in no image.

They reach a build as the secrets ``paas_ca`` (PEM) and ``paas_env`` (lines ``export KEY='value'``), which generated
Dockerfiles mount where they need the network and others may: ``RUN --mount=type=secret,id=paas_env …``. Proxies are
given as Docker's predefined build arguments too, which are in no image's history.
"""

from __future__ import annotations

import json
import shlex
import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paas.errors import BadInput, NotFound
from paas.model import names
from paas.model.buildpack import BuildEnvironment
from paas.ops.builder import ARGUMENT
from paas.ops.builder import MAX_BYTES as MAX_VALUE
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.model.app import App
    from paas.ports_store import Store

CA, ENVIRONMENT = "build-ca", "build-env"        # as they are stored
CA_SECRET, ENVIRONMENT_SECRET = "paas_ca", "paas_env"
MAX_CA_BYTES = 1024**2
MAX_VARIABLES = 100
# https://docs.docker.com/build/building/variables/#pre-defined-build-arguments
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"})


def environment(store: Store, app: App) -> BuildEnvironment:
    return BuildEnvironment(scope=f"{app.id}-", ca=store.sealed_setting(CA) is not None,
                            environment=bool(variables(store)))


def variables(store: Store) -> dict[str, Secret]:
    stored = store.sealed_setting(ENVIRONMENT)
    return {key: Secret(value) for key, value in sorted(json.loads(stored.reveal()).items())} if stored else {}


def set_variables(store: Store, given: Mapping[str, Secret]) -> None:
    """Kept until unset; every later build of any app has them. BadInput."""
    for key, value in given.items():
        if not ARGUMENT.fullmatch(key):
            raise BadInput(f"'{names.printable(key)}' cannot name a variable", "Use letters, digits and _.")
        if not value.reveal().isprintable() or len(value) > MAX_VALUE:
            raise BadInput(f"the value of {key} must be printable text of at most {MAX_VALUE} characters")
    wanted = {**variables(store), **given}
    if len(wanted) > MAX_VARIABLES:
        raise BadInput(f"builds can have at most {MAX_VARIABLES} variables")
    put(store, wanted)


def unset_variables(store: Store, keys: Sequence[str]) -> None:
    """NotFound, and nothing changes, if one of them is not there."""
    now = variables(store)
    for key in keys:
        if key not in now:
            raise NotFound(f"builds have no variable {names.printable(key)}", "See: paas server:build-env")
    put(store, {key: value for key, value in now.items() if key not in keys})


def put(store: Store, wanted: Mapping[str, Secret]) -> None:
    text = json.dumps({key: value.reveal() for key, value in wanted.items()})
    store.set_sealed_setting(ENVIRONMENT, Secret(text) if wanted else None)


def set_ca(store: Store, pem: bytes) -> int:
    """Certificates that builds trust beside (or as) the usual ones; how many. BadInput: not PEM."""
    try:
        text = pem.decode("ascii")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=text)
    except (UnicodeDecodeError, ssl.SSLError, ValueError):
        raise BadInput("that is not a bundle of certificates in PEM form",
                       "Give what curl and pip take, for example /etc/ssl/certs/ca-certificates.crt.") from None
    store.set_sealed_setting(CA, Secret(text))
    return context.cert_store_stats()["x509"]


def clear_ca(store: Store) -> bool:
    """False: there was none."""
    there = store.sealed_setting(CA) is not None
    store.set_sealed_setting(CA, None)
    return there


def secrets(store: Store) -> dict[str, Secret]:
    """What is mounted into every build, by the id of ``--mount=type=secret``."""
    found: dict[str, Secret] = {}
    if (ca := store.sealed_setting(CA)) is not None:
        found[CA_SECRET] = ca
    if (given := variables(store)):
        lines = (f"export {key}={shlex.quote(value.reveal())}\n" for key, value in given.items())
        found[ENVIRONMENT_SECRET] = Secret("".join(lines))
    return found


def proxy_arguments(store: Store) -> dict[str, str]:
    """In both spellings: curl reads ``http_proxy`` only, others only capitals."""
    found = {}
    for key, value in variables(store).items():
        if key.upper() in PROXIES:
            found |= {key.upper(): value.reveal(), key.lower(): value.reveal()}
    return found
