"""One-off containers of an app's live release (`run`), and commands in a running instance (`enter`)."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from paas.deploy.oneoff import OneOff, ensure_network, give_empty_mounts, oneoff_spec
from paas.deploy.work import Work
from paas.errors import BadInput, EngineError, NotFound, PaasError
from paas.jobs import Job
from paas.model import names
from paas.model.access import PLATFORM, Actor, Run
from paas.model.app import App
from paas.model.release import Instance, InstanceState, Release
from paas.ops.terminal import Caller, converse, environment
from paas.ports import ContainerSpec, ContainerState
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

DEFAULT_TTL = 24 * 3600                  # seconds after which any one-off container is ended
LOST_STOP = 10                           # seconds from SIGTERM to SIGKILL when the caller has gone
ORPHAN_SECONDS = 30                      # age from which an attached run that nobody attends is ended
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MODE, UNTIL = "paas.run-mode", "paas.run-until"      # labels: "attached" or "detached"; ISO time of its end
ATTACHED, DETACHED = "attached", "detached"
INTERRUPTED = 130                        # as a shell says of a program that ^C ended
NO_CODE = 1                              # exit code where the engine cannot tell one

attended: set[int] = set()               # ids of attached runs with a session of this process


@dataclass(frozen=True)
class Order:
    """What to run and how."""

    command: tuple[str, ...]             # argv, exactly
    environment: Mapping[str, Secret]    # over the release's config
    tty: bool = False
    detached: bool = False
    ttl: int = DEFAULT_TTL               # seconds


def parse_environment(words: Sequence[str]) -> dict[str, Secret]:
    """``KEY=VALUE`` words. BadInput, which never names a value."""
    made = {}
    for place, word in enumerate(words, 1):
        key, equals, value = word.partition("=")
        if not equals or not VARIABLE.fullmatch(key):
            raise BadInput(f"the --env number {place} is not KEY=VALUE", "Example: --env DEBUG=1")
        made[key] = Secret(names.config_value(value))
    return made


# --- run ---------------------------------------------------------------------------------------------------------


def run(rt: Runtime, app: App, actor: Actor, order: Order, caller: Caller) -> int:
    """Run it joined to the caller; return its exit code. The container goes at the end, whatever happens.

    A caller that vanishes ends it: SIGTERM, SIGKILL after LOST_STOP seconds.
    """
    row = prepare(rt, app, actor, order, environment(caller, order.tty))
    attended.add(row.id)
    container = row.container_id
    try:
        give_empty_mounts(plain_work(rt, app, actor), container,
                          lambda line: caller.err(f" !     {line}\n".encode()))
        attachment = rt.containers.attach(container, order.tty)
        converse(caller, attachment, order.tty, begin=lambda: rt.containers.start(container),
                 interrupt=lambda: quietly(lambda: rt.containers.kill(container, "SIGINT")),
                 lost=lambda: quietly(lambda: rt.containers.stop(container, LOST_STOP)))
        return exit_code(rt, container)
    finally:
        try:
            forget(rt, row)
        finally:
            attended.discard(row.id)


def detach(rt: Runtime, app: App, actor: Actor, order: Order) -> Run:
    """Start it in the background. Its log is kept until its time is over."""
    row = prepare(rt, app, actor, order, {})
    try:
        give_empty_mounts(plain_work(rt, app, actor), row.container_id)
        rt.containers.start(row.container_id)
    except BaseException:
        forget(rt, row)
        raise
    return row


def prepare(rt: Runtime, app: App, actor: Actor, order: Order, terminal: Mapping[str, Secret]) -> Run:
    """The row, then the container, created and not started."""
    live = rt.store.live_release(app.id)
    if not live:
        raise BadInput(f"{app.name} has no release yet", "Push it first: git push.")
    work = plain_work(rt, app, actor)
    ensure_network(work)
    row = rt.store.create_run(app.id, live.id, order.command, actor)
    try:
        return rt.store.update_run(row.id, rt.containers.create(spec(work, live, row, order, terminal)))
    except BaseException:
        rt.store.delete_run(row.id)
        raise


def plain_work(rt: Runtime, app: App, actor: Actor) -> Work:
    return Work(rt, app, actor, Job(app.id, "run"))


def spec(work: Work, live: Release, row: Run, order: Order, terminal: Mapping[str, Secret]) -> ContainerSpec:
    until = work.rt.clock.now() + timedelta(seconds=order.ttl)
    return oneoff_spec(work, OneOff(
        "run", row.id, live, order.command,
        environment={**terminal, **order.environment},
        labels={UNTIL: until.isoformat(), MODE: DETACHED if order.detached else ATTACHED},
        tty=order.tty, stdin=not order.detached))


def exit_code(rt: Runtime, container: str) -> int:
    try:
        return rt.containers.wait(container)
    except NotFound:
        return 137                       # removed under us (run:stop, apps:destroy): killed


def forget(rt: Runtime, row: Run) -> None:
    """Container, then row; while the engine does not answer the row stays, and the sweep comes back to it."""
    if row.container_id:
        rt.containers.remove(row.container_id)
    rt.store.delete_run(row.id)


def quietly(work) -> None:
    with contextlib.suppress(PaasError):
        work()


# --- what runs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    app: str
    run: Run
    state: str                           # "running", "exited", "created", "missing"
    exit_code: int | None
    release: str
    mode: str


def listed(rt: Runtime, app: App | None) -> list[Line]:
    names_of = {one.id: one.name for one in ([app] if app else rt.store.apps())}
    return [line(rt, names_of[row.app_id], row) for row in rt.store.runs(app.id if app else None)
            if row.app_id in names_of]


def line(rt: Runtime, app: str, row: Run) -> Line:
    found = state_of(rt, row)
    return Line(app, row, word_for(found), found.exit_code if found else None,
                f"v{rt.store.release_by_id(row.release_id).version}", found.labels.get(MODE, "") if found else "")


def word_for(found: ContainerState | None) -> str:
    if found is None:
        return "missing"
    return "running" if found.running else "created" if found.exit_code is None else "exited"


def state_of(rt: Runtime, row: Run) -> ContainerState | None:
    try:
        return rt.containers.state(row.container_id) if row.container_id else None
    except NotFound:
        return None


def find(rt: Runtime, app: App, text: str) -> Run:
    """``12`` or ``run.12``. BadInput, NotFound."""
    digits = text.removeprefix("run.")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        raise BadInput(f"'{names.printable(text)}' is not a one-off run", "Give it like run.12. See: paas run:list APP")
    for row in rt.store.runs(app.id):
        if row.id == int(digits):
            return row
    raise NotFound(f"{app.name} has no run.{digits}", f"See: paas run:list {app.name}")


def stop(rt: Runtime, app: App, rows: Sequence[Run]) -> None:
    """SIGTERM, SIGKILL after the app's stop timeout; the container goes."""
    timeout = int(Work(rt, app, PLATFORM, Job(app.id, "run:stop")).setting("ps.stop-timeout"))
    for row in rows:
        if row.container_id:
            rt.containers.stop(row.container_id, timeout)
        if row.id not in attended:       # else its own session cleans up, and tells the exit code
            forget(rt, row)


