"""When is one instance ready? Polled at tens of milliseconds; a container that exits fails at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from paas.deploy.on_failure import run_commands, say_not_run
from paas.deploy.probes import LAST_LINES, Probe, accepts
from paas.deploy.work import Work
from paas.errors import CheckFailed
from paas.model.healthchecks import label
from paas.model.release import CheckKind, Instance, Process, Release
from paas.ports import ContainerState, Listener

SIGKILLED = 137                          # 128 + 9, as a shell would say; not every engine notes an OOM kill as such
BIND = "Bind to 0.0.0.0 (for example: gunicorn --bind 0.0.0.0:$PORT)."
LOOPBACK_PATIENCE = 2.0                  # seconds: only 127.0.0.1 listens; it will not change its mind
OTHER_PORT_PATIENCE = 1.0                # seconds: one other port listens and nothing named a port
EVENT_PATIENCE = 1.0                     # seconds for the engine's event of an end that it has restarted since


class Readiness:
    """The proof of one instance. :meth:`wait` returns its port (0 for what is not web) or raises CheckFailed."""

    def __init__(self, work: Work, release: Release, process: Process, row: Instance, expected: int) -> None:
        self.work, self.release, self.process, self.row, self.expected = work, release, process, row, expected
        self.checks = process.check.all
        self.clock = work.rt.clock
        self.begun = self.clock.monotonic()
        self.seen = "it never listened on a port"        # the latest reason why no check could begin
        self.loopback_since: float | None = None
        self.other_since: float | None = None
        self.warned = False
        self._give_up = threading.Event()
        self.probes = [Probe(self, check) for check in self.checks]
        self.pending = list(self.probes)

    def give_up(self) -> None:
        self._give_up.set()

    def wait(self) -> int:
        patience = max(max(one.timeout, one.delay) for one in self.checks)
        while True:
            self.stop_if_told()
            state = self.state()
            self.fail_if_ended(state)
            port = self.reachable(state)
            if port is not None:
                self.pending = [one for one in self.pending if not one.passes(port)]
                self.give_up_the_overdue()
                if not self.pending:
                    self.warn_of_https(port)
                    return port
            elif self.elapsed() > patience:
                self.fail(f"was not ready within {patience:g} s: {self.seen}", self.hint())
            self.clock.sleep(0.02 if self.elapsed() < 3 else 0.1)

    def reachable(self, state: ContainerState) -> int | None:
        """The port (0: none needed) once the checks can begin; None: not yet."""
        if self.release.healthcheck and not self.image_says_healthy(state):
            return None
        return self.find_port() if self.process.type == "web" else 0

    # For the probes

    def elapsed(self) -> float:
        return self.clock.monotonic() - self.begun

    def stop_if_told(self) -> None:
        self.work.stop_if_cancelled()
        if self._give_up.is_set():
            error = CheckFailed(f"{self.row.name}: another instance failed first")
            error.gave_up = True
            raise error

    def host(self) -> str:
        names = self.work.rt.store.domains(self.work.app.id)
        exact = [one.name for one in names if not one.name.startswith("*")]
        return exact[0] if exact else self.row.address

    # Private

    def state(self) -> ContainerState:
        return self.work.rt.containers.state(self.row.container_id)

    def give_up_the_overdue(self) -> None:
        """One that only warns is told and dropped; any other ends the deploy."""
        overdue = [one for one in self.pending if one.overdue()]
        if not overdue:
            return
        self.fail_if_ended(self.state())         # that says more than a check which could not reach it
        for one in overdue:
            self.show_output(one)
        failed = [one for one in overdue if not one.check.warn]
        if failed:
            time = max(one.check.timeout for one in failed)
            self.fail(f"was not ready within {time:g} s: {'; '.join(map(self.told, failed))}", self.hint(), overdue)
        run_commands(self, overdue)
        for one in overdue:
            self.work.out.warn(f"{self.row.name} goes on without the check '{label(one.check)}': {one.seen}")
        self.pending = [one for one in self.pending if one not in overdue]

    def warn_of_https(self, port: int) -> None:
        """The proxy speaks plain HTTP to the site's port; a check that passes there only over HTTPS hides that."""
        over = next((one for one in self.probes if port and one.https_port == port), None)
        if over and not accepts(over.check, over.asked(port, https=False)):
            self.work.out.warn(f"{self.row.name} passes '{label(over.check)}' on port {port} over HTTPS only, "
                               "but the proxy asks there by plain HTTP: let the app speak that on its port")

    def told(self, probe: Probe) -> str:
        """With the check's name where it has one, or is one of several."""
        named = probe.check.name or len(self.checks) > 1
        return f"check '{label(probe.check)}': {probe.seen}" if named else probe.seen

    def show_output(self, probe: Probe) -> None:
        if probe.output:
            self.work.out.heading(f"Output of the check '{label(probe.check)}' in {self.row.name}")
            for line in probe.output[-LAST_LINES:]:
                self.work.out.detail(line)

    def fail_if_ended(self, state: ContainerState) -> None:
        what, hint = self.end_in_words(state)
        if what:
            say_not_run(self, self.pending, "the instance had ended")
            self.fail(what, hint, ())

    def end_in_words(self, state: ContainerState) -> tuple[str, str]:
        """What has become of it, and what to do; empty: it runs."""
        exit_code, out_of_memory = self.end_of(state)
        if out_of_memory:
            return ("ran out of memory and was killed",
                    f"Raise its limit: paas resource:limit --memory 512m {self.work.app.name}")
        if exit_code == SIGKILLED and self.process.memory:
            return (f"was killed (exit code {SIGKILLED}) with a memory limit of {self.process.memory // 1024**2} MB",
                    f"If it needs more: paas resource:limit --memory 512m {self.work.app.name}")
        if not state.running or state.restarts:
            code = "" if exit_code is None else f" with exit code {exit_code}"
            return f"exited{code} while starting", "Its last log lines are above."
        return "", ""

    def end_of(self, state: ContainerState) -> tuple[int | None, bool]:
        """Exit code, and whether for want of memory. Docker forgets both when it starts a container again; its events
        tell."""
        if not (state.running and state.restarts):
            return state.exit_code, state.oom_killed
        happenings, container = self.work.rt.happenings, self.row.container_id
        happenings.wait(lambda: happenings.of(container, "die"), EVENT_PATIENCE)
        ends = happenings.of(container, "die")
        return ends[-1].exit_code if ends else None, state.oom_killed or bool(happenings.of(container, "oom"))

    def image_says_healthy(self, state: ContainerState) -> bool:
        if state.health == "unhealthy":
            self.fail("is unhealthy: the image's HEALTHCHECK failed", "Run that command in the container to see why.")
        self.seen = "the image's HEALTHCHECK has not passed yet"
        return state.health == "healthy"

    def find_port(self) -> int | None:
        """The expected port if it is open; another only where nobody named one (platform default) and it is alone."""
        listeners = self.work.rt.containers.listening(self.row.container_id)
        open_ports = sorted({one.port for one in listeners if not one.loopback})
        if open_ports:
            self.loopback_since = None
        for wanted in (self.expected, *self.release.exposed):
            if wanted in open_ports:
                return wanted
        if open_ports:
            return self.other_port(open_ports)
        self.watch_loopback(listeners)
        return None

    def other_port(self, open_ports: list[int]) -> int | None:
        shown = ", ".join(map(str, open_ports))
        self.seen = f"it listens on port {shown}, not on {self.expected} ({self.source_of_port()})"
        if self.port_was_named() or len(open_ports) > 1:
            if not self.warned and self.elapsed() > OTHER_PORT_PATIENCE:
                self.warned = True
                self.work.out.detail(f"{self.row.name} listens on port {shown}; waiting for {self.expected}")
            return None
        self.other_since = self.other_since or self.clock.monotonic()
        if self.clock.monotonic() - self.other_since < OTHER_PORT_PATIENCE:
            return None
        self.work.out.detail(f"{self.row.name} listens on port {shown} (not on $PORT): routing there")
        return open_ports[0]

    def watch_loopback(self, listeners: list[Listener]) -> None:
        local = sorted({one.port for one in listeners if one.loopback})
        if not local:
            self.loopback_since = None
            self.seen = f"nothing listens on port {self.expected} ({self.source_of_port()})"
            return
        self.seen = f"it listens on 127.0.0.1:{local[0]} only"
        self.loopback_since = self.loopback_since or self.clock.monotonic()
        if self.expected in local and self.clock.monotonic() - self.loopback_since > LOOPBACK_PATIENCE:
            self.fail(f"listens on 127.0.0.1:{self.expected} only, which nothing outside the container reaches", BIND)

    def port_was_named(self) -> bool:
        return bool(self.work.setting("proxy.port") or "PORT" in self.release.config or self.release.exposed)

    def source_of_port(self) -> str:
        if self.work.setting("proxy.port"):
            return "ports:set"
        if "PORT" in self.release.config:
            return "config var PORT"
        return "EXPOSE" if self.release.exposed else "$PORT"

    def hint(self) -> str:
        if all(one.kind == CheckKind.UPTIME for one in self.checks):
            return ""
        if self.loopback_since is not None:
            return BIND
        return f"See the log above; the check's settings: paas checks {self.work.app.name}"

    def fail(self, what: str, hint: str, failed: Sequence[Probe] | None = None) -> None:
        """:param failed: the checks to which this has happened; None: all that have not passed."""
        run_commands(self, self.pending if failed is None else failed)
        self.work.out.heading(f"Last log lines of {self.row.name}")
        lines = list(self.work.rt.containers.logs(self.row.container_id, tail=LAST_LINES))
        for line in lines:
            self.work.out.detail(line.text.decode("utf-8", "replace"))
        if not lines:
            self.work.out.detail("(it printed nothing)")
        raise CheckFailed(f"{self.row.name} {what}", hint)
