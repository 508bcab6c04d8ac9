"""Ruby: which version, Rails or Rack, and what its gems need of Debian."""

import re

from paas.errors import PushRefused
from paas.model import manifests
from paas.model.buildpack import Facts, SourceFiles
from paas.model.names import printable

# Tags of https://hub.docker.com/_/ruby; newest last. Reviewed 2026-11. Bundler insists on the very patch that a Gemfile
# names, so a whole version becomes a tag of its own.
VERSIONS = ("3.2", "3.3", "3.4")
DEFAULT = "3.4"

LOOKED_FOR = "Gemfile"
WANTED = frozenset({"Gemfile", "Gemfile.lock", ".ruby-version", "Aptfile"})
IGNORE = ("log/*", "tmp/*", "vendor/bundle", ".bundle", "node_modules")
GEMFILE_RUBY = re.compile(r"""^[ \t]*ruby[ (][ \t]*["']([^"'\n]{1,60})["']""", re.MULTILINE)
LOCK_RUBY = re.compile(r"^RUBY VERSION[ \t]*\r?\n[ \t]+ruby (\d+\.\d+\.\d+)", re.MULTILINE)
WHOLE = re.compile(r"(?:ruby-)?(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)")
RANGE = re.compile(r"(?:~>|>=)\s*(\d{1,2}\.\d{1,2})(?:\.\d{1,3})?")
LOCKED = re.compile(r"^    ([a-zA-Z0-9_.-]+) \(", re.MULTILINE)
NAMED = re.compile(r"""^[ \t]*gem[ (][ \t]*["']([a-zA-Z0-9_.-]+)["']""", re.MULTILINE)
LOCAL = re.compile(r"""\bpath(?::|\s*=>)|^[ \t]*gemspec\b|\beval_gemfile\b|\bgit_source\b.*\bfile\b""", re.MULTILINE)
SYSTEM = {"pg": (("libpq-dev",), ("libpq5",)), "mysql2": (("default-libmysqlclient-dev",), ("libmariadb3",)),
          "ruby-vips": ((), ("libvips42",)), "image_processing": ((), ("libvips42",)),
          "rmagick": (("libmagickwand-dev",), ("libmagickwand-6.q16-6",))}
ASSETS = {"sprockets-rails", "propshaft", "sprockets", "vite_rails", "shakapacker"}
NEEDS_NODE = {"jsbundling-rails", "cssbundling-rails", "execjs", "uglifier", "terser", "vite_rails", "shakapacker",
              "webpacker"}
FIRST = ("Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions")


def fits(files: SourceFiles) -> str:
    return "Gemfile" if "Gemfile" in files.paths else ""


def detect(files: SourceFiles) -> Facts:
    gemfile, lock = manifests.text(files, "Gemfile"), manifests.text(files, "Gemfile.lock")
    if not lock:
        raise PushRefused("there is a Gemfile but no Gemfile.lock", "Run 'bundle lock' and commit Gemfile.lock.")
    gems = set(LOCKED.findall(lock)) | set(NAMED.findall(gemfile))
    version, where = version_of(files, gemfile, lock)
    rails = "railties" in gems and "config/application.rb" in files.paths
    processes, guess = web_process(files, gems, rails)
    system = [SYSTEM[gem] for gem in sorted(gems) if gem in SYSTEM]
    extra = manifests.debian_packages(files)
    node = bool(gems & NEEDS_NODE)
    build = {"build-essential", "libyaml-dev", "pkg-config", "git", *(["nodejs", "npm"] if node else []), *extra}
    values = {"version": version, "rails": rails, "assets": rails and bool(gems & ASSETS),
              "source_first": bool(LOCAL.search(gemfile)), "bootsnap": "bootsnap" in gems,
              "first": [path for path in FIRST if path in files.paths],
              "npm": node and "package-lock.json" in files.paths, "yarn": node and "yarn.lock" in files.paths,
              "build_packages": sorted(build.union(*(one for one, _ in system))),
              "run_packages": sorted(set(extra).union(*(one for _, one in system)))}
    return Facts(values, processes, (f"Ruby {version} {where}", *guess), IGNORE)


def version_of(files: SourceFiles, gemfile: str, lock: str) -> tuple[str, str]:
    asked = GEMFILE_RUBY.search(gemfile)
    for text, where in ((manifests.first_line(files, ".ruby-version"), ".ruby-version"),
                        (asked and asked[1], "the Gemfile"), ((LOCK_RUBY.search(lock) or ("", ""))[1], "Gemfile.lock")):
        if text:
            return known(text, where), f"from {where}"
    return DEFAULT, "by default; a file .ruby-version chooses another"


def known(asked: str, where: str) -> str:
    if match := WHOLE.fullmatch(asked.strip()):
        manifests.minor(match[1], "Ruby", where, VERSIONS)
        return match[1]
    if match := RANGE.fullmatch(asked.strip()):
        if asked.strip().startswith("~>") and asked.count(".") == 2:
            return manifests.minor(match[1], "Ruby", where, VERSIONS)
        least = tuple(map(int, match[1].split(".")))
        if least <= tuple(map(int, VERSIONS[-1].split("."))):
            return DEFAULT
    raise PushRefused(f"{where} asks for Ruby '{printable(asked, 40)}', which the buildpack does not have",
                      f"It has Ruby {', '.join(VERSIONS)} and their patch releases. For another add a Dockerfile.")


def web_process(files: SourceFiles, gems: set[str], rails: bool) -> tuple[dict[str, str], list[str]]:
    if "Procfile" in files.paths:
        return {}, []
    if rails:
        line = "bundle exec rails server --binding 0.0.0.0 --port $PORT"
    elif "config.ru" in files.paths and "puma" in gems:
        line = "bundle exec puma --bind tcp://0.0.0.0:$PORT"
    else:
        return {}, ["no web process is certain: write a Procfile with a line like 'web: bundle exec puma -p $PORT'"]
    return {"web": line}, [f"web: {line}"]
