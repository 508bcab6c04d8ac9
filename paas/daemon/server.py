"""The socket server: who is there, what do they want, who does it. A thread per connection."""

import contextlib
import grp
import importlib
import ipaddress
import logging
import os
import pwd
import secrets
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from paas import cli, client
from paas.cli.printer import SessionOutput, error_text
from paas.daemon.protocol import GitRequest, Hello, Kind, check_words, git_request, parse_hello, split_command
from paas.daemon.session import Session
from paas.errors import Conflict, Forbidden, Locked, PaasError, StateError, Unavailable, UsageError
from paas.failpoints import step
from paas.model import names
from paas.model.access import Actor, Key
from paas.ops.access import authorise
from paas.ports_source import Quarantine
from paas.threads import started

log = logging.getLogger("paas.server")

MAX_CONNECTIONS = 200
MAX_PER_KEY = 20
HELLO_TIMEOUT = 10.0                     # seconds for the first frame
ALONE_SECONDS = 10.0                     # that a restore of the server waits for other commands
HOOK_PATIENCE = 60.0                     # seconds; the pump throws a stalled client's lines away long before
GIT = "/usr/bin/git"


@dataclass(frozen=True)
class Ticket:
    """A push that was admitted: what its hook may ask for, once."""

    actor: Actor
    app_id: int
    repository: Path
    entry: Session


