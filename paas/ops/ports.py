"""Ports of an app: the one in its container that the site is on, and further public ones beside 80 and 443.

A further public port is served from the moment it is added, for all domains of the app; no release is made. Several
apps may share one, told apart by the host that is asked for, as they share 80.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from paas.errors import BadInput, Conflict, PaasError, ProxyError, UsageError
from paas.model import app_settings, ports
from paas.model.app import App
from paas.model.ports import SETTING, PublicPort
from paas.ops import domains, exposition, routes, settings, traffic

if TYPE_CHECKING:
    from paas.runtime import Runtime

MAIN = "proxy.port"


def report(rt: Runtime, app: App) -> dict[str, object]:
    live = rt.store.live_release(app.id)
    found = sorted({row.port for row in traffic.web_instances(rt, app) if row.port})
    further = ports.of(app.settings)
    hosts = [one.name for one in rt.store.domains(app.id)]
    taken: Iterable[int] = ()
    if further:
        with contextlib.suppress(ProxyError):                    # told by `paas doctor`
            taken = rt.router.taken([one.number for one in further])
    return {"app": app.name, "set": app.settings.get(MAIN, ""), "listening": found,
            "exposed": list(live.exposed) if live else [],
            "served_on": [rt.settings.http_port, rt.settings.https_port],
            "further": [str(one) for one in further], "taken_by_others": sorted(taken),
            "further_urls": [f"{one.scheme}://{host}:{one.number}" for one in further for host in hosts]}


def taken(rt: Runtime) -> dict[int, list[str]]:
    """Public ports that another program holds → names of the apps that have them: they are not served."""
    owners: dict[int, list[str]] = {}
    for app in rt.store.apps():
        for one in ports.of(app.settings):
            owners.setdefault(one.number, []).append(app.name)
    return {number: owners[number] for number in sorted(rt.router.taken(owners))} if owners else {}


def remedy(number: int, apps: Sequence[str]) -> str:
    return (f"ss -tanp 'sport = :{number}' names the other program: end it, and the proxy has the port again within "
            f"two minutes; or paas ports:remove {apps[0]} {number}")


# changes: True, or a line for each that was made ---------------------------------------------------------------------


def add(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """Mappings beside those that there are; one of a public port that the app has already takes its place."""
    if bare := [text for text in given if ":" not in text]:
        ports.parse(bare[0])                                     # refuses it
    main, further = read(given)
    with rt.routing:
        fresh = {one.number for one in further}
        kept = [one for one in current(rt, app) if one.number not in fresh]
        return change(rt, app, main, [*kept, *further] if further else None)


def set_all(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """The site's port in the container, and exactly these further ports; each is left as it is where none is given."""
    main, further = read(given)
    with rt.routing:
        return change(rt, app, main, further or None)


def remove(rt: Runtime, app: App, given: Sequence[str]) -> list[str]:
    """BadInput, and nothing is removed, if the app lacks one of them."""
    with rt.routing:
        now = current(rt, app)
        going = ports.meant(given, now)
        return change(rt, app, None, [one for one in now if one not in going])


def clear(rt: Runtime, app: App) -> list[str]:
    """No further port, and the site's is found by itself again."""
    with rt.routing:
        return change(rt, app, "", [])


def read(given: Sequence[str]) -> tuple[str | None, list[PublicPort]]:
    """(the container's port of the site or None, further ports); BadInput, UsageError."""
    main = {found for text in given if (found := ports.main_port(text))}
    if len(main) > 1:
        raise UsageError("an app's site has one port", "It is on 80 and 443; give the port in the container once.")
    further = list(dict.fromkeys(ports.parse(text) for text in given if not ports.main_port(text)))
    why = ports.clash(further, {})
    if why:
        raise BadInput(why, ports.EXAMPLE)
    return (main.pop() if main else None), further


def current(rt: Runtime, app: App) -> list[PublicPort]:
    return list(ports.of(rt.store.app_by_id(app.id).settings))


