"""The values of a compose service, each by itself: command lines, ports, volumes, health checks, labels, durations.

As https://docs.docker.com/reference/compose-file/services/ has them. What cannot be read gives None.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from paas.model.compose_ledger import MISSING, Value

PLAIN_SHELL = ("sh", "/bin/sh")
GOES_ON = ("&&", "||", "|", "\\")        # a line of a script that ends so continues in the next
ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
VOLUME_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
HOST = re.compile(r"(?:^|(?<!/)//|@|,)([\w.-]+)(?=:\d|[/,?]|$)")
HOST_KEY = re.compile(r"HOST|SERVER|ADDR|URL|URI|DSN|BROKER|ENDPOINT|BACKEND|NODE|SERVICE")
LOCAL = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "[::1]", "::1"})
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:\d+(?:ms|us))?")
# Options of curl and wget that change nothing about what is asked for.
QUIET = re.compile(r"-[fsSkLqvO]+-?|--fail|--silent|--show-error|--quiet|--spider|--no-verbose|-nv|--location|-O-|-|"
                   r"--tries=\d+|--timeout=\d+|/dev/null|--output-document=/dev/null|-o|-m|--max-time|-T|-t|\d+")


# Command lines ------------------------------------------------------------------------------------------------------


def argv(value: Value) -> list[str] | None:
    """A command as compose runs it: a list as it is, a text split as a shell would, without a shell."""
    if isinstance(value, list):
        return value if all(isinstance(one, str) for one in value) else None
    if not isinstance(value, str):
        return None
    try:
        return shlex.split(value)
    except ValueError:
        return None


def procfile_line(words: Sequence[str]) -> str | None:
    """The line of a Procfile, which a shell runs, that does the same as *words* without one."""
    if len(words) == 3 and words[0] in PLAIN_SHELL and words[1] == "-c":
        script = one_line(words[2])
        return script and MISSING.sub(r"${\1}", script)
    if any("\n" in word or "\r" in word for word in words):
        if len(words) == 3 and words[1] == "-c" and (script := one_line(words[2])):
            return quoted([*words[:2], script])
        return None
    return quoted(words) or None


def quoted(words: Sequence[str]) -> str:
    """For a shell; variables that have no value yet are the shell's to fill in, between double quotes."""
    line = MISSING.sub(r"""'"$\1"'""", shlex.join(words))
    return re.sub(r"""''(?="\$)|(?<=")''(?= |$)""", "", line)


def one_line(script: str) -> str | None:
    """*script* on one line, where its lines are plainly one command; None: it needs several."""
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    if any(not line.endswith(GOES_ON) for line in lines[:-1]):
        return None
    return " ".join(line.removesuffix("\\").rstrip() for line in lines) or None


# Ports, durations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Port:
    target: str
    published: bool


def port(text: str) -> Port | None:
    """``[[ip:]published:]target[/tcp]``; None: another protocol, a range, or no port."""
    text, _, protocol = text.partition("/")
    front, colon, target = text.rpartition(":")
    if protocol not in ("", "tcp") or not valid_port(target):
        return None
    return Port(str(int(target)), bool(colon))


def valid_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def seconds(text: str) -> int | None:
    """``1m30s`` → 90; a broken second is rounded up, milliseconds are dropped."""
    match = DURATION.fullmatch(text)
    if not text or not match:
        return None
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return -int(-(hours * 3600 + minutes * 60 + rest) // 1)


# Volumes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Volume:
    kind: str                            # "volume", "bind", "anonymous" or another of compose's types
    source: str
    target: str
    read_only: bool = False
    other: tuple[str, ...] = ()          # modes that paas does not have

    @property
    def words(self) -> str:
        return f"{self.source}:{self.target}{':ro' if self.read_only else ''}"

    @property
    def socket(self) -> bool:
        return "docker.sock" in self.source or "docker.sock" in self.target or "containerd" in self.source

    @property
    def of_source(self) -> bool:
        """A directory of the repository."""
        return self.source.startswith((".", "..")) and not self.file

    @property
    def file(self) -> bool:
        return bool(posixpath.splitext(self.source.rstrip("/"))[1]) and self.source not in (".", "..")


def volume(text: str) -> Volume | None:
    """``[source:]target[:mode]``."""
    parts = text.split(":")
    if len(parts) == 1:
        return Volume("anonymous", "", parts[0])
    if len(parts) > 3:
        return None
    modes = parts[2].split(",") if len(parts) == 3 else []
    kind = "bind" if parts[0].startswith((".", "/", "~")) else "volume"
    return Volume(kind, parts[0], parts[1], "ro" in modes, tuple(one for one in modes if one not in ("ro", "rw")))


# Health checks, labels ----------------------------------------------------------------------------------------------


def check_path(test: Value, hosts: Sequence[str]) -> tuple[str, str] | None:
    """(port, path) that a test asks of the container itself by one plain GET of curl or wget; None: unsure."""
    words = check_words(test)
    if not words or posixpath.basename(words[0]) not in ("curl", "wget"):
        return None
    urls = [word for word in words[1:] if not QUIET.fullmatch(word)]
    if len(urls) != 1 or MISSING.search(urls[0]):
        return None
    try:
        parts = urlsplit(urls[0] if "://" in urls[0] else f"http://{urls[0]}")
        wanted = str(parts.port or 80)
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in {*LOCAL, *hosts}:
        return None
    return wanted, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def check_words(test: Value) -> list[str] | None:
    """The words of the test, without what only makes its exit code 1."""
    if isinstance(test, list) and test and test[0] in ("CMD", "CMD-SHELL"):
        test = test[1:] if test[0] == "CMD" else " ".join(str(one) for one in test[1:])
    words = argv(test)
    if words and words[-3:] == ["||", "exit", "1"]:
        words = words[:-3]
    return None if not words or any(word in ("|", "||", "&&", ";") for word in words) else words


def hosts_of_label(key: str, value: str) -> list[str]:
    """Host names that a label gives to a proxy: Traefik's rules, caddy-docker-proxy's ``caddy``."""
    if re.fullmatch(r"traefik\.http\.routers\.[^.]+\.rule", key):
        groups = re.findall(r"Host\(([^)]*)\)", value)
        return [host for group in groups for host in re.findall(r"[`'\"]([^`'\"]+)[`'\"]", group)]
    if re.fullmatch(r"caddy(?:_\d+)?", key):
        return [host.removeprefix("https://").removeprefix("http://") for host in re.split(r"[\s,]+", value) if host]
    return []


def hosts_in(key: str, value: str) -> list[str]:
    """The host names that a config value may hold: of a URL, ``host:port`` or a list of these, or all of it."""
    return [host for host in HOST.findall(value) if host != value or HOST_KEY.search(key)]
