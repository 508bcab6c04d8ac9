"""From a ContainerSpec to the engine's words: what every container may and may not do, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paas.errors import EngineError
from paas.ports import BindMount, ContainerSpec
from paas.secret import Secret

# What images of the official library need to drop root and to listen below 1024; see CIS Docker Benchmark 5.3.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE")
LOGS = {"Type": "local", "Config": {"max-size": "10m", "max-file": "3"}}
CLOUDWATCH = "paas.cloudwatch"           # label: region, log group and log stream
CLOUDWATCH_BUFFER = "4m"                 # lines that wait for CloudWatch; beyond, new ones are not sent


def container_body(spec: ContainerSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """The body of ``POST /containers/create`` (Engine API 1.41)."""
    body: dict[str, Any] = {
        "Image": spec.image,
        "Labels": dict(labels),
        "Env": environment_lines(spec.environment),
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin,
        "AttachStdin": spec.stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "StopTimeout": spec.stop_timeout,
        "HostConfig": host_config(spec),
    }
    if spec.command:
        body["Entrypoint"], body["Cmd"] = [spec.command[0]], list(spec.command[1:])
    if spec.publish:
        body["ExposedPorts"] = {port: {} for port in port_bindings(spec.publish)}
    if spec.user:
        body["User"] = spec.user
    if spec.network:
        address = {"IPAMConfig": {"IPv4Address": spec.address}} if spec.address else {}
        body["NetworkingConfig"] = {"EndpointsConfig": {spec.network: address}}
    return body


def host_config(spec: ContainerSpec) -> dict[str, Any]:
    """The house's posture (CIS Docker Benchmark 5.3-5.5, 5.11-5.16, 5.26, 5.29) and the limits of *spec*."""
    return {
        "Init": True,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges:true"],
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PublishAllPorts": False,
        "LogConfig": log_config(spec.labels.get(CLOUDWATCH, "")),
        "PidsLimit": spec.pids,
        "Memory": spec.memory,
        "MemorySwap": spec.memory,
        "MemoryReservation": spec.reserve,
        "NanoCpus": round(spec.cpus * 1e9),
        "RestartPolicy": restart_policy(spec.restart),
        "NetworkMode": spec.network or "none",
        "Mounts": [mount(one) for one in spec.mounts],
        "ExtraHosts": list(spec.hosts),
        "PortBindings": port_bindings(spec.publish),
        **({"ShmSize": spec.shm} if spec.shm else {}),
        **({"Tmpfs": dict.fromkeys(spec.tmpfs, "")} if spec.tmpfs else {}),
    }


def log_config(cloudwatch: str) -> dict[str, Any]:
    """The engine's own driver sends to CloudWatch and keeps what `logs` reads ("dual logging", Docker 20.10).

    Non-blocking: the container starts, and its program prints, whether AWS answers or not (measured with 20.10.24: a
    container whose driver has no credentials starts in 0.3 s; blocking, it does not start at all).
    """
    if not cloudwatch:
        return LOGS
    region, group, stream = cloudwatch.split(" ", 2)
    kept = {f"cache-{key}": value for key, value in LOGS["Config"].items()}
    return {"Type": "awslogs", "Config": {
        "awslogs-region": region, "awslogs-group": group, "awslogs-stream": stream, "awslogs-create-group": "true",
        "mode": "non-blocking", "max-buffer-size": CLOUDWATCH_BUFFER, **kept}}


def port_bindings(published: tuple[str, ...]) -> dict[str, Any]:
    """``ADDRESS:PORT:CONTAINER-PORT``; the address may be an IPv6 one in brackets."""
    bindings: dict[str, Any] = {}
    for one in published:
        address, port, inner = one.rsplit(":", 2)
        bindings.setdefault(f"{inner}/tcp", []).append({"HostIp": address.strip("[]"), "HostPort": port})
    return bindings


def restart_policy(text: str) -> dict[str, Any]:
    name, _, times = text.partition(":")
    return {"Name": name, **({"MaximumRetryCount": int(times)} if times else {})}


def mount(one: BindMount) -> dict[str, Any]:
    kind = "bind" if one.source.startswith("/") else "volume"
    return {"Type": kind, "Source": one.source, "Target": one.target, "ReadOnly": one.read_only}


def environment_lines(values: Mapping[str, Secret]) -> list[str]:
    """``KEY=value`` lines; newlines and quotes stay as they are. The API carries JSON, so only UTF-8 text fits."""
    for key, value in values.items():
        try:
            value.reveal().encode()
        except UnicodeEncodeError:
            raise EngineError(f"the value of {key} is not UTF-8 text, which Docker cannot pass on",
                              "Encode the value, for example as base64.") from None
    return [f"{key}={value.reveal()}" for key, value in values.items()]