def sweep(rt: Runtime) -> list[Run]:
    """End what nobody ends: runs past their time, attached ones whose session died with an earlier daemon."""
    gone = [row for row in rt.store.runs() if overdue(rt, row)]
    for row in gone:
        with contextlib.suppress(EngineError):
            if row.container_id:
                rt.containers.stop(row.container_id, LOST_STOP)
            if row.id not in attended:
                forget(rt, row)
    return gone


def overdue(rt: Runtime, row: Run) -> bool:
    now, found = rt.clock.now(), state_of(rt, row)
    if found and now > until(found):
        return True
    old = now - row.created_at > timedelta(seconds=ORPHAN_SECONDS)
    return old and row.id not in attended and (found is None or found.labels.get(MODE) != DETACHED)


def until(found: ContainerState) -> datetime:
    try:
        return datetime.fromisoformat(found.labels.get(UNTIL, ""))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def kept(rt: Runtime, found: ContainerState) -> bool:
    """A detached run that has ended is kept for its log until its time is over."""
    return found.labels.get(MODE) == DETACHED and rt.clock.now() <= until(found)


# --- enter ---------------------------------------------------------------------------------------------------------


def choose(rt: Runtime, app: App, words: Sequence[str]) -> tuple[Instance, tuple[str, ...]]:
    """(instance, argv): the first word may name a process type or an instance (``worker``, ``web.2``); without a
    command it is ``/bin/sh``. NotFound: none such runs."""
    rows = [row for row in rt.store.instances(app.id) if row.state == InstanceState.HEALTHY and row.container_id]
    live = rt.store.live_release(app.id)
    known = {row.name for row in rows} | {process.type for process in (live.formation if live else ())}
    named, rest = (words[0], words[1:]) if words and words[0] in known else ("web", words)
    fitting = [row for row in rows if named in (row.name, row.process_type)]
    if not fitting and rows and named == "web" and rest == words:
        fitting = rows                   # an app without web
    if not fitting:
        raise NotFound(f"no instance of {named} is running", f"See: paas ps {app.name}")
    return min(fitting, key=lambda row: (row.process_type, row.ordinal)), tuple(rest) or ("/bin/sh",)


def enter(rt: Runtime, row: Instance, command: Sequence[str], caller: Caller, tty: bool) -> int:
    """Run *command* in the instance's container, joined to the caller; return its exit code.

    The engine has no way to end such a command from outside; when the caller vanishes its input ends.
    """
    exec_id, attachment = rt.containers.exec(row.container_id, command, tty, environment(caller, tty))
    left = threading.Event()

    def leave() -> None:
        left.set()
        attachment.close()

    converse(caller, attachment, tty, begin=lambda: None, interrupt=leave, lost=leave)
    return INTERRUPTED if left.is_set() else next(codes(rt, exec_id), NO_CODE)


def codes(rt: Runtime, exec_id: str, patience: float = 5.0) -> Iterator[int]:
    """The exit code, once the engine has it: its streams close a moment before."""
    deadline = rt.clock.monotonic() + patience
    while rt.clock.monotonic() < deadline:
        try:
            code = rt.containers.exec_exit_code(exec_id)
        except NotFound:
            return
        if code is not None:
            yield code
            return
        rt.clock.sleep(0.02)
