"""Plugins: found in ``plugins/``, loaded once, kept apart from the core: one that fails is named and left out."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paas.api import API, Datastore

DIRECTORY = Path(__file__).resolve().parents[2] / "plugins"

log = logging.getLogger("paas.plugin")


@dataclass(frozen=True)
class Plugins:
    datastores: Mapping[str, Datastore] = field(default_factory=dict)
    problems: tuple[str, ...] = ()       # one line for each plugin that was left out


@functools.cache
def loaded() -> Plugins:
    """Those that came with the platform; read once."""
    return load()


def load(directory: Path = DIRECTORY) -> Plugins:
    """Every plugin of *directory*, by name."""
    found: dict[str, Datastore] = {}
    problems = []
    for manifest in sorted(directory.glob("*/plugin.toml")):
        try:
            datastore = load_one(manifest)
            found[datastore.name] = datastore
        except (Exception, SystemExit) as error:     # whatever a plugin does, the platform starts
            log.exception("the plugin %s is left out", manifest.parent.name)
            problems.append(f"the plugin {manifest.parent.name} is left out: {type(error).__name__}: {error}")
    return Plugins(found, tuple(problems))


def load_one(manifest: Path) -> Datastore:
    """:raises ValueError: the manifest or what it names is not as :mod:`paas.api` says."""
    words = tomllib.loads(manifest.read_text(encoding="utf-8"))
    if words.get("api") != API:
        raise ValueError(f"it is made for api {words.get('api')}, this is api {API}")
    datastore = load_module(manifest.with_name("plugin.py"), words["name"]).datastore
    if not isinstance(datastore, Datastore) or datastore.name != words["name"]:
        raise ValueError("its datastore is not a paas.api.Datastore of the plugin's own name")
    return datastore


def load_module(path: Path, name: str) -> object:
    """As the package ``paas_plugins.NAME``, so that it can have several files and build on another plugin."""
    full = f"paas_plugins.{name}"
    spec = importlib.util.spec_from_file_location(full, path, submodule_search_locations=[str(path.parent)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module
