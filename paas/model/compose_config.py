"""How an app is built, and its config vars."""

from __future__ import annotations

import posixpath

from paas.errors import BadInput
from paas.model import compose_known as known
from paas.model import compose_parts, names
from paas.model.compose_draft import Draft
from paas.model.compose_ledger import EMPTY, MISSING, ODD, Path, Value, variables
from paas.secret import Secret

PROXY_VARIABLES = frozenset({"VIRTUAL_HOST", "LETSENCRYPT_HOST"})
PROXY_OPTIONS = ("VIRTUAL_", "LETSENCRYPT_")


class ConfigReader(Draft):
    def _build(self, path: Path, value: Value) -> None:
        if not isinstance(value, dict):
            self._context(path, value)
            return
        for key, one in value.items():
            below = (*path, key)
            if key == "context":
                self._context(below, one)
            elif key == "dockerfile":
                self._inside(below, one, "builder.dockerfile-path", "Dockerfile")
            elif key == "args":
                self._arguments(below, one)
            elif key in known.BUILD_REASONS:
                self.ledger.leave(below, known.BUILD_REASONS[key])

    def _context(self, path: Path, value: Value) -> None:
        self._inside(path, value, "builder.build-dir", ".")

    def _inside(self, path: Path, value: Value, key: str, default: str) -> None:
        """A path in the repository, as a setting unless it is the default anyway."""
        text = self.ledger.text(path, value)
        if text is None:
            return
        clean = posixpath.normpath(text) if text else default
        if "://" in text or text.startswith(("/", "~", "git@")) or clean.startswith(".."):
            self.ledger.leave(path, "outside of the repository that is pushed: move it there")
        elif clean != default:
            self._set(path, key, clean)

    def _arguments(self, path: Path, value: Value) -> None:
        for below, key, text in self._pairs(path, value):
            if text is None or MISSING.search(text):
                self.ledger.leave(below, f"has no value in this file; set it: paas builder:arg {self.name} {key}=…")
            elif not compose_parts.ARGUMENT.fullmatch(key) or not text.isprintable():
                self.ledger.leave(below, ODD)
            else:
                self.ledger.use(below)
                self.arguments[key] = Secret(text)

    # Config vars ------------------------------------------------------------------------------------------------------

    def _environment(self, path: Path, value: Value) -> None:
        if value in EMPTY:
            self.ledger.leave(path, "empty")
            return
        for below, key, text in self._pairs(path, value):
            self._variable(below, key, text)

    def _variable(self, path: Path, key: str, text: str | None) -> None:
        if key.startswith(PROXY_OPTIONS):
            self._for_proxy(path, key, text)
            return
        try:
            names.config_key(key)
            names.config_value(text or "")
        except BadInput:
            self.ledger.leave(path, "no config var: its name has capital letters, digits and underscores, does not "
                              f"begin with PAAS_, and its value has at most {names.MAX_CONFIG_BYTES // 1024} KB")
            return
        why = self._unsettled(key, text)
        if key in self.config or key in self.to_set:
            if why or self.config.get(key) != Secret(text or ""):
                self._another(path, key, why)
            else:
                self.ledger.use(path)
        elif why:
            self.ledger.use(path)
            self.to_set[key] = why
        else:
            self.ledger.use(path)
            self.config[key] = Secret(text or "")

    def _another(self, path: Path, key: str, why: str) -> None:
        if self.to_set.get(key, "") == why and why:
            self.ledger.use(path)
        else:
            self.ledger.leave(path, f"config vars belong to the whole app, and another service gives {key} first")

    def _unsettled(self, key: str, text: str | None) -> str:
        """Why the user has to give the value; empty: it can stay as it is."""
        if text is None:
            return "compose takes it from your shell or .env"
        if MISSING.search(text):
            return f"needs {variables(text)}, from your shell or .env"
        if text.startswith("/run/secrets/"):
            return "names the file of a secret, which there is not: let the app read the secret from a config var"
        return next((self.hosts[host] for host in compose_parts.hosts_in(key, text) if host in self.hosts), "")

    def _for_proxy(self, path: Path, key: str, text: str | None) -> None:
        if key in PROXY_VARIABLES and text and not MISSING.search(text):
            self._suggest(text.split(","))
        if key == "VIRTUAL_PORT" and text and compose_parts.valid_port(text):
            self.settings.setdefault("proxy.port", str(int(text)))
        self.ledger.leave(path, "for a proxy that paas replaces; its host names are suggested as domains")

    def _env_file(self, path: Path, value: Value) -> None:
        for below, one in [((*path, place), one) for place, one in enumerate(value)] if isinstance(value, list) else [
                (path, value)]:
            name = one.get("path") if isinstance(one, dict) else one
            told = names.printable(name, 100) if isinstance(name, str) and not MISSING.search(name) else "FILE"
            self.ledger.leave(below, f"import it yourself: paas config:import {self.name} < {told}")
