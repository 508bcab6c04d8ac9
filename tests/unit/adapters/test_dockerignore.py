"""Which paths a .dockerignore leaves out (docs.docker.com, "build context", .dockerignore files)."""

import pytest

from paas.adapters.docker_images import ignoring
from paas.errors import BuildFailed

RULES = b"""# comment
secrets/
*.log
**/*.pyc
node_modules
docs/*
!docs/keep.md
Dockerfile
"""


@pytest.mark.parametrize(("path", "out"), [
    ("secrets", True), ("secrets/key", True), ("secrets/a/b", True), ("a.log", True), ("sub/a.log", False),
    ("a.pyc", True), ("x/y/a.pyc", True), ("node_modules/left-pad/index.js", True), ("docs/a.md", True),
    ("docs/keep.md", False), ("Dockerfile", False), (".dockerignore", False), ("app.py", False)])
def test_patterns(path, out):
    assert ignoring(RULES, "Dockerfile")(path) is out


def test_everything_but():
    left_out = ignoring(b"*\n!src\n", "Dockerfile")
    assert left_out("README") is True
    assert left_out("src/a.py") is False
    assert left_out("Dockerfile") is False


def test_the_number_of_patterns_is_limited():
    with pytest.raises(BuildFailed):
        ignoring(b"x\n" * 100_000, "Dockerfile")
