"""Apps that sleep while nobody asks for them: what wakes one, and what does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate

from paas.errors import BadInput
from paas.model.durations import read_span
from paas.model.names import printable

OWN_AGENT = "paas-check"                 # what the platform's own requests call themselves
SHORTEST, LONGEST = 10, 7 * 86_400       # seconds without a request until an app falls asleep
WORDS_MOST = 100                         # agents, or paths, in a list of an app's

# Parts of the User-Agent, in any case: health checks of load balancers, clusters and monitoring services.
PROBES = ("kube-probe", "ELB-HealthChecker", "GoogleHC", "GoogleStackdriverMonitoring", "Azure Traffic Manager",
          "Amazon-Route53-Health-Check", "UptimeRobot", "Pingdom", "Better Uptime", "Better Stack", "StatusCake",
          "Site24x7", "Uptime-Kuma", "updown.io", "HetrixTools", "Checkly", "NodePing", "Blackbox Exporter",
          "check_http", "Consul Health Check")
# What scanners ask every host for. ACME's own challenges never come here: the proxy answers them itself (RFC 8555).
SCANS = ("/.env*", "/.git/*", "/.git", "/.aws/*", "/.ssh/*", "/.svn/*", "/.vscode/*", "/.DS_Store", "/.htaccess",
         "/.htpasswd", "/.well-known/acme-challenge/*", "/cgi-bin/*", "/actuator*", "/server-status", "/solr/*",
         "/boaform/*", "/HNAP1*", "/owa/*", "/autodiscover/*", "/_ignition/*", "/_profiler/*", "/telescope/*",
         "/manager/html*", "/jenkins/*", "/hudson/*", "/geoserver/*", "/sdk", "/config.json", "/id_rsa*", "*.asp",
         "*.aspx", "*.jsp", "*.cgi", "*.sql", "*.bak")
# And these, unless the app itself is written in PHP.
PHP_SCANS = ("*.php", "*.php[0-9]", "/wp-*", "/*/wp-*", "/wordpress/*", "/phpmyadmin*", "/pma/*", "/vendor/phpunit/*",
             "/*/wlwmanifest.xml")


class Call(StrEnum):
    """What becomes of a request to an app that sleeps."""

    WAKE = "wake"                        # it is held, the app is started
    SCAN = "scan"                        # 404: asked for what only scanners ask for
    PROBE = "probe"                      # 503 with Retry-After: a health check


@dataclass(frozen=True)
class Rules:
    """What does not wake an app."""

    agents: tuple[str, ...] = PROBES
    paths: tuple[str, ...] = SCANS + PHP_SCANS

    def judge(self) -> Callable[[str, str], Call]:
        """(path, User-Agent) → what becomes of the request; made once for many."""
        scans = re.compile("|".join(translate(one.lower()) for one in self.paths) or r"(?!)")
        agents = tuple(one.lower() for one in (OWN_AGENT, *self.agents))

        def judged(path: str, agent: str) -> Call:
            if any(one in agent.lower() for one in agents):
                return Call.PROBE
            return Call.SCAN if scans.match(path.partition("?")[0].lower()) else Call.WAKE
        return judged


def words(text: str) -> tuple[str, ...]:
    """``one, two`` → its parts; ``none``: nothing."""
    return () if text == "none" else tuple(part for part in (one.strip() for one in text.split(",")) if part)


def checked_words(value: str) -> str:
    """A list with commas between, or ``none``. BadInput."""
    found = words(value)
    if not value.isprintable() or len(value) > 4000 or len(found) > WORDS_MOST or (not found and value != "none"):
        raise BadInput(f"that is not a list of at most {WORDS_MOST} parts with commas between", "Or give: none")
    return value if value == "none" else ", ".join(found)


def checked_paths(value: str) -> str:
    """As `checked_words`, of patterns as the shell has them (``/admin/*``, ``*.php``). BadInput."""
    text = checked_words(value)
    for one in words(text):
        if not one.startswith(("/", "*")) or one.count("*") > 4:
            raise BadInput(f"'{printable(one)}' is not a path that begins with `/` or `*`, with at most four `*`",
                           "Example: /wp-*, *.php")
    return text


def read_after(text: str) -> int:
    """``15m``, ``2h``, ``1d`` or ``90s`` → seconds. BadInput: none of these, or not from SHORTEST to LONGEST."""
    seconds = int(text[:-1]) if re.fullmatch(r"[1-9]\d{0,5}s", text) else int(read_span(text).total_seconds())
    return int(checked_seconds(str(seconds)))


def checked_seconds(value: str) -> str:
    if not re.fullmatch(r"\d{1,7}", value) or (int(value) and not SHORTEST <= int(value) <= LONGEST):
        raise BadInput(f"'{printable(value)}' is not a span from {SHORTEST} seconds to {LONGEST // 86_400} days",
                       "Example: --after 15m")
    return str(int(value))


def backoff(failures: int) -> float:
    """Seconds until the next try after so many failed ones in a row."""
    return float(min(2 ** max(failures - 1, 0), 60)) if failures else 0.0

