"""`Buildpacks` that know one language: a file named `app.fake`, whose lines are processes."""

from paas.errors import PushRefused
from paas.model.buildpack import BuildEnvironment, Recipe, SourceFiles
from paas.testing.faults import Faults


class FakeBuildpacks:
    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.environment: BuildEnvironment | None = None         # of the last recipe

    def names(self) -> tuple[str, ...]:
        return ("fake",)

    def wanted(self) -> frozenset[str]:
        return frozenset({"app.fake"})

    def make(self, files: SourceFiles, environment: BuildEnvironment, language: str = "") -> Recipe:
        self.faults.call("buildpacks.make")
        self.environment = environment
        if "app.fake" not in files.contents or language not in ("", "fake"):
            raise PushRefused("no buildpack fits: looked for app.fake", "Add a Dockerfile.")
        lines = files.contents["app.fake"].decode().splitlines()
        return Recipe("fake", "found app.fake", b"FROM busybox\nEXPOSE 8080\n", b"left-out\n",
                      dict(line.split(": ", 1) for line in lines), ("Fake 1 by default",))
