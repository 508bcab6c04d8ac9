"""What clients send, parsed once and strictly. The frames themselves are in :mod:`paas.client`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from paas import client
from paas.errors import BadInput, UsageError
from paas.model import names

MAX_WORDS = 1024
REPEATED = frozenset({"word", "update"})

# What a shell account would offer and this one does not (sftp arrives as `internal-sftp`).
NO_SHELL = frozenset({"bash", "sh", "zsh", "dash", "scp", "rsync", "sftp", "internal-sftp", "git-shell", "git-lfs",
                      "git-lfs-authenticate", "git-lfs-transfer", "git-upload-archive"})


class Kind(StrEnum):
    LOCAL = "local"                      # root on the server
    SSH = "ssh"                          # ssh-entry, for a key
    PUSH = "push"                        # pre-receive, with a one-time token


@dataclass(frozen=True)
class Terminal:
    columns: int
    rows: int
    term: str = ""


@dataclass(frozen=True)
class Hello:
    """The first frame. Nothing in it is believed but after the peer's uid was looked at."""

    kind: Kind
    words: tuple[str, ...] = ()
    command: bytes = b""                 # raw SSH_ORIGINAL_COMMAND
    key: int = 0
    address: str = ""
    git_protocol: str = ""
    terminal: Terminal | None = None
    cwd: str = ""
    app: str = ""                        # PAAS_APP of a local caller
    token: str = ""
    git_dir: str = ""
    objects: str = ""
    alternates: tuple[str, ...] = ()
    updates: tuple[tuple[str, str, str], ...] = field(default=())


@dataclass(frozen=True)
class GitRequest:
    service: str                         # "receive-pack" or "upload-pack"
    app: str


def parse_hello(payload: bytes) -> Hello:
    """:raises UsageError: another protocol version, or not a hello at all."""
    single, repeated = _fields(payload)
    version = single.get("protocol", "")
    if version != str(client.PROTOCOL):
        raise UsageError(f"this client speaks protocol '{names.printable(version)}', paasd {client.PROTOCOL}",
                         "Client and daemon come from one installation: restart paasd after an upgrade.")
    if single.get("kind") not in set(Kind):
        raise UsageError("the client sent no sensible hello")
    return Hello(
        kind=Kind(single["kind"]), words=tuple(repeated["word"]), key=_number(single.get("key", "0")),
        command=single.get("command", "").encode("utf-8", "surrogateescape"),
        address=names.printable(single.get("address", ""), 64), git_protocol=single.get("git-protocol", ""),
        terminal=parse_terminal(single.get("tty", ""), single.get("term", "")), cwd=single.get("cwd", ""),
        app=single.get("app", ""), token=single.get("token", ""), git_dir=single.get("git-dir", ""),
        objects=single.get("objects", ""),
        alternates=tuple(path for path in single.get("alternates", "").split(":") if path),
        updates=tuple(_update(line) for line in repeated["update"]),
    )


def _fields(payload: bytes) -> tuple[dict[str, str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    repeated: dict[str, list[str]] = {name: [] for name in REPEATED}
    for item in payload.split(b"\0"):
        name, _, value = item.decode("utf-8", "surrogateescape").partition("=")
        if name in REPEATED:
            repeated[name].append(value)
        else:
            single[name] = value
    return single, repeated


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise UsageError("the client sent no sensible hello")
    return int(text)


def _update(line: str) -> tuple[str, str, str]:
    parts = line.split(" ", 2)
    if len(parts) != 3:
        raise UsageError("the hook sent no sensible ref update")
    return parts[0], parts[1], parts[2]


def parse_terminal(size: str, term: str = "") -> Terminal | None:
    """``"columns rows"``; None if that is not two numbers. A size beyond 10,000 is cut to it."""
    parts = size.split(" ")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) < 8 for p in parts):
        return None
    columns, rows = (min(int(part), 10_000) for part in parts)
    known = term if term.isascii() and term.isprintable() else ""
    return Terminal(columns, rows, known)


def split_command(raw: bytes) -> list[str]:
    """The words of an SSH command: one POSIX split (quotes and backslash, no comments), never evaluated.

    :raises UsageError: not UTF-8, over 64 KB or 1,024 words, unbalanced quotes, or a control character (a newline
        above all) outside quotes; the whole command is refused then.
    """
    if len(raw) > client.MAX_COMMAND:
        raise UsageError("the command is longer than 64 KB", "Give large values on standard input.")
    try:
        text = raw.decode("utf-8")
        _refuse_control_characters(text)
        words = shlex.split(text, comments=False, posix=True)
    except UnicodeDecodeError:
        raise UsageError("the command is not UTF-8") from None
    except ValueError:
        raise UsageError("the command's quotes do not match", "Quote each value once: 'like this'.") from None
    return check_words(words)


def check_words(words: Sequence[str]) -> list[str]:
    """The same limits for words that came one by one. :raises UsageError:"""
    if len(words) > MAX_WORDS:
        raise UsageError(f"the command has more than {MAX_WORDS:,} words")
    if any("\udc80" <= character <= "\udcff" for word in words for character in word):
        raise UsageError("the command is not UTF-8")
    return list(words)


def _refuse_control_characters(text: str) -> None:
    quote, escaped = "", False
    for character in text:
        control = ord(character) < 32 or 127 <= ord(character) < 160
        if control and not quote:
            raise UsageError("the command has a control character outside quotes", "Send one command, on one line.")
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character


def git_request(words: Sequence[str]) -> GitRequest | None:
    """`git-receive-pack 'app'` or `git receive-pack 'app'` (and upload-pack); None: not one of git's.

    The app may be written ``app``, ``/app``, ``app.git``. Only its name counts: the path is built from its id.

    :raises BadInput: the repository's name cannot be an app's.
    :raises UsageError: anything else a shell account would offer.
    """
    if not words:
        return None
    if words[0] == "git" and len(words) > 1:
        words = [f"git-{words[1]}", *words[2:]]
    if words[0] in NO_SHELL:
        raise UsageError(f"there is no '{words[0]}' here: this account takes git pushes and paas commands only",
                         "List the commands with: help")
    if words[0] not in ("git-receive-pack", "git-upload-pack"):
        return None
    if len(words) != 2:
        raise UsageError(f"{words[0]} takes one app")
    name = words[1].removeprefix("/").removesuffix(".git")
    if not names.APP.fullmatch(name) or len(name) > 30:
        raise BadInput(f"'{names.printable(words[1])}' cannot name an app",
                       "The remote is ssh://paas@<this server>/<app>, with the bare name of the app.")
    return GitRequest(words[0].removeprefix("git-"), name)
