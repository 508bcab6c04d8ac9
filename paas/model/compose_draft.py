"""What is gathered for one app while its services are read."""

from __future__ import annotations

from collections.abc import Mapping

from paas.errors import BadInput
from paas.model import app_settings, names
from paas.model.compose_ledger import ODD, Ledger, Path, Value, children
from paas.model.compose_services import Group, depends_on
from paas.secret import Secret


class Draft:
    def __init__(self, ledger: Ledger, group: Group, name: str, hosts: Mapping[str, str]) -> None:
        self.ledger, self.group, self.name, self.hosts = ledger, group, name, hosts
        self.processes: dict[str, str] = {}
        self.tasks: list[str] = []
        self.scale: dict[str, int] = {}
        self.config: dict[str, Secret] = {}
        self.to_set: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        self.arguments: dict[str, Secret] = {}
        self.limits: dict[str, dict[str, str]] = {}
        self.mounts: dict[str, str] = {}                 # target → words
        self.domains: dict[str, None] = {}
        self.warnings: list[str] = []
        self.needed: dict[str, str] = {}                 # variable of a command → of which
        self.completed = {needed for service in group.services for needed, condition in
                          depends_on(service.node).items() if condition == "service_completed_successfully"}

    def _use_all(self, path: Path, value: Value) -> None:
        """*value*, or each of the plain values that it holds."""
        if isinstance(value, (dict, list)):
            for key, _ in children(value):
                self.ledger.use((*path, key))
        else:
            self.ledger.use(path)

    def _set(self, path: Path, key: str, value: str) -> None:
        """A setting of the whole app: the first service that gives it wins."""
        try:
            checked = app_settings.APP[key].check(value)
        except BadInput as error:
            self.ledger.leave(path, error.what)
            return
        if self.settings.setdefault(key, checked) != checked:
            self.ledger.leave(path, f"one value for the whole app: {key} is {self.settings[key]}")

    def _pairs(self, path: Path, value: Value) -> list[tuple[Path, str, str | None]]:
        """(path, key, text or None) of a mapping or a list; anything else is left out."""
        if isinstance(value, dict):
            entries = [((*path, key), key, one) for key, one in value.items()]
        elif isinstance(value, list):
            split = [(place, one.partition("=")) if isinstance(one, str) else (place, None)
                     for place, one in enumerate(value)]
            entries = [((*path, place), parts[0], parts[2] if parts[1] else None) if parts else
                       ((*path, place), "", []) for place, parts in split]
        else:
            entries = [(path, "", [])]
        made = []
        for below, key, one in entries:
            if isinstance(one, (dict, list)):
                self.ledger.leave(below, ODD)
            else:
                made.append((below, key, str(one).lower() if isinstance(one, bool) else one))
        return made

    def _suggest(self, hosts: list[str]) -> None:
        for host in hosts:
            try:
                self.domains[names.domain(host.strip())] = None
            except BadInput:
                self.warnings.append(f"{self.name}: '{names.printable(host)}' is no host name that could be its domain")
