"""A static site: a directory of pages, served as they are."""

from paas.errors import PushRefused
from paas.model.buildpack import Facts, SourceFiles
from paas.model.staticfile import read_staticfile, static_notes

LOOKED_FOR = "index.html, public/index.html, Staticfile"
WANTED = frozenset({"Staticfile"})


def fits(files: SourceFiles) -> str:
    return next((path for path in ("Staticfile", "index.html", "public/index.html") if path in files.paths), "")


def detect(files: SourceFiles) -> Facts:
    found = read_staticfile(files)
    root = found.root or ("" if "index.html" in files.paths else "public" if "public/index.html" in files.paths else "")
    if root and not any(path.startswith(f"{root}/") for path in files.paths):
        raise PushRefused(f"the Staticfile names the root {root}, which is not there", "Correct it and push again.")
    shown = f"{root}/" if root else "the whole source"
    notes = (f"pages from {shown}" + (", a path without a file gets index.html" if found.fallback else ""),
             *static_notes(found))
    return Facts({"root": root, "fallback": found.fallback}, {}, notes)
