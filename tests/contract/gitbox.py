"""Real git for tests: a clean environment, one helper."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
               "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com", "HOME": "/nonexistent",
               "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com"}


def git(path: Path, *words: str, data: bytes | None = None, ok: bool = True) -> str:
    done = subprocess.run(["git", "-C", path, *words], input=data, env=ENVIRONMENT, capture_output=True, check=False)
    assert not ok or done.returncode == 0, done.stderr.decode()
    return (done.stdout + (b"" if ok else done.stderr)).decode("utf-8", "replace").strip()
