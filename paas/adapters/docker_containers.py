"""Containers and networks by the Docker Engine API (20.10 or newer)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from paas.adapters.docker_client import SERVER_LABEL, Engine, asking, explanation, parsed_time
from paas.adapters.docker_files import DockerFiles
from paas.adapters.docker_listening import listeners
from paas.adapters.docker_memory import used
from paas.adapters.docker_mounts import give_empty_mounts
from paas.adapters.docker_networks import DockerNetworks
from paas.adapters.docker_posture import container_body, environment_lines, restart_policy
from paas.adapters.docker_streams import DockerAttachment, LogStream, hijack
from paas.adapters.docker_volumes import DockerVolumes
from paas.errors import Conflict, EngineError, NotFound, PaasError
from paas.ports import ContainerSpec, ContainerState, Listener
from paas.secret import Secret

REMOVAL_TIMEOUT = 30                     # seconds that a removal somebody else began may take


class DockerContainers(DockerNetworks, DockerVolumes, DockerFiles):
    """See :class:`paas.ports.Containers`. May be used by many threads at once.

    :param socket: the engine's unix socket.
    :param server: id of this installation, the value of the label ``paas.server``.
    :param prefix: first word of the names that the caller gives.
    """

    def __init__(self, socket: Path, server: str, prefix: str) -> None:
        super().__init__()
        self._engine = Engine(socket, server, prefix)
        self._sizes: dict[str, tuple[int, int]] = {}     # terminal sizes wanted before the start

    # life ------------------------------------------------------------------------------------------------------
    def create(self, spec: ContainerSpec) -> str:
        from docker.errors import APIError

        body = container_body(spec, self._engine.labels(spec.labels))
        with asking("create the container"):
            try:
                return self._engine.api.create_container_from_config(body, spec.name)["Id"]
            except APIError as error:
                if error.status_code != 409:
                    raise
            self._remove_leftover(spec.name)
            return self._engine.api.create_container_from_config(body, spec.name)["Id"]

    def _remove_leftover(self, name: str) -> None:
        try:
            found = self._inspect(name)
        except NotFound:
            return
        if (found["Config"]["Labels"] or {}).get(SERVER_LABEL) != self._engine.server:
            raise Conflict(f"a container named {name} exists and is not of this server",
                           f"Remove or rename it: docker rename {name} {name}-old")
        self.remove(found["Id"])

    def give_empty_mounts(self, container_id: str, below: Path) -> tuple[list[str], list[str]]:
        return give_empty_mounts(self._engine, container_id, below)

    def start(self, container_id: str) -> None:
        with asking("start the container"):
            self._engine.api.start(container_id)
        size = self._sizes.pop(container_id, None)
        if size:
            self._resize(container_id, *size)

    def set_restart(self, container_id: str, policy: str) -> None:
        with asking("change the container's restart policy"):
            self._engine.api.update_container(container_id, restart_policy=restart_policy(policy))

    def stop(self, container_id: str, timeout: int) -> None:
        from docker.errors import APIError

        with asking("stop the container"):
            try:
                self._engine.api.stop(container_id, timeout=timeout)
            except APIError as error:
                if error.status_code not in (304, 404) and not _being_removed(error):
                    raise

    def kill(self, container_id: str, signal: str) -> None:
        """Send *signal*, e.g. "SIGTERM". A container that does not run is fine; an unknown one is NotFound."""
        from docker.errors import APIError

        with asking("signal the container"):
            try:
                self._engine.api.kill(container_id, signal)
            except APIError as error:
                if error.status_code != 409 and "is not running" not in explanation(error):
                    raise

    def wait(self, container_id: str) -> int:
        with asking("wait for the container"):
            return int(self._engine.api.wait(container_id)["StatusCode"])

    def remove(self, container_id: str) -> None:
        from docker.errors import APIError

        self._sizes.pop(container_id, None)
        with asking("remove the container"):
            try:
                self._engine.api.remove_container(container_id, v=True, force=True)
            except APIError as error:
                if error.status_code == 404:
                    return
                if not _being_removed(error):
                    raise
                self._wait_until_gone(container_id)

    def _wait_until_gone(self, container_id: str) -> None:
        deadline = time.monotonic() + REMOVAL_TIMEOUT
        while time.monotonic() < deadline:
            try:
                self._inspect(container_id)
            except NotFound:
                return
            time.sleep(0.05)
        raise EngineError("Docker has not finished removing a container", "Try again; if it stays, restart Docker.")

    # looking ---------------------------------------------------------------------------------------------------
    def _inspect(self, container_id: str) -> dict[str, Any]:
        with asking("look at the container"):
            return self._engine.api.inspect_container(container_id)

    def state(self, container_id: str) -> ContainerState:
        return _state(self._inspect(container_id))

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        with asking("list the containers"):
            found = self._engine.api.containers(all=True, filters=self._engine.filters(labels))
        states = []
        for one in found:
            try:
                states.append(self.state(one["Id"]))
            except NotFound:             # removed since
                continue
        return states

    def listening(self, container_id: str) -> list[Listener]:
        pid = self._inspect(container_id)["State"]["Pid"]
        return listeners(pid) if pid else []

    def memory(self, container_id: str) -> int:
        pid = self._inspect(container_id)["State"]["Pid"]
        return used(pid) if pid else 0

    def logs(self, container_id: str, *, tail: int | None = None, follow: bool = False,
             since: datetime | None = None) -> LogStream:
        """The iterator has ``close()``, which another thread may call to end a waiting read."""
        return LogStream(self._engine, container_id, tail=tail, follow=follow, since=since)

    def version(self) -> str:
        with asking("tell its version"):
            return self._engine.api.version(api_version=False)["Version"]

    # streams ---------------------------------------------------------------------------------------------------
    def attach(self, container_id: str, tty: bool) -> DockerAttachment:
        with asking("attach to the container"):
            path = f"/containers/{container_id}/attach?stream=1&stdin=1&stdout=1&stderr=1"
            stream, rest = hijack(self._engine, path, "attach to the container")

        def resize(columns: int, rows: int) -> None:
            if not self._resize(container_id, columns, rows):
                self._sizes[container_id] = (columns, rows)

        return DockerAttachment(stream, rest, tty, resize)

    def _resize(self, container_id: str, columns: int, rows: int) -> bool:
        from docker.errors import APIError

        with asking("resize the terminal"):
            try:
                self._engine.api.resize(container_id, height=rows, width=columns)
            except APIError:             # not started yet, or ended
                return False
        return True

    def exec(self, container_id: str, command: Sequence[str], tty: bool,
             environment: Mapping[str, Secret], user: str = "") -> tuple[str, DockerAttachment]:
        with asking("run the command in the container"):
            exec_id = self._engine.api.exec_create(container_id, list(command), stdin=True, tty=tty, user=user,
                                                   environment=environment_lines(environment))["Id"]
            stream, rest = hijack(self._engine, f"/exec/{exec_id}/start", "run the command in the container",
                                  body={"Detach": False, "Tty": tty})

        def resize(columns: int, rows: int) -> None:
            with contextlib.suppress(PaasError), asking("resize the terminal"):
                self._engine.api.exec_resize(exec_id, height=rows, width=columns)

        return exec_id, DockerAttachment(stream, rest, tty, resize)

    def exec_exit_code(self, exec_id: str) -> int | None:
        with asking("look at the command"):
            found = self._engine.api.exec_inspect(exec_id)
        return None if found["Running"] else found["ExitCode"]


def _being_removed(error: Any) -> bool:
    said = explanation(error)
    return error.status_code == 409 and ("already in progress" in said or "marked for removal" in said)


def _state(found: Mapping[str, Any]) -> ContainerState:
    """``Running`` is also true between two restarts; then the container does not run, and has ended once."""
    state = found["State"]
    running = state["Running"] and not state.get("Restarting") and not state.get("Dead")
    never = state["Status"] == "created" and not state["ExitCode"]
    networks = (found["NetworkSettings"].get("Networks") or {}).values()
    return ContainerState(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        labels=found["Config"]["Labels"] or {},
        running=running,
        exit_code=None if running or never else state["ExitCode"],
        oom_killed=state["OOMKilled"],
        restarts=found["RestartCount"],
        address=next((one["IPAddress"] for one in networks if one["IPAddress"]), "") if running else "",
        image=found["Image"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        started_at=parsed_time(state["StartedAt"]),
    )
