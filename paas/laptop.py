"""``paas`` on a developer's machine: finds server and app in the git remotes, and hands the words to the system's ssh.

It knows no command. What it adds is ``--default-app APP`` in front of the words, which the server heeds where a command
takes an app and the words name none. On the server itself (where the daemon's socket is) it is :mod:`paas.client`.

The remote is chosen as by Heroku's client: ``--remote NAME`` before or right behind the command, else ``PAAS_HOST`` and
``PAAS_APP``, else ``git config paas.remote``, else a remote named ``paas`` or ``production``, else the only one whose
URL is one of ours. ssh is the one that git would use (GIT_SSH_COMMAND, core.sshCommand, GIT_SSH; git-config(1)).
"""

import os
import re
import shlex
import subprocess
import sys

from paas import client

USER = "paas"
PREFERRED = ("paas", "production")
SCP = re.compile(r"(?:(?P<user>[^@:/\s]+)@)?(?P<host>\[[^]\s]+\]|[^:/@\s]+):(?P<path>[^:\s]+)")
URL = re.compile(r"ssh://(?:(?P<user>[^@:/\s]+)@)?(?P<host>\[[^]\s]+\]|[^:/@\s]+)(?::(?P<port>\d+))?/(?P<path>\S+)")
HOST = re.compile(r"(?:(?P<user>[^@:/\s]+)@)?(?P<host>\[[^]\s]+\]|[^:/@\s]+)(?::(?P<port>\d+))?")
APP = re.compile(r"[a-z][a-z0-9-]{0,29}")
HOW = "Name it: paas --remote NAME …   or set PAAS_HOST (and PAAS_APP)"


