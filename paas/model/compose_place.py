"""How an app is reached, where it keeps data, and what it may use."""

from __future__ import annotations

from paas.errors import BadInput
from paas.model import app_settings, compose_parts, names
from paas.model import compose_known as known
from paas.model.compose_draft import Draft
from paas.model.compose_ledger import EMPTY, MISSING, ODD, Path, Value
from paas.model.compose_services import Service
from paas.model.limits import LIMITS

LIMIT_KEYS = {"memory": "memory", "cpus": "cpu", "pids": "pids"}       # of deploy.resources.limits
CHECK_REASON = {
    True: "paas asks GET / until it answers below 500; another path: paas checks:set APP path",
    False: "a process that is not web proves itself by staying up; how long: paas checks:set APP uptime",
}
CHECK_TIMES = "a new instance has 60 seconds; another time: paas checks:set APP timeout"
EXTRA_HOSTS = "network.extra-hosts"


class PlaceReader(Draft):
    def _ports(self, path: Path, value: Value, web: bool) -> None:
        if not web or not isinstance(value, list):
            self.ledger.leave(path, "only the web process of an app is reached from outside" if not web else ODD)
            return
        for place, one in enumerate(value):
            self._port((*path, place), one)

    def _port(self, path: Path, value: Value) -> None:
        if isinstance(value, dict) and "target" in value:
            for key in value:
                if key != "target":
                    self.ledger.leave((*path, key), "not needed: the site is on 80 and 443")
            path, value = (*path, "target"), value.get("target") if value.get("protocol", "tcp") == "tcp" else None
        found = compose_parts.port(value) if isinstance(value, str) else None
        if not found:
            self.ledger.leave(path, "no single TCP port: an app is reached by HTTP, on 80 and 443")
        elif self.settings.setdefault("proxy.port", found.target) != found.target:
            self.ledger.leave(path, f"the site is on {self.settings['proxy.port']}; {found.target} can have a public "
                              f"port of its own: paas ports:add APP http:PUBLIC:{found.target}")
        else:
            self.ledger.use(path)
            if found.published:
                self.ledger.leave(path, f"{found.target} is the port in the container; on the server the site is on 80 "
                                  "and 443")

    def _expose(self, path: Path, value: Value, web: bool) -> None:
        for place, one in enumerate(value) if isinstance(value, list) and web else ():
            if isinstance(one, str) and compose_parts.valid_port(one) and "proxy.port" not in self.settings:
                self.settings["proxy.port"] = str(int(one))
                self.ledger.use((*path, place))
            else:
                self.ledger.leave((*path, place), known.REASONS["expose"])
        if not web or value in EMPTY or not isinstance(value, list):
            self.ledger.leave(path, known.REASONS["expose"])

    def _labels(self, path: Path, value: Value) -> None:
        if value in EMPTY:
            self.ledger.leave(path, known.REASONS["labels"])
            return
        for below, key, text in self._pairs(path, value):
            hosts = compose_parts.hosts_of_label(key, text or "")
            if hosts and not MISSING.search(text or ""):
                self._suggest(hosts)
                self.ledger.leave(below, "routes of a proxy are not read; its host names are suggested as domains")
            elif key.endswith(".loadbalancer.server.port") and compose_parts.valid_port(text or ""):
                self.settings.setdefault("proxy.port", str(int(text or "")))
                self.ledger.use(below)
            else:
                self.ledger.leave(below, known.REASONS["labels"])

    def _extra_hosts(self, path: Path, value: Value) -> None:
        """``NAME:ADDRESS`` or ``NAME=ADDRESS`` in a list, or a mapping; all or none."""
        entries = [f"{key}:{one}" for key, one in value.items()] if isinstance(value, dict) else value
        plain = isinstance(entries, list) and all(isinstance(one, str) and not MISSING.search(one) for one in entries)
        if not plain or not entries or EXTRA_HOSTS not in app_settings.APP:
            self.ledger.leave(path, known.REASONS["extra_hosts"])
            return
        self._set(path, EXTRA_HOSTS, ",".join(one.replace("=", ":", 1) for one in entries))
        if path not in self.ledger.left:
            self._use_all(path, value)

    def _healthcheck(self, path: Path, value: Value, service: Service, web: bool) -> None:
        if not isinstance(value, dict) or not value:
            self.ledger.leave(path, CHECK_REASON[web])
            return
        for key, one in value.items():
            if key == "test" and web:
                self._check((*path, key), one, service)
            elif key in ("interval", "timeout", "retries", "start_period", "start_interval") and web:
                self.ledger.leave((*path, key), CHECK_TIMES)
            elif key == "disable" and web:
                self.ledger.leave((*path, key), "use: paas checks:disable APP")
            elif not web:
                self.ledger.leave((*path, key), CHECK_REASON[False])

    def _check(self, path: Path, test: Value, service: Service) -> None:
        """Only where it is plain that the site itself is asked."""
        found = compose_parts.check_path(test, service.hosts)
        port = self.settings.get("proxy.port", "")
        try:
            if not found or (port and found[0] != port):
                raise BadInput("unsure")
            self.settings["checks.path"] = app_settings.APP["checks.path"].check(found[1])
            self._use_all(path, test)
        except BadInput:
            self.ledger.leave(path, CHECK_REASON[True])

    # Storage and limits -----------------------------------------------------------------------------------------------

    def _volumes(self, path: Path, value: Value) -> None:
        if not isinstance(value, list) or not value:
            self.ledger.leave(path, ODD if value else "empty")
            return
        for place, one in enumerate(value):
            below = (*path, place)
            if isinstance(one, dict):
                self._long_volume(below, one)
            elif (text := self.ledger.text(below, one)) is not None:
                self._mount(below, compose_parts.volume(text))

    def _long_volume(self, path: Path, value: dict[str, Value]) -> None:
        """Its parts are used or left together; options behind them are always left."""
        parts = {key: value.get(key) for key in ("type", "source", "target")}
        if any(not isinstance(one, str) or MISSING.search(one) for one in parts.values() if one is not None):
            self.ledger.leave(path, ODD)
            return
        kind, source, target = (parts[key] or "" for key in ("type", "source", "target"))
        kind = "anonymous" if kind == "volume" and not source else kind
        self._mount(path, compose_parts.Volume(kind, source, target, value.get("read_only") is True))
        if path not in self.ledger.left:
            for key in value:
                if key in (*parts, "read_only"):
                    self.ledger.use((*path, key))
                else:
                    self.ledger.leave((*path, key), "volumes of paas have no such option")

    def _mount(self, path: Path, found: compose_parts.Volume | None) -> None:
        why = self._unmountable(found)
        if why or not found:
            self.ledger.leave(path, why)
            return
        if self.mounts.setdefault(found.target, found.words) != found.words:
            self.ledger.leave(path, f"something else is mounted at {found.target} of this app already")
        elif found.other:
            self.ledger.leave(path, f"mounted, but without: {', '.join(found.other)}")

    def _unmountable(self, found: compose_parts.Volume | None) -> str:
        if not found:
            return ODD
        if found.socket:
            return known.DOCKER_SOCKET
        if found.kind == "anonymous":
            return "has no name: what it holds goes with the container; name it to keep it"
        if found.kind == "volume":
            return self._unfit(found)
        if found.kind != "bind":
            return f"paas does not mount {names.printable(found.kind)}"
        if found.file:
            return "a file of your machine: COPY it into the image, or set a config var"
        if known.SYSTEM.fullmatch(found.source):
            return "refused: a directory of the server's own system"
        if found.of_source:
            return "a directory of your source, for development: the image has its own copy"
        return f"a directory of the host; root may mount one: paas storage:mount {self.name} {found.words}"

    def _unfit(self, found: compose_parts.Volume) -> str:
        if known.DEPENDENCIES.search(found.target):
            return "holds what the image brings: a volume would keep old versions"
        return "" if compose_parts.VOLUME_NAME.fullmatch(found.source) else (
            "a volume's name has lower-case letters, digits, '.', '_' and '-': mount it by another one")

    def _resources(self, path: Path, value: dict[str, Value], kind: str) -> None:
        for part, entries in value.items():
            for key, one in entries.items() if isinstance(entries, dict) else ():
                below = (*path, part, key)
                if part == "limits" and key in LIMIT_KEYS:
                    self._limit(below, one, kind, LIMIT_KEYS[key])
                elif (part, key) == ("reservations", "memory"):
                    self._limit(below, one, kind, "reserve")
                elif key == "devices":
                    self.ledger.leave(below, known.POWERS["devices"])
                else:
                    self.ledger.leave(below, "paas reserves memory only")

    def _limit(self, path: Path, value: Value, kind: str, name: str) -> None:
        text = self.ledger.text(path, value)
        if text is None:
            return
        text = f"0{text}" if text.startswith(".") else text.strip()
        try:
            LIMITS[name](text)
        except BadInput as error:
            self.ledger.leave(path, error.what)
            return
        place = "run" if kind == "release" else kind
        if place == "run":
            self.ledger.leave(path, "the release phase has the limits of: paas resource:limit --process-type run")
        else:
            self.limits.setdefault(place, {})[name] = text
