"""Caddy as the :class:`paas.ports.Router`.

A restart of the proxy alone must come up right, so the config is written to disk **after** Caddy has accepted it: what
it refused never becomes what it starts from. When Caddy is down, :meth:`CaddyRouter.apply` raises and the last good
config stays; the next ``reconcile`` brings it up to date. (A crash between load and write is healed likewise: every
``apply`` compares what runs *and* what is on disk.)
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from paas.adapters import caddy_ports, caddy_reload, caddy_tls
from paas.adapters.caddy_admin import CaddyAdmin, Refused
from paas.adapters.caddy_config import UPSTREAM_HEADER, make_config
from paas.adapters.caddy_layout import Layout, part
from paas.adapters.caddy_targets import TARGET, Targets
from paas.adapters.files import write_atomic
from paas.adapters.http import BODY_LIMIT, unix_request
from paas.adapters.x509 import X509Certificates
from paas.errors import BadInput, ProxyError
from paas.model import names
from paas.model.ports import clash
from paas.model.sleep import OWN_AGENT
from paas.ports import Page, ProxyAnswer, ProxyOptions, Site
from paas.settings import Settings


class CaddyRouter:
    """Thread-safe: `apply` runs one at a time, the rest is independent of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.layout = Layout(settings)
        self.targets = Targets(self.layout)
        self.admin = CaddyAdmin(self.layout)
        self._applying = threading.Lock()
        self._refused: dict[Site, str] = {}
        self._generation = 0

    def apply(self, sites: Sequence[Site], options: ProxyOptions) -> dict[int, str]:
        with self._applying:
            self.layout.prepare()
            good, refused = sift(sites)
            self.write_certificates(good, options)
            config, more = self.load(good, options)
            self._refused = {site: more[site.app_id] for site in good if site.app_id in more}
            self.persist(config)
            self.drop_certificates(config)
            return refused | more

    def current(self, sites: Sequence[Site], options: ProxyOptions) -> bool:
        """A site that the proxy refused at the last `apply`, and that did not change since, is still left out."""
        with self._applying:
            good = [site for site in sift(sites)[0] if site not in self._refused]
            running = self.admin.running()
            config = make_config(good, options, self.settings, taken(caddy_ports.wanted(good), running),
                                 caddy_reload.generation(running))
            return (all(self.targets.complete(site.app_id) for site in good) and self.persisted(config)
                    and running == config)

    def refused(self, sites: Sequence[Site]) -> dict[int, str]:
        with self._applying:
            good, refused = sift(sites)
            return refused | {site.app_id: self._refused[site] for site in good if site in self._refused}

    def taken(self, numbers: Iterable[int]) -> frozenset[int]:
        return taken(numbers, self.admin.running())

    def point(self, app_id: int, targets: Sequence[str] | Page) -> None:
        self.targets.write(app_id, targets)

    def pointed(self, app_id: int) -> tuple[str, ...] | Page | None:
        return self.targets.read(app_id)

    def forget(self, app_id: int) -> None:
        self.targets.remove(app_id)

    def known(self) -> list[int]:
        return self.targets.ids()

    def ask(self, host: str, path: str, timeout: float) -> ProxyAnswer:
        """Over an internal socket with the routes of the public one; only there the upstream is named."""
        try:
            status, headers, body = self.asked({"Host": host, "User-Agent": OWN_AGENT}, path, timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProxyError(f"the proxy gave no answer for {names.printable(host)} within {timeout:g} s",
                             "Look at: paas doctor.") from error
        upstream = headers.get(UPSTREAM_HEADER) or ""
        return ProxyAnswer(status, upstream if TARGET.fullmatch(upstream) else "", body)

    def in_flight(self) -> dict[str, int]:
        return self.admin.in_flight()

    def certificates(self) -> dict[str, datetime]:
        """Of hosts that the config in force gets certificates for; what is left of others in the store is not told."""
        try:
            config = json.loads(self.layout.config.read_bytes())
        except OSError:
            return {}
        automated = part(config, "apps", "tls", "certificates").get("automate", [])
        return caddy_tls.stored_certificates(self.layout, set(automated))

    def healthy(self) -> bool:
        try:
            return self.admin.request("GET", "/config/admin")[0] == 200
        except ProxyError:
            return False

    # Private: the config in force

    def asked(self, headers: Mapping[str, str], path: str, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
        """By the generation that the proxy was given last, or that it has started from."""
        own = self._generation
        try:
            return unix_request(self.layout.ask(own), "GET", path, timeout, headers=headers, limit=BODY_LIMIT)
        except (FileNotFoundError, ConnectionRefusedError):
            answer = unix_request(self.layout.ask(1 - own), "GET", path, timeout, headers=headers, limit=BODY_LIMIT)
        self._generation = 1 - own
        return answer

    # Private: from sites to a config in force

    def load(self, sites: list[Site], options: ProxyOptions) -> tuple[dict, dict[int, str]]:
        """(the config now in force, app id → reason of what had to be left out)."""
        running = self.admin.running()
        left_out, own = taken(caddy_ports.wanted(sites), running), caddy_reload.generation(running)
        self.give_pages(sites)
        config = make_config(sites, options, self.settings, left_out, own)
        if running == config:
            return config, {}
        refused: dict[int, str] = {}
        config = make_config(sites, options, self.settings, left_out, 1 - own)
        try:
            self.follow(running, config)
        except Refused as whole:
            refused = self.find_bad(sites, options)
            if not refused:
                raise ProxyError(f"the proxy refused its configuration: {whole}",
                                 "The last good one stays in force. Look at: paas doctor.") from None
            good = [site for site in sites if site.app_id not in refused]
            config = make_config(good, options, self.settings, left_out, 1 - own)
            self.follow_rest(running, config)
        return config, refused

    def follow(self, running: dict | None, config: dict) -> None:
        """From the config that runs to *config*, which is of the other generation. :raises Refused: it stays."""
        own = caddy_reload.generation(running)
        # The proxy has one store of certificates: one that is replaced is served until its config has ended.
        same = caddy_tls.own_certificates(running) == caddy_tls.own_certificates(config)
        alone = caddy_reload.steer(self.layout) and same
        self.admin.load(config, lambda: alone and caddy_reload.is_leaving(self.layout, own))
        self._generation = 1 - own

    def follow_rest(self, running: dict | None, config: dict) -> None:
        try:
            self.follow(running, config)
        except Refused as error:
            raise ProxyError(f"the proxy refused its configuration: {error}",
                             "The last good one stays in force. Look at: paas doctor.") from None

    def give_pages(self, sites: Sequence[Site]) -> None:
        for site in sites:
            if not self.targets.complete(site.app_id):
                self.point(site.app_id, Page.NO_RELEASE)

    def find_bad(self, sites: list[Site], options: ProxyOptions) -> dict[int, str]:
        """Halve until each refused site stands alone. Checked by a process of its own: the running proxy goes on
        serving everybody meanwhile."""
        reason = self.admin.validate(make_config(sites, options, self.settings))
        if not reason or not sites:
            return {}
        if len(sites) == 1:
            return {sites[0].app_id: f"the proxy refused it: {reason}"}
        middle = len(sites) // 2
        return self.find_bad(sites[:middle], options) | self.find_bad(sites[middle:], options)

    def persist(self, config: dict) -> None:
        if not self.persisted(config):
            self.write(self.layout.config, json.dumps(config).encode())

    def persisted(self, config: dict) -> bool:
        path = self.layout.config
        return path.exists() and path.read_bytes() == json.dumps(config).encode()

    # Private: certificate files

    def write_certificates(self, sites: Sequence[Site], options: ProxyOptions) -> None:
        for site in sites:
            if site.certificate:
                certificate, key = caddy_tls.own_files(site, self.layout)
                self.write_missing(certificate, site.certificate.encode())
                self.write_missing(key, site.key.reveal().encode())
        if options.acme_ca_root:
            try:
                data = Path(options.acme_ca_root).read_bytes()
            except OSError as error:
                raise ProxyError(f"the root certificate of the ACME server cannot be read: {error.strerror}",
                                 "Correct the server setting acme-ca-root.") from error
            copy = caddy_tls.root_file(options, self.layout)
            if not copy.exists() or copy.read_bytes() != data:
                self.write(copy, data)

    def write_missing(self, path: Path, data: bytes) -> None:
        if not path.exists():
            self.write(path, data)

    def write(self, path: Path, data: bytes) -> None:
        try:
            write_atomic(path, data, 0o640, self.layout.owner)
        except OSError as error:
            raise ProxyError(f"a file of the proxy could not be written: {error.strerror}",
                             "Look at the free space and the permissions: paas doctor.") from error

    def drop_certificates(self, config: dict) -> None:
        """Certificates and keys that the config in force does not name."""
        kept = json.dumps(config["apps"]["tls"])
        for path in self.layout.certificates.iterdir():
            if not path.name.startswith(".") and str(path) not in kept:
                path.unlink(missing_ok=True)


def taken(numbers: Iterable[int], running: dict | None) -> frozenset[int]:
    """Of these public ports, those that a proxy with the config *running* does not hold and could not get."""
    return frozenset(one for one in set(numbers) - caddy_ports.served(running) if not caddy_ports.free(one))


def sift(sites: Sequence[Site]) -> tuple[list[Site], dict[int, str]]:
    """(sites that can be expressed, app id → reason for the others)."""
    good, refused, owners, schemes = [], {}, {}, {}
    for site in sites:
        reason = fault(site, owners) or clash(site.ports, schemes)
        if reason:
            refused[site.app_id] = reason
            continue
        good.append(site)
        owners |= {host.lower().removesuffix("."): site.app_id for host in site.hosts}
    return good, refused


def fault(site: Site, owners: dict[str, int]) -> str:
    """Why *site* cannot be expressed; "" when it can."""
    try:
        for host in site.hosts:
            if names.domain(host) in owners:
                return f"{host} belongs to another app already"
        if site.certificate or site.key:
            key = site.key.reveal() if site.key else ""
            X509Certificates().read(f"{site.certificate}\n{key}".encode())
    except BadInput as error:
        return error.what
    return ""