def change(rt: Runtime, app: App, main: str | None, further: Sequence[PublicPort] | None) -> list[str]:
    """What did change, as lines. None: leave that as it is."""
    if main:
        app_settings.APP[MAIN].check(main)                       # before anything is changed
    told = []
    if further is not None and replace(rt, app, further):
        told.append(f"{app.name} has further public ports: {', '.join(map(str, current(rt, app))) or 'none'}.")
    if main is not None and settings.set_app(rt, app, "proxy", "port", main):
        told.append(f"proxy port of {app.name}: {main or 'the default'}. From the next release on, or now with: paas "
                    f"ps:restart {app.name}")
    return told


def replace(rt: Runtime, app: App, wanted: Sequence[PublicPort]) -> bool:
    """All or nothing: what the proxy refuses, or cannot be told, is put back as it was. False: nothing changed."""
    before = rt.store.app_by_id(app.id).settings.get(SETTING)
    after = ports.to_setting(wanted)
    if after == before:
        return False
    fresh = [one for one in wanted if one not in current(rt, app)]
    refuse(rt, app, wanted, fresh)
    try:
        rt.store.set_app_setting(app.id, SETTING, after)
        refused = routes.apply(rt)
        if app.id in refused and fresh:
            raise ProxyError(f"the proxy does not take these ports: {refused[app.id]}")
    except PaasError as error:
        put_back(rt, app, before)
        raise type(error)(error.what, f"The ports of {app.name} are as they were. {error.hint}".rstrip()) from error
    return True


def put_back(rt: Runtime, app: App, before: str | None) -> None:
    rt.store.set_app_setting(app.id, SETTING, before)
    with contextlib.suppress(PaasError):                         # reconcile tells the proxy; the first error is told
        routes.apply(rt)


# what may be a public port -------------------------------------------------------------------------------------------


def refuse(rt: Runtime, app: App, wanted: Sequence[PublicPort], fresh: Sequence[PublicPort]) -> None:
    """BadInput or Conflict: one of *fresh* cannot be had, or *wanted* are too many."""
    if len(wanted) > ports.PER_APP:
        raise BadInput(f"{app.name} would have {len(wanted)} further public ports",
                       f"An app may have {ports.PER_APP}. Remove some: paas ports:remove {app.name} PORT")
    others = {one: other.name for other in rt.store.apps() if other.id != app.id
              for one in ports.of(other.settings)}
    if fresh and len({one.number for one in (*others, *wanted)}) > ports.PER_SERVER:
        raise BadInput(f"the apps of this server have {ports.PER_SERVER} further public ports, which is the limit",
                       "Share one with another app: they are told apart by their domains.")
    for one in fresh:
        refuse_kept(rt, one.number)
        clashes = [name for other, name in others.items() if other.number == one.number and other.scheme != one.scheme]
        if clashes:
            raise Conflict(f"the public port {one.number} does not speak {one.scheme}: {clashes[0]} has it otherwise",
                           "A public port has one scheme for all apps. Give another number.")
    refuse_taken(rt, fresh)
    refuse_without_tls(rt, app, fresh)


def refuse_kept(rt: Runtime, number: int) -> None:
    """BadInput: the platform itself or an exposed service has it."""
    own = {rt.settings.ssh_port: "SSH", rt.settings.http_port: "the sites", rt.settings.https_port: "the sites"}
    scraped = exposition.listen(rt).rpartition(":")[2]
    if scraped:
        own[int(scraped)] = "Prometheus (server setting prometheus-listen)"
    for service in rt.store.services():
        exposed = service.settings.get("expose", "").rpartition(":")[2]
        if exposed:
            own[int(exposed)] = f"{service.title}, which is exposed there"
    if number in own:
        raise BadInput(f"the port {number} of this server is for {own[number]}", "Give another number.")


def refuse_taken(rt: Runtime, fresh: Sequence[PublicPort]) -> None:
    for number in sorted(rt.router.taken([one.number for one in fresh])) if fresh else ():
        raise BadInput(f"another program of this server uses the port {number}",
                       f"Give another number. Which one it is, root sees with: ss -tanp 'sport = :{number}'")


def refuse_without_tls(rt: Runtime, app: App, fresh: Sequence[PublicPort]) -> None:
    if not any(one.scheme == "https" for one in fresh) or rt.store.certificate(app.id):
        return
    if not set(domains.current(rt, app)) & rt.router.certificates().keys():
        raise BadInput(f"{app.name} has no certificate for https", f"See paas domains:report {app.name}; bring one "
                       f"with paas certs:add {app.name}, or add the port as http.")
