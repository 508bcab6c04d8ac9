"""Certificates in the proxy's config: which hosts get one from the ACME authority, which have their own.

A certificate is only ever asked for an exact host of a registered app (never on demand, RFC 8555), and only where a
public authority could know the name at all (RFC 6761, RFC 6762: the special-use names are skipped).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from paas.adapters.caddy_layout import Layout, part
from paas.ports import ProxyOptions, Site

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LOCAL_NAMES = ("localhost",)
PRIVATE_NAMES = ("test", "internal", "local", "example", "invalid", "lan", "home.arpa")
SHARED_NAMES = ("sslip.io", "nip.io")    # public, but everybody's: their rate limits are used up
NO_CERTIFICATE = ""                      # instead of a file: plain HTTP only


def under(host: str, suffixes: Sequence[str]) -> bool:
    return any(host == one or host.endswith("." + one) for one in suffixes)


def wants_acme(host: str, options: ProxyOptions) -> bool:
    """A certificate shall be asked for *host*. A directory set by the admin may know private names too."""
    if not options.https or host.startswith("*") or under(host, LOCAL_NAMES):
        return False
    return bool(options.acme_directory) or not under(host, PRIVATE_NAMES + SHARED_NAMES)


def certificate_names(chain: str) -> tuple[str, ...]:
    """DNS names of the first certificate of a PEM chain; () when it is not readable."""
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificate(chain.encode())
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def covers(names: Sequence[str], host: str) -> bool:
    """A wildcard stands for exactly one label (RFC 9525, section 6.3)."""
    return host in names or "*." + host.partition(".")[2] in names


def own_files(site: Site, layout: Layout) -> tuple[Path, Path]:
    """(certificate, key) of a site. The name changes with the content, so that the proxy sees a renewed one."""
    key = site.key.reveal() if site.key else ""
    mark = hashlib.sha256(f"{site.certificate}\0{key}".encode()).hexdigest()[:16]
    stem = layout.certificates / f"{site.app_id}-{mark}"
    return stem.with_suffix(".crt"), stem.with_suffix(".key")


def root_file(options: ProxyOptions, layout: Layout) -> Path:
    """The proxy's copy of `acme_ca_root` (it may not read the admin's file), named by the original's path."""
    return layout.certificates / f"acme-root-{hashlib.sha256(options.acme_ca_root.encode()).hexdigest()[:16]}.pem"


def presence_file(host: str, site: Site, names: Sequence[str], options: ProxyOptions, layout: Layout) -> str:
    """Path, below the proxy's directory, of the file that exists once the proxy can serve *host* over TLS.

    Plain HTTP is redirected when it is there; so neither a reload nor the daemon is needed when a certificate arrives.
    """
    if names and covers(names, host):
        return "/" + str(own_files(site, layout)[0].relative_to(layout.root))
    if not wants_acme(host, options):
        return NO_CERTIFICATE
    return f"/{layout.storage.name}/certificates/{issuer_key(options)}/{host}/{host}.crt"


def issuer_key(options: ProxyOptions) -> str:
    """The directory that CertMagic, Caddy's certificate store, uses for an ACME authority."""
    url = urlsplit(options.acme_directory or LETS_ENCRYPT)
    path = url.path.replace("/", "-").strip("-")
    key = f"{url.netloc}-{path}" if path else url.netloc
    key = key.lower().replace(" ", "_").replace("+", "_plus_").replace("*", "wildcard_").replace(":", "-")
    return re.sub(r"[^\w@.-]", "", key.replace("..", ""))


def tls_app(sites: Sequence[Site], options: ProxyOptions, layout: Layout) -> dict:
    """The ``tls`` part of the config."""
    loaded, automated = [], set()
    for site in sites:
        names = certificate_names(site.certificate) if site.certificate else ()
        if site.certificate:
            certificate, key = own_files(site, layout)
            loaded.append({"certificate": str(certificate), "key": str(key)})
        automated |= {host for host in site.hosts if wants_acme(host, options) and not covers(names, host)}
    certificates = {}
    if loaded:
        certificates["load_files"] = sorted(loaded, key=lambda one: one["certificate"])
    if automated:
        certificates["automate"] = sorted(automated)
    app = {"certificates": certificates} if certificates else {}
    return {**app, "automation": {"policies": [{"issuers": [acme_issuer(options, layout)]}]}}


def own_certificates(config: dict | None) -> list[dict]:
    """Of a config, the files of :func:`own_files` that it loads."""
    return part(config, "apps", "tls", "certificates").get("load_files", [])


def acme_issuer(options: ProxyOptions, layout: Layout) -> dict:
    issuer = {"module": "acme", "ca": options.acme_directory or LETS_ENCRYPT, "challenges": {
        "http": {"alternate_port": layout.settings.http_port},
        "tls-alpn": {"alternate_port": layout.settings.https_port}}}
    if options.acme_email:
        issuer["email"] = options.acme_email
    if options.acme_ca_root:
        issuer["trusted_roots_pem_files"] = [str(root_file(options, layout))]
    return issuer


def stored_certificates(layout: Layout, hosts: Collection[str]) -> dict[str, datetime]:
    """Host → end of validity, of every ACME certificate in the proxy's storage that is for one of *hosts*."""
    from cryptography import x509

    found: dict[str, datetime] = {}
    for path in layout.storage.glob("certificates/*/*/*.crt"):
        if path.stem not in hosts:
            continue
        try:
            leaf = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError):
            continue
        found[path.stem] = max(leaf.not_valid_after_utc, found.get(path.stem, leaf.not_valid_after_utc))
    return found
