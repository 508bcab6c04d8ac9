"""The settings of an app and of the server: key, default, meaning, and how a value is checked.

One table feeds `apps:set`-like commands, their help, the report and the documentation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from zoneinfo import ZoneInfo

from paas.errors import BadInput
from paas.model import extra_hosts, names, sleep


def text(value: str) -> str:
    if not value.isprintable() or len(value) > 500:
        raise BadInput("the value must be printable text of at most 500 characters")
    return value


def flag(value: str) -> str:
    if value.lower() in ("true", "on", "yes", "1"):
        return "true"
    if value.lower() in ("false", "off", "no", "0"):
        return "false"
    raise BadInput(f"'{names.printable(value)}' is neither true nor false", "Give true or false.")


def whole(low: int, high: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value.isascii() or not value.isdigit() or len(value) > 15 or not low <= int(value) <= high:
            raise BadInput(f"'{names.printable(value)}' is not a whole number from {low} to {high}")
        return str(int(value))
    return check


def seconds(low: float, high: float) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) or not low <= float(value) <= high:
            raise BadInput(f"'{names.printable(value)}' is not a number of seconds from {low:g} to {high:g}")
        return value
    return check


def number(low: float, high: float) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) or not low <= float(value) <= high:
            raise BadInput(f"'{names.printable(value)}' is not a number from {low:g} to {high:g}")
        return value
    return check


def url_path(value: str) -> str:
    if not re.fullmatch(r"/[\x21-\x7e]{0,499}", value):
        raise BadInput(f"'{names.printable(value)}' is not a path", "Give a path that begins with '/'.")
    return value


def statuses(value: str) -> str:
    match = re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?", value)
    if not match or (match[2] and match[2] < match[1]):
        raise BadInput(f"'{names.printable(value)}' is not a status", "Give one like 200, or a range like 200-399.")
    return value


def listening(value: str) -> str:
    """An address of this machine and a port; of IPv6 in brackets."""
    host, colon, port = value.rpartition(":")
    try:
        address = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
        if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535 \
                or (address.version == 6) != host.startswith("["):
            raise ValueError
    except ValueError:
        raise BadInput(f"'{names.printable(value)}' is not an address and a port",
                       "Give one like 127.0.0.1:9469 or [::1]:9469.") from None
    return value


def choice(*words: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in words:
            raise BadInput(f"'{names.printable(value)}' is not one of {', '.join(words)}")
        return value
    return check


def context_path(value: str) -> str:
    """A relative path inside the source, without '..' or control characters."""
    parts = value.split("/")
    if not value or len(value) > 300 or not value.isprintable() or value.startswith("-") \
            or any(part in ("", ".", "..") for part in parts):
        raise BadInput(f"'{names.printable(value)}' is not a path inside the source",
                       "Give a relative path like docker/Dockerfile.")
    return value


def restart_policy(value: str) -> str:
    """As ``docker run --restart`` has them."""
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:[1-9]\d{0,3})?", value):
        raise BadInput(f"'{names.printable(value)}' is not a restart policy",
                       "Give on-failure, on-failure:TIMES, always, unless-stopped or no.")
    return value


def zone(value: str) -> str:
    """A time zone of the IANA database, as this machine has it; UTC always."""
    try:
        return value if value == "UTC" else ZoneInfo(value).key
    except (KeyError, ValueError, OSError):
        raise BadInput(f"this server does not know the time zone '{names.printable(value)}'",
                       "Give a name like Europe/Berlin or UTC.") from None


@dataclass(frozen=True)
class Setting:
    key: str
    default: str
    meaning: str
    check: Callable[[str], str] = text


def _table(*settings: Setting) -> Mapping[str, Setting]:
    return {setting.key: setting for setting in settings}


STRATEGY = "strategy."                   # + process type: what `ps:strategy` stores

# `git:set`, `builder:set`, `checks:set`, `ps:set`: the word before the dot is the namespace.
APP = _table(
    Setting("git.deploy-branch", "", "branch whose push deploys; empty: main, or master if that is pushed first",
            names.branch),
    Setting("builder.dockerfile-path", "Dockerfile", "path of the Dockerfile in the source", context_path),
    Setting("builder.selected", "", "dockerfile, buildpack or image; empty: the Dockerfile, else a buildpack",
            choice("dockerfile", "buildpack", "image")),
    Setting("builder.buildpack", "", "language of the buildpack; empty: the first that fits", names.process_type),
    Setting("builder.build-dir", "", "directory of the source that is the app (a monorepo); empty: all of it",
            context_path),
    Setting("builder.no-cache", "false", "build every layer anew", flag),
    Setting("checks.path", "", "path asked of each web instance; empty: any answer below 500 on /", url_path),
    Setting("checks.status", "", "accepted status or range; empty: 200-399", statuses),
    Setting("checks.host", "", "Host header of the check; empty: the app's first domain", names.domain),
    Setting("checks.timeout", "60", "seconds in which a new instance must prove itself", seconds(1, 3600)),
    Setting("checks.attempt-timeout", "5", "seconds for one request of the check", seconds(0.1, 300)),
    Setting("checks.uptime", "2", "seconds that a worker must stay up", seconds(0, 600)),
    Setting("checks.enabled", "true", "false: route to new instances as soon as they listen", flag),
    Setting("network.extra-hosts", "", "further names for /etc/hosts: NAME:ADDRESS pairs with commas between",
            extra_hosts.parse),
    Setting("cron.timezone", "", "time zone that schedules are read in; empty: cron-timezone of the server", zone),
    Setting("cron.timeout", "86400", "seconds that one run of a scheduled job may take", seconds(1, 604800)),
    Setting("watch.seconds", "", "seconds after a deploy in which it can be taken back; 0: none; empty: watch-seconds "
            "of the server", seconds(0, 3600)),
    Setting("watch.rollback", "true", "go back by itself when the new release does badly", flag),
    Setting("watch.keep-warm", "true", "keep the old web instances running meanwhile, where memory allows", flag),
    Setting("watch.wait", "false", "a push waits for the end, and is refused when it was rolled back", flag),
    Setting("watch.errors", "20", "percent of answers with 5xx above that of the release before; 0: no limit",
            number(0, 100)),
    Setting("watch.latency", "4", "times the 95th percentile of the release before; 0: no limit", number(0, 1000)),
    Setting("watch.min-requests", "20", "requests below which answers are no basis", whole(1, 10**9)),
    Setting("proxy.drain-timeout", "30", "seconds that old instances may finish their requests", seconds(0, 3600)),
    Setting("proxy.port", "", "port that the web process listens on; empty: found by itself", whole(1, 65535)),
    Setting("sleep.after", "0", "seconds without a request until the app sleeps; 0: never", sleep.checked_seconds),
    Setting("sleep.ignore-agents", ", ".join(sleep.PROBES), "parts of User-Agent whose requests do not wake it; none: "
            "all wake it", sleep.checked_words),
    Setting("sleep.ignore-paths", "", "paths that do not wake it, with * and ?; none: all wake it; empty: those that "
            "scanners ask for", sleep.checked_paths),
    Setting("uptime.enabled", "true", "ask for the app's URL through the proxy, and tell when it is down", flag),
    Setting("uptime.interval", "", "seconds between two checks; empty: uptime-interval of the server",
            seconds(1, 3600)),
    Setting("uptime.path", "", "path asked for; empty: the one of its checks", url_path),
    Setting("uptime.status", "", "status or range that is up; empty: any answer of the app below 500", statuses),
    Setting("uptime.timeout", "5", "seconds for an answer", seconds(0.1, 60)),
    Setting("ps.restart-policy", "on-failure:10", "when Docker starts an instance again: on-failure[:TIMES], always, "
            "unless-stopped; no: nobody does", restart_policy),
    Setting("ps.task-timeout", "1800", "seconds that each release task may take", seconds(1, 86400)),
    Setting("ps.stop-timeout", "10", "seconds from SIGTERM to SIGKILL", whole(0, 3600)),
)

SERVER = _table(
    Setting("global-domain", "", "base domain: a new app gets <app>.<this>", names.domain),
    Setting("auto-create-apps", "true", "a first push to an unknown name creates the app", flag),
    Setting("keep-releases", "5", "releases per app whose images are kept for rollback", whole(1, 100)),
    Setting("max-builds", "2", "builds that run at once", whole(1, 64)),
    Setting("max-queue", "10", "deploys of one app that may wait", whole(1, 1000)),
    Setting("build-timeout", "900", "seconds that one build may take", whole(10, 86400)),
    Setting("build-output-limit", "10000000", "bytes of build output that are kept and shown", whole(10000, 10**10)),
    Setting("build-cache", "10000000000", "bytes of build cache kept", whole(0, 10**13)),
    Setting("image-size-limit", "10000000000", "bytes that a built image may have", whole(10**6, 10**12)),
    Setting("min-free-disk", "2000000000", "bytes that must be free before a build", whole(0, 10**12)),
    Setting("disk-warn-days", "3", "a disk forecast to be full in fewer days is an incident; 0: never", whole(0, 365)),
    Setting("disk-reserve", "67108864", "bytes held back for work on a full disk; 0: none", whole(0, 10**11)),
    Setting("source-files-limit", "100000", "files and directories in one push", whole(10, 10**7)),
    Setting("source-size-limit", "1073741824", "bytes of all files in one push", whole(1000, 10**12)),
    Setting("file-size-limit", "268435456", "bytes of one file in a push", whole(1000, 10**11)),
    Setting("https", "true", "ask for a certificate for every public domain", flag),
    Setting("acme-email", "", "contact given to the certificate authority"),
    Setting("acme-directory", "", "ACME directory URL; empty: Let's Encrypt"),
    Setting("acme-ca-root", "", "PEM file that signs the ACME server itself; for a private authority"),
    Setting("cron-timezone", "UTC", "time zone of schedules, for apps without their own", zone),
    Setting("watch-seconds", "60", "seconds after a deploy in which it can be taken back, for apps without their own; "
            "0: none", seconds(0, 3600)),
    Setting("never-sleep", "", "apps that never sleep, with commas between", sleep.checked_words),
    Setting("prometheus-listen", "", "ADDRESS:PORT that Prometheus may scrape, as 127.0.0.1:9469; empty: none",
            listening),
    Setting("metrics", "true", "count requests at the proxy, which costs it some speed; false: metrics has none", flag),
    Setting("uptime-interval", "10", "seconds between two checks of an app's URL, for apps without their own; 0: none",
            seconds(0, 3600)),
    Setting("max-cron", "10", "runs of scheduled jobs that have a container at once", whole(1, 1000)),
    Setting("event-days", "400", "days that events are kept", whole(1, 36500)),
)


def value_of(table: Mapping[str, Setting], stored: Mapping[str, str], key: str) -> str:
    return stored.get(key, table[key].default)
