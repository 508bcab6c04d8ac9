"""From a source without a Dockerfile to one, by the languages in ``buildpacks/``.

Each language is a directory there: ``buildpack.py`` finds the facts (pure; nothing of the source is run), and
``Dockerfile.j2`` says how they are built.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from paas.errors import PushRefused
from paas.model.buildpack import BuildEnvironment, Facts, Recipe, SourceFiles
from paas.model.names import printable
from paas.model.procfile import shell_command

# Frameworks of the first ones often have a package.json for their assets; a page alone says the least.
LANGUAGES = ("ruby", "php", "java", "go", "python", "node", "static")
IGNORED = (".git", ".DS_Store")


class Buildpacks:
    """See :class:`paas.ports_source.Buildpacks`.

    :param directory: where the languages are; beside the package, in the repository and as it is installed.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(__file__).resolve().parents[2] / "buildpacks"

    def names(self) -> tuple[str, ...]:
        return LANGUAGES

    def wanted(self) -> frozenset[str]:
        return frozenset().union(*(one.WANTED for one in self._languages.values()))

    def make(self, files: SourceFiles, environment: BuildEnvironment, language: str = "") -> Recipe:
        found = self._fitting(files, language)
        name, reason = next(iter(found.items()))
        facts = self._languages[name].detect(files)
        processes = {} if "Procfile" in files.paths else dict(facts.processes)
        others = [other for other in found if other not in (name, "static")] if not language else []
        also = tuple(f"{found[other]} is there too; another choice: paas buildpacks:set APP {other}"
                     for other in others)
        return Recipe(name, f"found {reason}", self._dockerfile(name, facts, environment, processes),
                      "".join(f"{line}\n" for line in (*IGNORED, *facts.ignore)).encode(), processes,
                      (*facts.notes, *also))

    def _fitting(self, files: SourceFiles, language: str) -> dict[str, str]:
        """Language → the file that says so, best first; at least one. PushRefused."""
        if language and language not in LANGUAGES:
            raise PushRefused(f"there is no buildpack '{printable(language, 40)}'",
                              f"There are: {', '.join(LANGUAGES)}.")
        looked = {name: self._languages[name] for name in ([language] if language else LANGUAGES)}
        found = {name: reason for name, module in looked.items() if (reason := module.fits(files))}
        if not found and language:
            raise PushRefused(f"the {language} buildpack does not fit: it looks for {looked[language].LOOKED_FOR}",
                              "Add one of these, or choose another: paas buildpacks:set APP LANGUAGE")
        if not found:
            raise PushRefused("no buildpack fits: " + "; ".join(f"{name} looks for {module.LOOKED_FOR}"
                                                                for name, module in looked.items()),
                              "Add one of these files or a Dockerfile at the top, or name the app's directory: "
                              "paas builder:set APP build-dir DIRECTORY")
        return found

    def _dockerfile(self, name: str, facts: Facts, environment: BuildEnvironment,
                    processes: Mapping[str, str]) -> bytes:
        template = self._environment.get_template(f"{name}/Dockerfile.j2")
        command = list(shell_command(processes["web"])) if "web" in processes else []
        mounts = environment.buildkit
        text = template.render(**facts.values, command=command, buildkit=mounts, scope=environment.scope,
                               ca=environment.ca and mounts, environment=environment.environment and mounts)
        return tidy(text).encode()

    @cached_property
    def _environment(self) -> Environment:
        made = Environment(loader=FileSystemLoader(self._directory), undefined=StrictUndefined, autoescape=False,
                           trim_blocks=True, lstrip_blocks=True)
        made.filters["exec"] = json.dumps        # the exec form of CMD
        made.filters["by_directory"] = by_directory
        return made

    @cached_property
    def _languages(self) -> dict[str, ModuleType]:
        return {name: load(self._directory / name / "buildpack.py", name) for name in LANGUAGES}


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"paas_buildpack_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tidy(text: str) -> str:
    """A blank line before each stage, and nowhere else."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "".join(f"\n{line}\n" if line.startswith("FROM ") else f"{line}\n" for line in lines).lstrip("\n")


def by_directory(paths: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Paths under their directories ("" or "a/b/"), for one COPY each."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        directory, slash, _ = path.rpartition("/")
        found.setdefault(directory + slash, []).append(path)
    return sorted(found.items())