class Server:
    """Serves ``settings.socket``. *pushes* is the module with ``admit`` and ``receive``; None: paas.ops.pushes."""

    def __init__(self, rt: Any, pushes: Any = None) -> None:
        self.rt = rt
        self._pushes = pushes
        self._ssh_uid, self._ssh_gid = _ids(rt.settings.ssh_user)
        self._tickets: dict[str, Ticket] = {}
        self._sessions: set[Session] = set()
        self._per_key: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._connections = 0
        self._stopping = threading.Event()
        self._held = ""                  # why nobody is served now
        self._listener: socket.socket | None = None

    # life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind, then accept in a thread. The caller holds the lock that makes this the only daemon."""
        path = self.rt.settings.socket
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        os.chown(path, 0, self._ssh_gid)
        os.chmod(path, 0o660)
        listener.listen(512)
        self._listener = listener
        started(self._accept, name="accept")

    def stop(self, grace: float = 10.0) -> None:
        """Accept no more, tell the sessions, give those that change something *grace* seconds."""
        self._stopping.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            with contextlib.suppress(FileNotFoundError):
                self.rt.settings.socket.unlink()
        with self._lock:
            sessions = set(self._sessions)
        for session in sessions:
            if not session.busy:
                session.dismiss(" !     paasd is stopping\n", client.UNAVAILABLE)
        end = time.monotonic() + grace
        while self._connections and time.monotonic() < end:
            time.sleep(0.02)

    @contextlib.contextmanager
    def alone(self, why: str, patience: float = ALONE_SECONDS) -> Iterator[None]:
        """Serve nobody else for a moment. Conflict: somebody's command goes on after *patience* seconds."""
        self._held = why
        try:
            end = time.monotonic() + patience
            while len(self._sessions) > 1:
                if time.monotonic() > end:
                    raise Conflict("another command runs on this server", "Try again when it has ended.")
                time.sleep(0.05)
            yield
        finally:
            self._held = ""

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                log.warning("accept: %s", error)     # out of descriptors: the clients wait in the queue
                time.sleep(0.1)
                continue
            with self._lock:
                full = self._connections >= MAX_CONNECTIONS
                self._connections += not full
            if full:
                _turn_away(sock, "too many connections to paasd now")
                continue
            try:
                started(self._connection, sock)
            except Unavailable as error:
                self._leave()
                _turn_away(sock, error.what)

    def _connection(self, sock: socket.socket) -> None:
        session = Session(sock)
        try:
            uid = _peer_uid(sock)
            frames, (kind, payload), waiting = _first_frame(sock)
            started(session.listen, frames, waiting)
            session.exit(self._greet(session, uid, kind, payload))
        except PaasError as error:
            session.err(error_text(error))
            session.exit(error.exit_code)
        except Exception:
            log.exception("a connection failed")
            session.exit(1)
        finally:
            self._leave()
            session.drop()
            sock.close()

    def _leave(self) -> None:
        with self._lock:
            self._connections -= 1

    # one connection ------------------------------------------------------------------------------------------------

    def _greet(self, session: Session, uid: int, kind: bytes, payload: bytes) -> int:
        if uid not in (0, self._ssh_uid):
            raise Forbidden("you may not talk to paasd", "Run the command as root (sudo), or over SSH with your key.")
        if kind != client.HELLO:
            raise UsageError("the client sent no sensible hello")
        if self._held:
            raise Unavailable(self._held, "Try again in a moment.")
        hello = parse_hello(payload)
        session.tty = hello.terminal
        if hello.kind is Kind.PUSH:
            return self._push(session, hello)
        actor = self._actor(uid, hello)
        with self._slot(session, actor):
            if hello.kind is Kind.LOCAL:
                return cli.dispatch(self.rt, session, actor, check_words(hello.words),
                                    cli.Local(cwd=hello.cwd, app=hello.app))
            words = split_command(hello.command)
            wish = git_request(words)
            return self._git(session, actor, hello, wish) if wish else cli.dispatch(self.rt, session, actor, words)

    def _actor(self, uid: int, hello: Hello) -> Actor:
        """root is root whatever it says; the SSH user speaks for a key that is registered now."""
        if uid == 0:
            return Actor("root")
        if hello.kind is not Kind.SSH:
            raise Forbidden("this account is for SSH keys", "Use sudo, or SSH with your key.")
        key = next((key for key in self.rt.store.keys() if key.id == hello.key), None)
        if key is None:
            raise Forbidden("this key is not registered any more", "Ask an admin of this server to add it.")
        check_limits(key, hello.address, self.rt.clock.now())
        return Actor(key.name, key.id, hello.address, key.user, key.fingerprint,
                     tuple(self.rt.store.grants(user=key.user)))

    @contextlib.contextmanager
    def _slot(self, session: Session, actor: Actor) -> Iterator[None]:
        key = actor.key_id
        with self._lock:
            if key is not None and self._per_key[key] >= MAX_PER_KEY:
                raise Locked(f"your key has {MAX_PER_KEY} sessions open", "Close one and try again.")
            self._per_key[key or 0] += 1
            self._sessions.add(session)
        self.rt.sessions.begin(session, key, actor.user)
        try:
            yield
        finally:
            self.rt.sessions.end(session)
            with self._lock:
                self._per_key[key or 0] -= 1
                self._sessions.discard(session)

    # git -----------------------------------------------------------------------------------------------------------

    def _git(self, session: Session, actor: Actor, hello: Hello, wish: GitRequest) -> int:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent",
                       "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        if hello.git_protocol:
            environment["GIT_PROTOCOL"] = hello.git_protocol
        if wish.service == "upload-pack":
            app = self.rt.store.app(wish.app)
            authorise(actor, "git:upload-pack", app, mutates=False)
            _run_git(session, wish.service, self.rt.repos.ensure(app.id), environment)
            return 0
        app = self._gate().admit(self.rt, actor, wish.app)
        repository = self.rt.repos.ensure(app.id)
        token = secrets.token_urlsafe(32)
        environment |= {"PAAS_PUSH": token, "PAAS_SOCKET": str(self.rt.settings.socket)}
        session.on_frame(client.DETACHED, session.drop)
        with self._lock:
            self._tickets[token] = Ticket(actor, app.id, repository, session)
        try:
            _run_git(session, wish.service, repository, environment)
            session.wait_gone()
        finally:
            with self._lock:
                self._tickets.pop(token, None)
        return 0

    def _push(self, session: Session, hello: Hello) -> int:
        """The hook: its token says whose push it is and of which app."""
        with self._lock:
            ticket = self._tickets.pop(hello.token, None)
            if ticket is not None:
                self._sessions.add(session)
        if ticket is None:
            raise Forbidden("this push was not admitted by paasd", "Push over SSH, with a registered key.")
        session.busy = ticket.entry.busy = True
        session.patience = HOOK_PATIENCE
        ticket.entry.frame(client.HOOKED)
        session.on_interrupt(lambda: None)
        output = SessionOutput(session)
        try:
            code = self._gate().receive(self.rt, output, ticket.actor, ticket.app_id, list(hello.updates),
                                        quarantine_of(hello, ticket.repository), lambda: session.alive,
                                        lambda line: session.out(f"{line}\n"))
            with step("G1"):
                session.exit(code)       # git takes the objects over and moves its ref, or throws them away
            return code
        except PaasError as error:
            output.error(error)
            return error.exit_code
        except Exception:
            output.error(internal_error())
            return 1
        finally:
            with self._lock:
                self._sessions.discard(session)

    def _gate(self) -> Any:
        if self._pushes is None:
            try:
                self._pushes = importlib.import_module("paas.ops.pushes")
            except ModuleNotFoundError:
                raise Unavailable("this paasd cannot take pushes") from None
        return self._pushes


