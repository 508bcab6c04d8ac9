"""A look into databases of apps where they can do no harm: see :mod:`paas.adapters.databases_child`."""

from __future__ import annotations

import os
import re
import select
import subprocess
from pathlib import Path

from paas.adapters import confined

PROGRAM = Path(__file__).with_name("databases_child.py")
LARGEST = 64 * 1024 * 1024               # bytes of a database that is looked into: it is read into memory
SECONDS = 60.0                           # that it may take
ANSWER = re.compile(rb"(\d{1,19}) (\d{1,19})\n")


class ChildDatabases:
    """See :class:`paas.ports_watch.Databases`."""

    def count(self, path: Path) -> tuple[int, int] | None:
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                if os.fstat(file.fileno()).st_size > LARGEST:
                    return None
                process = confined.start(PROGRAM, file)
        except OSError:                  # no memory, no descriptors; or it is a link
            return None
        found = ANSWER.fullmatch(answer(process))
        return (int(found[1]), int(found[2])) if found else None


def answer(process: subprocess.Popen[bytes]) -> bytes:
    """What it says at once, before its time is over."""
    watch = select.poll()
    watch.register(process.stdout, select.POLLIN)
    try:
        return os.read(process.stdout.fileno(), 64) if watch.poll(SECONDS * 1000) else b""
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
