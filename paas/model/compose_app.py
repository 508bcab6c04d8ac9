"""The services of one app → its plan: each value is used, or left out by name."""

from __future__ import annotations

from collections.abc import Callable

from paas.model import compose_known as known
from paas.model import compose_parts, names
from paas.model.compose import AppPlan, ToSet
from paas.model.compose_config import ConfigReader
from paas.model.compose_ledger import EMPTY, MISSING, ODD, Path, Value, slug
from paas.model.compose_place import PlaceReader
from paas.model.compose_services import Service

RESERVED_TYPES = frozenset({"release", "run"})
SHORT_LIMITS = {"mem_limit": "memory", "cpus": "cpu", "pids_limit": "pids", "mem_reservation": "reserve"}
DEPLOY_REASONS = {
    "restart_policy": "use: paas ps:set APP restart-policy",
    "update_config": "paas replaces without downtime; how: paas ps:strategy",
    "rollback_config": "a release that fails changes nothing; back to an older one: paas rollback",
    "placement": "there is one server", "mode": "there is one server", "endpoint_mode": "there is one server",
}


def in_turn(key: str) -> int:
    """The port is known before the health check is read, and what names it first counts."""
    return {"ports": 0, "expose": 1, "healthcheck": 3}.get(key, 2)


class AppReader(ConfigReader, PlaceReader):
    def read(self) -> AppPlan:
        for service in self.group.services:
            self._service(service)
        self.to_set |= {key: why for key, why in self.needed.items() if key not in {**self.config, **self.to_set}}
        built = any("build" in service.node for service in self.group.services)
        return AppPlan(
            self.name, tuple(one.name for one in self.group.services), "" if built else self.group.services[0].image,
            self.processes, " && ".join(self.tasks), self.scale, self.config,
            tuple(ToSet(key, why) for key, why in self.to_set.items()), self.settings, self.arguments, self.limits,
            tuple(self.mounts.values()), tuple(self.domains))

    def _service(self, service: Service) -> None:
        web = service is self.group.web
        task = not web and len(self.group.services) > 1 and self._is_task(service)
        kind = "release" if task else self._type_of(service, web)
        self._command(service, kind, task)
        if not task:
            self.scale |= {} if web else {kind: 1}
        readers: dict[str, Callable[[Path, Value], None]] = {
            "build": self._build, "environment": self._environment, "env_file": self._env_file,
            "volumes": self._volumes, "deploy": lambda path, value: self._deploy(path, value, kind),
            "ports": lambda path, value: self._ports(path, value, web), "labels": self._labels,
            "expose": lambda path, value: self._expose(path, value, web),
            "healthcheck": lambda path, value: self._healthcheck(path, value, service, web),
            "scale": lambda path, value: self._quantity(path, value, kind),
            "restart": lambda path, value: self._restart(path, value, task),
            "stop_grace_period": self._stop_timeout, "extra_hosts": self._extra_hosts,
            "image": lambda path, value: self._image(path, value, service),
        }
        readers |= {key: lambda path, value, name=name: self._limit(path, value, kind, name)
                    for key, name in SHORT_LIMITS.items()}
        for key in sorted(service.node, key=in_turn):
            path, value = (*service.path, key), service.node[key]
            if key in known.POWERS:
                self.ledger.leave(path, known.POWERS[key])
            elif key in readers:
                readers[key](path, value)
            elif key in known.REASONS:
                self.ledger.leave(path, known.REASONS[key])

    # Processes --------------------------------------------------------------------------------------------------

    def _is_task(self, service: Service) -> bool:
        named = service.name in self.completed or known.TASK_NAME.fullmatch(service.name.lower())
        return bool(named) and bool(service.node.get("command") or service.node.get("entrypoint"))

    def _type_of(self, service: Service, web: bool) -> str:
        kind = "web" if web else names.process_type(slug(service.name))
        taken = {*self.processes, *RESERVED_TYPES, *(() if web or not self.group.web else ("web",))}
        return kind if kind not in taken else next(made for n in range(2, 99) if (made := f"{kind}-{n}") not in taken)

    def _command(self, service: Service, kind: str, task: bool) -> None:
        """``entrypoint`` and ``command`` together; without either the image's own command runs."""
        keys = [key for key in ("entrypoint", "command") if service.node.get(key) not in EMPTY]
        for key in ("entrypoint", "command"):
            if key in service.node and key not in keys:
                self.ledger.leave((*service.path, key), "empty: the image's own stands")
        words = [compose_parts.argv(service.node[key]) for key in keys]
        whole = sum(words, []) if keys and None not in words else []
        needed = MISSING.findall(" ".join(whole))
        line = compose_parts.procfile_line(whole) if all(map(names.CONFIG_KEY.fullmatch, needed)) else None
        for key in keys:
            path = (*service.path, key)
            if line is None:
                self.ledger.leave(path, "not one line: put it in a script of the repository, and that in the Procfile")
            else:
                self._use_all(path, service.node[key])
        if line is not None:
            self.needed |= {name: f"the command of {kind} needs it" for name in needed}
            if known.DEVELOPMENT.search(line):
                self.warnings.append(f"{self.name}: the command of {kind} is for development: {line}")
            if known.SCHEDULER.search(line):
                self.warnings.append(f"{self.name}: {kind} schedules; so that it never runs twice at once: "
                                     f"paas ps:strategy {self.name} {kind}=stop-first")
        if not task:
            self.processes[kind] = line or ""
        elif line is not None:
            self.tasks.append(line)

    def _image(self, path: Path, value: Value, service: Service) -> None:
        if "build" in service.node or not service.image or any("build" in one.node for one in self.group.services):
            self.ledger.leave(path, known.REASONS["image"])
        else:
            self.ledger.use(path)

    def _quantity(self, path: Path, value: Value, kind: str) -> None:
        text = self.ledger.text(path, value)
        if text is None:
            return
        if kind == "release" or not text.isascii() or not text.isdigit() or len(text) > 4:
            self.ledger.leave(path, "the release phase runs once" if kind == "release" else ODD)
        else:
            self.scale[kind] = int(text)

    def _restart(self, path: Path, value: Value, task: bool) -> None:
        text = self.ledger.text(path, value if value is not False else "no")
        if text is None:
            return
        if task or text == "no":
            self.ledger.leave(path, "the release phase runs once" if task else
                              "paas starts again what crashes; otherwise: paas ps:set APP restart-policy no")
        else:
            self._set(path, "ps.restart-policy", text)

    def _stop_timeout(self, path: Path, value: Value) -> None:
        text = self.ledger.text(path, value)
        if text is not None:
            whole = compose_parts.seconds(text)
            self._set(path, "ps.stop-timeout", str(whole) if whole is not None else text)

    def _deploy(self, path: Path, value: Value, kind: str) -> None:
        if not isinstance(value, dict):
            self.ledger.leave(path, ODD)
            return
        for key, one in value.items():
            below = (*path, key)
            if key == "replicas":
                self._quantity(below, one, kind)
            elif key == "resources" and isinstance(one, dict):
                self._resources(below, one, kind)
            elif key == "labels":
                self._labels(below, one)
            elif key in DEPLOY_REASONS:
                self.ledger.leave(below, DEPLOY_REASONS[key])