class Lost(Exception):
    """No server to talk to: what happened, what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class Target:
    """Where to: user (empty: ssh's own setting), server, port, and the app that the words are about unless they say
    otherwise (may be empty)."""

    def __init__(self, user: str, host: str, port: str = "", app: str = "") -> None:
        self.user, self.host, self.port, self.app = user, host, port, app

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and vars(self) == vars(other)


def main() -> None:
    """``paas WORDS``. Exit codes are the command's; 2: no server was found; 255: ssh's own, it did not get there."""
    try:
        remote, words = take_remote(sys.argv[1:])
        if not remote and on_server():
            client.main()
        become_ssh(choose(remote), words)
    except Lost as error:
        client.complain(error.what, error.hint)
        os._exit(2)


def on_server() -> bool:
    if os.environ.get("PAAS_HOST"):
        return False
    return bool(os.environ.get("PAAS_SOCKET")) or os.path.exists(client.DEFAULT_SOCKET)


def take_remote(words: list[str]) -> tuple[str, list[str]]:
    """Cut ``--remote NAME`` out: it stands before the command, or among the options right behind it."""
    rest: list[str] = []
    seen, index = False, 0
    while index < len(words):
        word = words[index]
        if word == "--remote" or word.startswith("--remote="):
            name = word[9:] if "=" in word else words[index + 1] if index + 1 < len(words) else ""
            if not name:
                raise Lost("--remote needs the name of a git remote", "Example: paas --remote staging logs")
            return name, rest + words[index + (1 if "=" in word else 2):]
        if word in ("--app", "--default-app"):
            rest.append(word)
            index += 1
        elif word == "--" or (not word.startswith("-") and seen):
            break
        elif not word.startswith("-"):
            seen = True
        rest += words[index:index + 1]
        index += 1
    return "", words


def choose(remote: str) -> Target:
    """:raises Lost: none, or several, and nothing says which."""
    host, app = os.environ.get("PAAS_HOST", ""), os.environ.get("PAAS_APP")
    if remote:
        return named(remote)
    if host:
        return with_app(from_host(host), app or "")
    target = of_remotes()
    return target if app is None else with_app(target, app)


def with_app(target: Target, app: str) -> Target:
    return Target(target.user, target.host, target.port, app)


def from_host(text: str) -> Target:
    """``[USER@]HOST[:PORT]``, as in PAAS_HOST."""
    match = HOST.fullmatch(text)
    if not match:
        raise Lost("PAAS_HOST is not a host", "Example: PAAS_HOST=paas@server.example.com:22")
    return Target(match["user"] or USER, match["host"].strip("[]"), match["port"] or "")


def named(remote: str) -> Target:
    url = git("remote", "get-url", "--push", "--", remote)
    if url is None:
        require_repository()
        raise Lost(f"there is no git remote '{remote}'", "List them with: git remote -v")
    target = parse(url)
    if target is None:
        raise Lost(f"the git remote '{remote}' is not an app's", "Its URL looks like paas@server:app")
    return target


def of_remotes() -> Target:
    preferred = git("config", "--get", "paas.remote")
    if preferred:
        return named(preferred)
    found = candidates()
    for name in PREFERRED:
        if name in found:
            return found[name]
    targets = list(found.values())
    if not targets:
        require_repository()
        raise Lost("no git remote here is an app's",
                   "Add one: git remote add production paas@SERVER:APP   or set PAAS_HOST (and PAAS_APP)")
    if any(target != targets[0] for target in targets):
        raise Lost(f"several git remotes are apps': {', '.join(found)}", HOW + ", or: git config paas.remote NAME")
    return targets[0]


def candidates() -> dict[str, Target]:
    """The remotes whose URL is one of ours: over SSH, as the user paas, one word as the path."""
    found = {}
    for name in (git("remote") or "").split("\n"):
        target = parse(git("remote", "get-url", "--push", "--", name) or "") if name else None
        if target and target.user == USER:
            found[name] = target
    return found


def parse(url: str) -> Target | None:
    """``paas@host:app`` (git-clone(1), "scp-like") or ``ssh://paas@host:port/app``; None: it is something else."""
    match = URL.fullmatch(url) or (None if "://" in url else SCP.fullmatch(url))
    if not match:
        return None
    app = match["path"].strip("/").removesuffix(".git")
    if not APP.fullmatch(app):
        return None
    return Target(match["user"] or "", match["host"].strip("[]"), match.groupdict().get("port") or "", app)


def require_repository() -> None:
    if git("rev-parse", "--git-dir") is None:
        raise Lost("this is not a git repository, so no server can be found in its remotes",
                   "Go to your app's checkout, or set PAAS_HOST (and PAAS_APP): PAAS_HOST=paas@server paas apps:list")


def git(*words: str) -> str | None:
    """What git printed; None: it failed, here mostly because there is no repository, or no such thing in it."""
    try:
        done = subprocess.run(["git", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, check=False)
    except OSError:
        raise Lost("git was not found", "Install git, or set PAAS_HOST (and PAAS_APP)") from None
    return os.fsdecode(done.stdout).strip("\n") if done.returncode == 0 else None


def become_ssh(target: Target, words: list[str]) -> None:
    """In place of this process, so that input, output, ^C and the exit code are ssh's own."""
    argv = [*ssh(), *options(target), "--", target.host, command_line(target, words)]
    if len(argv[-1]) > client.MAX_COMMAND:
        raise Lost("the command is longer than 64 KB", "Give large values on standard input.")
    try:
        os.execvp(argv[0], argv)
    except OSError:
        raise Lost(f"{argv[0]} could not be started", "Install the OpenSSH client.") from None


def command_line(target: Target, words: list[str]) -> str:
    """The words as the server's splitter takes them apart again."""
    return shlex.join([*(["--default-app", target.app] if target.app and words else []), *words])


def options(target: Target) -> list[str]:
    """A terminal there for a terminal here; ssh's own "Connection closed" after it would be noise."""
    words = [*(["-l", target.user] if target.user else []), *(["-p", target.port] if target.port else [])]
    if terminal():
        words += ["-t", "-o", "LogLevel=ERROR"]
    return words


def terminal() -> bool:
    try:
        return os.isatty(0) and os.isatty(1)
    except OSError:
        return False


def ssh() -> list[str]:
    """The ssh that git uses, split into words (there is no shell in between)."""
    command = os.environ.get("GIT_SSH_COMMAND") or configured()
    try:
        return shlex.split(command) or ["ssh"] if command else [os.environ.get("GIT_SSH") or "ssh"]
    except ValueError:
        raise Lost("GIT_SSH_COMMAND (or core.sshCommand) cannot be read", "A quote in it is not closed.") from None


def configured() -> str | None:
    try:
        return git("config", "--get", "core.sshCommand")
    except Lost:
        return None


if __name__ == "__main__":
    main()