def internal_error() -> PaasError:
    number = secrets.token_hex(4)
    log.exception("internal error %s", number)
    return cli.internal_error(number)


def check_limits(key: Key, address: str, now: datetime) -> None:
    """:raises Forbidden: the key has expired, or may not be used from there."""
    if key.expires_at and key.expires_at <= now:
        raise Forbidden(f"this key expired on {key.expires_at:%Y-%m-%d}", "Ask an admin of this server for another.")
    if key.sources and not any(within(address, one) for one in key.sources):
        raise Forbidden("this key may not be used from your address", "Ask an admin of this server.")


def within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


@step("R1")
def quarantine_of(hello: Hello, repository: Path) -> Quarantine | None:
    """Where git holds the pushed objects; only inside the app's own repository, because root reads there.

    None: the push brings no objects (a deletion, or a branch set to a commit that is there).

    :raises Forbidden: a path that is not.
    """
    home = repository.resolve()
    if not hello.objects:
        return None
    try:
        paths = [Path(home, hello.git_dir, path).resolve() for path in (hello.objects, *hello.alternates)]
    except (OSError, RuntimeError, ValueError):      # a loop of links, a NUL
        raise Forbidden("the push names objects outside its repository") from None
    if not all(path.is_relative_to(home / "objects") for path in paths):
        raise Forbidden("the push names objects outside its repository")
    return Quarantine(paths[0], tuple(paths[1:])) if paths[0] != home / "objects" else None


def _run_git(session: Session, service: str, repository: Path, environment: dict[str, str]) -> None:
    pairs: list[tuple[str, str | bytes]] = [("arg", word) for word in (GIT, service, str(repository))]
    pairs += [("env", f"{name}={value}") for name, value in environment.items()]
    session.frame(client.GIT, client.fields(pairs))


def _ids(user: str) -> tuple[int, int]:
    """uid and gid of the SSH user. :raises StateError: no such user."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise StateError(f"there is no user '{names.printable(user)}'", "Run the installer again.") from None
    return entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_gid


def _peer_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1]


def _first_frame(sock: socket.socket) -> tuple[client.Frames, tuple[bytes, bytes], list[tuple[bytes, bytes]]]:
    """The hello, and what came behind it. :raises UsageError: none within the time, or too long a one."""
    frames, end = client.Frames(), time.monotonic() + HELLO_TIMEOUT
    try:
        while True:
            sock.settimeout(max(0.01, end - time.monotonic()))
            data = sock.recv(65536)
            whole = frames.feed(data)
            if whole:
                sock.settimeout(None)
                return frames, whole[0], whole[1:]
            if not data or time.monotonic() > end:
                raise UsageError("the client sent no hello")
    except (OSError, ValueError):
        raise UsageError("the client sent no sensible hello") from None


def _turn_away(sock: socket.socket, why: str) -> None:
    with contextlib.suppress(OSError), sock:
        text = f" !     {why}\n       Try again in a moment.\n".encode()
        sock.send(client.frame(client.ERR, text) + client.frame(client.EXIT, b"5"), socket.MSG_DONTWAIT)
        sock.shutdown(socket.SHUT_WR)
