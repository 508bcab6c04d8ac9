"""PHP: which version, which extensions, and the directory that is served."""

import re
from typing import Any

from paas.errors import PushRefused
from paas.model import manifests
from paas.model.buildpack import Facts, SourceFiles
from paas.model.names import printable

# Tags of https://hub.docker.com/_/php; newest last. Reviewed 2026-11.
VERSIONS = ("8.2", "8.3", "8.4")
DEFAULT = "8.4"

LOOKED_FOR = "composer.json, index.php"
WANTED = frozenset({"composer.json", "Aptfile"})
BUILT_IN = {
    "ctype", "curl", "date", "dom", "fileinfo", "filter", "ftp", "hash", "iconv", "json", "libxml", "mbstring",
    "mysqlnd", "openssl", "pcre", "pdo", "pdo_sqlite", "phar", "posix", "random", "readline", "reflection",
    "session", "simplexml", "sodium", "spl", "sqlite3", "standard", "tokenizer", "xml", "xmlreader", "xmlwriter",
    "zlib"}
# extension → packages of Debian 12 to build and to run it
SYSTEM: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{name: ((), ()) for name in ("bcmath", "calendar", "exif", "gettext", "mysqli", "opcache", "pcntl", "pdo_mysql",
                                   "sockets")},
    "gd": (("libfreetype6-dev", "libjpeg62-turbo-dev", "libpng-dev"),
           ("libfreetype6", "libjpeg62-turbo", "libpng16-16")),
    "gmp": (("libgmp-dev",), ("libgmp10",)), "intl": (("libicu-dev",), ("libicu72",)),
    "pdo_pgsql": (("libpq-dev",), ("libpq5",)), "pgsql": (("libpq-dev",), ("libpq5",)),
    "soap": (("libxml2-dev",), ("libxml2",)), "xsl": (("libxslt1-dev",), ("libxslt1.1",)),
    "zip": (("libzip-dev",), ("libzip4",))}
PECL = {"apcu": "apcu-5.1.24", "redis": "redis-6.1.0"}
FRAMEWORK_USES = {"laravel/framework": ("bcmath", "pcntl", "pdo_mysql", "pdo_pgsql")}
ROOTS = ("public", "web", "webroot", "htdocs")
PART = re.compile(r"(\^|~|>=|<=|>|<|=|)\s*v?(\d{1,3})(?:\.(\d{1,3}|\*))?(?:\.(?:\d{1,4}|\*))?(?:@\w{1,20})?")


def fits(files: SourceFiles) -> str:
    return next((path for path in ("composer.json", "index.php") if path in files.paths), "")


def detect(files: SourceFiles) -> Facts:
    composer = manifests.read_json(files, "composer.json")
    require = manifests.table(composer, "composer.json", "require")
    version, where = version_of(require)
    extensions = extensions_of(require)
    root = next((root for root in ROOTS if f"{root}/index.php" in files.paths), "")
    extra = manifests.debian_packages(files)
    there = [path for path in ("composer.json", "composer.lock") if path in files.paths]
    notes = [f"PHP {version} {where}", f"pages from {root or 'the whole source'}"]
    if there == ["composer.json"]:
        notes.append("there is no composer.lock: versions can differ from build to build")
    own, pecl = sorted(extensions & SYSTEM.keys()), sorted(extensions & PECL.keys())
    values = {"version": version, "first": there, "root": root, "extensions": own,
              "pecl": [PECL[name] for name in pecl], "pecl_names": pecl,
              "build_packages": sorted({one for name in own for one in SYSTEM[name][0]}),
              "run_packages": sorted({one for name in own for one in SYSTEM[name][1]} | set(extra))}
    return Facts(values, {}, tuple(notes), ("node_modules", *(["vendor"] if there else [])))


def extensions_of(require: dict[str, Any]) -> set[str]:
    found = {name[4:].lower().replace("zend-opcache", "opcache") for name in require if name.lower().startswith("ext-")}
    for framework, uses in FRAMEWORK_USES.items():
        found |= set(uses) if framework in require else set()
    unknown = sorted(found - BUILT_IN - SYSTEM.keys() - PECL.keys())
    if unknown:
        raise PushRefused(f"composer.json requires the extension {printable(unknown[0], 40)}, which is not there",
                          f"It has {', '.join(sorted({*SYSTEM, *PECL}))} and PHP's own. For others add a Dockerfile.")
    return found | {"opcache"}


def version_of(require: dict[str, Any]) -> tuple[str, str]:
    asked = manifests.string(require, "php", "composer.json").strip()
    if not asked:
        return DEFAULT, "by default; require.php in composer.json chooses another"
    for version in (DEFAULT, *reversed(VERSIONS)):
        if allows(asked, version):
            return version, "which composer.json allows"
    raise manifests.refused_version("PHP", asked, "composer.json", VERSIONS)


def allows(asked: str, version: str) -> bool:
    """Composer's constraints, as far as minor versions go: https://getcomposer.org/doc/articles/versions.md"""
    return any(all(fits_part(part, version) for part in re.split(r"\s*,\s*|(?<![\^~<>=])\s+(?![-|])", choice.strip()))
               for choice in re.split(r"\|\|?", asked))


def fits_part(part: str, version: str) -> bool:
    if part == "*":
        return True
    match = PART.fullmatch(part)
    if not match:
        raise PushRefused(f"composer.json requires PHP '{printable(part, 40)}', which is not understood",
                          'Write it like "^8.3".')
    have = tuple(map(int, version.split(".")))
    sign, major, minor = match[1], int(match[2]), match[3]
    least = (major, int(minor) if minor and minor != "*" else 0)
    whole = minor is not None and minor != "*"
    return {"^": have[0] == major and have >= least, ">=": have >= least, ">": have >= least, "<=": have <= least,
            "<": have < least, "=": have == least if whole else have[0] == major,
            "": have == least if whole else have[0] == major,
            "~": have[0] == major and have >= least and (part.count(".") < 2 or have == least)}[sign]
