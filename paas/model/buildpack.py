"""What a buildpack sees of a source, and what it makes of it. Values only; the languages are in ``buildpacks/``."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SourceFiles:
    """The build context as detection needs it."""

    paths: frozenset[str]                # every file of the context, like "src/app.py"
    contents: Mapping[str, bytes]        # of those files that Buildpacks.wanted() names and that are there


@dataclass(frozen=True)
class BuildEnvironment:
    """What a generated Dockerfile may lean on."""

    buildkit: bool = True                # cache mounts
    ca: bool = False                     # the secret `paas_ca` is a bundle of CA certificates, PEM
    scope: str = ""                      # whose cache mounts: an app's are its own, or it could spoil another's
    environment: bool = False            # the secret `paas_env` holds lines `export KEY='value'`


@dataclass(frozen=True)
class Recipe:
    """How a source without a Dockerfile is built."""

    language: str                        # the directory in ``buildpacks/``
    reason: str                          # "found requirements.txt"
    dockerfile: bytes
    dockerignore: bytes = b""            # used where the source has none; empty: none
    processes: Mapping[str, str] = field(default_factory=dict)   # process type → command line, where it has no Procfile
    notes: tuple[str, ...] = ()          # for the pusher: "Python 3.12 from .python-version"


@dataclass(frozen=True)
class Facts:
    """What a language's ``buildpack.py`` found out. Every text in *values* follows a strict pattern of its own."""

    values: Mapping[str, object]         # for its Dockerfile.j2
    processes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()         # lines of its .dockerignore, beside the common ones
