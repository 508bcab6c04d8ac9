"""Java: Maven or Gradle, with its wrapper or without, and which version."""

import re

from paas.errors import PushRefused
from paas.model import manifests
from paas.model.buildpack import Facts, SourceFiles
from paas.model.names import printable

# Tags of https://hub.docker.com/_/eclipse-temurin: long-term support; newest last. Reviewed 2026-11.
VERSIONS = ("17", "21", "25")
DEFAULT = "21"

GRADLE = ("build.gradle", "build.gradle.kts")
WRAPPER = {True: {"mvnw", ".mvn/wrapper/maven-wrapper.properties"},
           False: {"gradlew", "gradle/wrapper/gradle-wrapper.properties", "gradle/wrapper/gradle-wrapper.jar"}}
LOOKED_FOR = "pom.xml, build.gradle, build.gradle.kts"
WANTED = frozenset({"pom.xml", "system.properties", ".java-version", *GRADLE})
IGNORE = ("target", "build", ".gradle")
PROPERTY = re.compile(r"^[ \t]*java\.runtime\.version[ \t]*=[ \t]*(\S{1,40})[ \t]*$", re.MULTILINE)
POM = re.compile(r"<(?:java\.version|maven\.compiler\.release|maven\.compiler\.target|release)>\s*([^<\s]{1,40})\s*</")
TOOLCHAIN = re.compile(r"JavaLanguageVersion\.of\(\s*(\d{1,3})\s*\)|"
                       r"(?:source|target)Compatibility\s*=?\s*(?:JavaVersion\.VERSION_|['\"]?)(?:1[._])?(\d{1,3})")
ASKED = re.compile(r"(?:1\.)?(\d{1,3})(?:[.+_].{0,30})?")


def fits(files: SourceFiles) -> str:
    return next((path for path in ("pom.xml", *GRADLE) if path in files.paths), "")


def detect(files: SourceFiles) -> Facts:
    maven = "pom.xml" in files.paths
    wrapper = WRAPPER[maven] <= files.paths
    version, where = version_of(files)
    text = manifests.text(files, "pom.xml")
    apart = maven and "<modules>" not in text and "<relativePath>" not in text
    first = sorted(path for path in files.paths if path in ("pom.xml", "mvnw") or path.startswith(".mvn/"))
    if manifests.copyable({path.removeprefix(".") for path in first}) is None:
        apart, first = False, []
    spring = "spring-boot" in text or any("org.springframework.boot" in manifests.text(files, path) for path in GRADLE)
    line = f"java -XX:MaxRAMPercentage=75 $JAVA_OPTS {'-Dserver.port=$PORT ' if spring else ''}-jar /app/app.jar"
    values = {"version": version, "maven": maven, "wrapper": wrapper, "first": first, "apart": apart,
              "output": "target" if maven else "build/libs"}
    tool = ("Maven" if maven else "Gradle") + (" of the wrapper" if wrapper else " of the image")
    notes = (f"Java {version} {where}", tool, f"web: {line}", *(() if spring else ("it must listen on $PORT",)))
    return Facts(values, {} if "Procfile" in files.paths else {"web": line}, notes, IGNORE)


def version_of(files: SourceFiles) -> tuple[str, str]:
    for path, pattern in (("system.properties", PROPERTY), ("pom.xml", POM), *((path, TOOLCHAIN) for path in GRADLE)):
        if match := pattern.search(manifests.text(files, path)):
            asked = next(one for one in match.groups() if one)
            if not asked.startswith("${"):
                return known(asked, path), f"for {path}"
    if asked := manifests.first_line(files, ".java-version"):
        return known(asked, ".java-version"), "from .java-version"
    return DEFAULT, "by default; java.runtime.version in system.properties chooses another"


def known(asked: str, path: str) -> str:
    """The oldest that is at least what is asked: a newer JDK compiles for older releases."""
    match = ASKED.fullmatch(asked)
    least = int(match[1]) if match else 0
    if not 8 <= least <= int(VERSIONS[-1]):
        raise PushRefused(f"{path} asks for Java '{printable(asked, 40)}', which the buildpack does not have",
                          f"It has Java {', '.join(VERSIONS)}. For another version add a Dockerfile.")
    return next(version for version in VERSIONS if int(version) >= least)
