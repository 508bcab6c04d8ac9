"""What is kept and what goes: images by label and release history, build cache, build logs, leftovers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.failpoints import step
from paas.model import app_settings
from paas.model.app import App
from paas.model.release import ReleaseState
from paas.ops import cron_output, cron_run

if TYPE_CHECKING:
    from paas.runtime import Runtime

LOGS = 100                               # newest builds of an app whose logs are kept
CRON_RUNS = 100                          # newest runs of its scheduled jobs; beside them the last of each job
SERVED = (ReleaseState.LIVE, ReleaseState.RETIRED)


def kept_images(rt: Runtime, app: App) -> set[str]:
    """Digests of the live release, of the last N that served, of releases on their way, and of jobs that run."""
    keep = int(app_settings.value_of(app_settings.SERVER, rt.store.settings(), "keep-releases"))
    releases = rt.store.releases(app.id, limit=1000)
    served = [one for one in releases if one.state in SERVED]
    coming = [one for one in releases if one.state not in SERVED and one.state != ReleaseState.FAILED]
    digests: list[str] = []
    for one in served:
        if one.image not in digests:
            digests.append(one.image)
    live = {one.image for one in served if one.state == ReleaseState.LIVE}
    busy = {rt.store.release_by_id(run.release_id).image for run in cron_run.running(rt, app.id)}
    return set(digests[:keep]) | live | busy | {one.image for one in coming}


@step("P1")
def prune_images(rt: Runtime, app: App) -> list[str]:
    """Remove this app's images that no kept release needs; return their digests. Never anything unlabelled.

    An image that a container still uses stays until the next time.
    """
    if rt.jobs.running(app.id):
        return []                        # a build may have just made one that no release names yet
    kept = kept_images(rt, app)
    gone = []
    for image in rt.images.list({"paas.app": str(app.id)}):
        if image.digest in kept:
            continue
        try:
            rt.images.remove(image.digest)
        except PaasError:
            continue
        rt.store.forget_image(app.id, image.digest)
        gone.append(image.digest)
    return gone


def prune_logs(rt: Runtime) -> int:
    """Remove the logs of older builds and of destroyed apps; return how many."""
    there = list(rt.jobs.build_log(0).parent.glob("*.log"))      # before the question which of them are wanted
    kept = {rt.jobs.build_log(build.id) for app in rt.store.apps() for build in rt.store.builds(app.id, limit=LOGS)}
    gone = [path for path in there if path not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def prune_cron(rt: Runtime) -> int:
    """Forget older runs of scheduled jobs, and the outputs of runs that nobody knows; return how many files went."""
    for app in rt.store.apps():
        rt.store.trim_cron_runs(app.id, CRON_RUNS)
    there = list(cron_output.directory(rt).glob("*.log"))
    known = {cron_output.path_of(rt, run_id) for run_id in rt.store.cron_run_ids()}
    gone = [path for path in there if path not in known]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def prune_cache(rt: Runtime, whole: bool = False) -> int:
    """Bytes of build cache freed beyond the server's limit, or all of it that no build uses."""
    limit = int(app_settings.value_of(app_settings.SERVER, rt.store.settings(), "build-cache"))
    return rt.images.prune_cache(0 if whole else limit)


@dataclass(frozen=True)
class Cleaned:
    images: int
    logs: int = 0                        # of builds and of scheduled jobs
    cache: int = 0                       # bytes


def clean(rt: Runtime, app: App | None, whole_cache: bool) -> Cleaned:
    """Now what the daemon does each hour, of one app or of everything. Never a volume, a directory or a repository."""
    images = sum(len(prune_images(rt, one)) for one in ([app] if app else rt.store.apps()))
    if app:
        return Cleaned(images)
    return Cleaned(images, prune_logs(rt) + prune_cron(rt), prune_cache(rt, whole_cache))
