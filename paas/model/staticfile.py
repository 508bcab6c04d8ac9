"""The `Staticfile`: where the pages of a static site are, and how they are served (Cloud Foundry's format)."""

from dataclasses import dataclass

from paas.errors import PushRefused
from paas.model.buildpack import SourceFiles
from paas.model.manifests import PATH, text
from paas.model.names import printable

PATH_NAME = "Staticfile"
ON = {"enabled": True, "true": True, "disabled": False, "false": False}


@dataclass(frozen=True)
class Staticfile:
    there: bool = False
    root: str = ""                       # directory of the pages, relative; "" the top, or the default
    fallback: bool = False               # a path without a file is answered with index.html (`pushstate: enabled`)
    ignored: tuple[str, ...] = ()        # keys that are not read here


def read_staticfile(files: SourceFiles) -> Staticfile:
    """Lines `key: value`; # starts a comment. PushRefused for a line or a value that is not understood."""
    values = dict(parsed(line) for line in text(files, PATH_NAME).splitlines() if line.split("#")[0].strip())
    root, fallback = values.pop("root", "").strip("/"), values.pop("pushstate", "disabled")
    root = "" if root == "." else root.removeprefix("./")
    if root and not PATH.fullmatch(root):
        raise PushRefused(f"{PATH_NAME}: '{printable(root, 40)}' cannot be the root", "Name a directory: root: public")
    if fallback not in ON:
        raise PushRefused(f"{PATH_NAME}: pushstate is '{printable(fallback, 40)}'", "Say enabled or disabled.")
    ignored = tuple(printable(key, 40) for key in values)
    return Staticfile(PATH_NAME in files.contents, root, ON[fallback], ignored)


def parsed(line: str) -> tuple[str, str]:
    key, colon, value = line.split("#")[0].partition(":")
    if not colon:
        raise PushRefused(f"{PATH_NAME}: '{printable(line.strip(), 40)}' is not 'key: value'", "Like: root: public")
    return key.strip(), value.strip()


def static_notes(found: Staticfile) -> tuple[str, ...]:
    return tuple(f"Staticfile: '{key}' is not read" for key in found.ignored[:10])
