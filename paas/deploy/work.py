"""What every stage is given beside its input: the runtime, the app, who asks, where to tell it, and a stopwatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paas.errors import Cancelled, PaasError
from paas.jobs import Job
from paas.model import app_settings
from paas.model.access import Actor
from paas.model.app import App

if TYPE_CHECKING:
    from paas.model.release import Instance, Release
    from paas.model.watch import Watch
    from paas.ports import Output
    from paas.runtime import Runtime


def reason_of(error: BaseException) -> str:
    return error.what if isinstance(error, PaasError) else f"internal error ({type(error).__name__})"


@dataclass
class Work:
    rt: Runtime
    app: App
    actor: Actor
    job: Job
    branch: str = ""                                             # the pushed one; empty: not a push
    timings: dict[str, float] = field(default_factory=dict)      # stage → seconds
    stepped_down: list[Instance] = field(default_factory=list)   # old ones that had to stop before the switch
    watched: bool = True                                         # the new release may be taken back; not a rollback
    then: Callable[[Release], None] | None = None                # as soon as the new release is live
    window: Watch | None = None                                  # of the new release, once it is live

    @property
    def out(self) -> Output:
        return self.job.log

    def setting(self, key: str) -> str:
        """The app's value of *key* in :data:`paas.model.app_settings.APP`."""
        return app_settings.value_of(app_settings.APP, self.app.settings, key)

    def server_setting(self, key: str) -> str:
        return app_settings.value_of(app_settings.SERVER, self.rt.store.settings(), key)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        begin = self.rt.clock.monotonic()
        try:
            yield
        finally:
            self.timings[stage] = self.timings.get(stage, 0.0) + self.rt.clock.monotonic() - begin

    def stop_if_cancelled(self) -> None:
        if self.job.cancelled:
            raise Cancelled("the deploy was cancelled", "Push again when you are ready.")

    def labels(self, kind: str, **more: object) -> dict[str, str]:
        """The labels of a Docker object that belongs to this app."""
        given = {f"paas.{key.replace('_', '-')}": str(value) for key, value in more.items()}
        return {"paas.kind": kind, "paas.app": str(self.app.id), "paas.app-name": self.app.name, **given}
