"""Deploys of what did not come by a push: an archive, an image. Each becomes a commit of the app's repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paas.deploy import Push, Work, deploy
from paas.deploy.receive import ZERO, budgets, tip
from paas.errors import BadInput
from paas.jobs import Job
from paas.model.access import Actor
from paas.model.app import App
from paas.model.names import printable
from paas.model.release import Release
from paas.ops import archives, deploys
from paas.ports_source import SourceFile

if TYPE_CHECKING:
    from paas.runtime import Runtime

# https://pkg.go.dev/github.com/distribution/reference: [domain[:port]/]path[:tag][@digest]
IMAGE = re.compile(r"(?=.{1,255}$)(?:[a-zA-Z0-9.-]+(?::\d{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
                   r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?", re.ASCII)


def from_archive(rt: Runtime, app: App, actor: Actor, data: bytes, say: deploys.Say) -> Release:
    """Deploy a tar as if its files had been pushed, on top of the deploy branch. PushRefused, BuildFailed, …"""
    files = archives.read_archive(data, budgets(Work(rt, app, actor, Job(app.id, "archive"))))
    return deploy_files(rt, app, actor, files, "An archive", say)


def from_image(rt: Runtime, app: App, actor: Actor, image: str, say: deploys.Say) -> Release:
    """Deploy an image as it is: its CMD is the web process. BadInput; BuildFailed where it cannot be had."""
    if not IMAGE.fullmatch(image):
        raise BadInput(f"'{printable(image)}' does not name an image", "Example: nginx:1.29 or ghcr.io/me/app:v3")
    text = f"# {rt.clock.now():%Y-%m-%dT%H:%M:%SZ}\nFROM {image}\n"
    return deploy_files(rt, app, actor, [SourceFile("Dockerfile", 0o100644, text.encode())], f"Image {image}", say)


def deploy_files(rt: Runtime, app: App, actor: Actor, files: Sequence[SourceFile], message: str,
                 say: deploys.Say) -> Release:
    def steps(work: Work) -> Release:
        branch = work.setting("git.deploy-branch") or "main"
        rt.repos.ensure(app.id)
        old = tip(work, branch)
        commit, quarantine = rt.repos.write(app.id, files, message, actor.name, None if old == ZERO else old)
        try:
            live = deploy(work, Push(branch, old, commit, quarantine)).release
        finally:
            rt.repos.discard(app.id, quarantine)
        if tip(work, branch) == commit:              # else the next one is live already
            rt.repos.set_ref(app.id, branch, commit)
        return live

    return deploys.run(rt, app, actor, f"{message} by {actor.name}", steps, say)
