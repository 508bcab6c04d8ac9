"""A git push at the server's door: who may, which branch, then the deploy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from paas.deploy import Push, Work, deploy
from paas.deploy.receive import DEFAULT_BRANCHES, ZERO
from paas.deploy.retire import accept_tip
from paas.errors import Conflict, NotFound, PaasError, PushRefused
from paas.failpoints import step
from paas.model import app_settings, names
from paas.model.access import Actor
from paas.model.app import App
from paas.model.names import printable
from paas.model.release import Release
from paas.model.rights import Right
from paas.ops import access, apps, deploys
from paas.ports import Output
from paas.ports_source import Quarantine

if TYPE_CHECKING:
    from paas.runtime import Runtime

Update = tuple[str, str, str]            # old id, new id, ref name: a line of pre-receive's input


def admit(rt: Runtime, actor: Actor, name: str) -> App:
    """The app that a push names, created if it is new and the server allows that. Locked, NotFound, BadInput."""
    app = rt.store.find_app(name)
    if app is None and not access.may(actor, Right.OWN):
        raise access.absent_app(name)    # also where the server makes apps by a first push
    app = app or create(rt, actor, name)
    access.authorise(actor, "git:receive-pack", app)
    deploys.refuse_locked(app)
    rt.repos.ensure(app.id)
    return app


def create(rt: Runtime, actor: Actor, name: str) -> App:
    names.app_name(name)
    if app_settings.value_of(app_settings.SERVER, rt.store.settings(), "auto-create-apps") != "true":
        raise NotFound(f"there is no app '{name}'", f"Create it: paas apps:create {name}")
    try:
        return apps.create(rt, actor, name)
    except Conflict:
        made = rt.store.find_app(name)   # by another first push, a moment before
        if not made:
            raise
        return made


def receive(rt: Runtime, output: Output, actor: Actor, app_id: int, updates: Sequence[Update],
            quarantine: Quarantine | None, alive: Callable[[], bool], say: Callable[[str], None]) -> int:
    """Decide on a push and deploy it; return the hook's exit code.

    The deploy is a job of the daemon: when the pusher is no longer *alive* it goes on, and this returns 1.
    """
    app = rt.store.app_by_id(app_id)
    push = None
    try:
        push = accept(rt, app, updates, quarantine)
        job = deploys.submit(rt, app, actor, f"push of {push.new[:8]} by {actor.name}", steps(push))
        result = deploys.follow(job, say, alive)
    except PaasError as error:
        if not push:
            rt.store.add_event(actor, "deploy", app.name, "refused", {"reason": error.what})
        output.warn(error.what)
        if error.hint:
            output.warn(error.hint)
        return error.exit_code
    return 1 if result is None else 0


def steps(push: Push) -> Callable[[Work], Release]:
    def run(work: Work) -> Release:
        live = work.rt.store.live_release(work.app.id)
        if live and already_live(work, live, push):
            work.out.heading(f"Already live: {push.new[:8]} is v{live.version}")
            accept_tip(work, push.branch, push.new)
            return live
        return deploy(work, push).release

    return run


def already_live(work: Work, live: Release, push: Push) -> bool:
    """The same commit with the same config runs now."""
    return live.commit == push.new and live.config == work.rt.store.config(work.app.id) \
        and not work.app.stopped and not work.app.asleep


@step("R2")
def accept(rt: Runtime, app: App, updates: Sequence[Update], quarantine: Quarantine | None) -> Push:
    """Exactly one update of the deploy branch, no deletion. Everything else is refused before any work."""
    if len(updates) != 1:
        raise PushRefused(f"one push may update one branch; this one updates {len(updates)} refs",
                          "Push only the branch to deploy: git push REMOTE main")
    old, new, ref = updates[0]
    if not ref.startswith("refs/heads/"):
        raise PushRefused(f"{printable(ref)} is not a branch", "Push a branch: git push REMOTE HEAD:main")
    branch = ref.removeprefix("refs/heads/")
    if new == ZERO:
        raise PushRefused(f"the branch {printable(branch)} is not deleted by a push",
                          "To remove the whole app: paas apps:destroy APP")
    refuse_other_branch(app, branch)
    return Push(names.branch(branch), old, new, quarantine)


def refuse_other_branch(app: App, branch: str) -> None:
    wanted = app_settings.value_of(app_settings.APP, app.settings, "git.deploy-branch")
    if branch == wanted or (not wanted and branch in DEFAULT_BRANCHES):
        return
    shown, goal = printable(branch), wanted or "main"
    raise PushRefused(
        f"{app.name} deploys from the branch '{goal}', not from '{shown}': nothing was deployed",
        f"Push it there: git push REMOTE {shown}:{goal}   or change it: paas git:set {app.name} deploy-branch {shown}")
