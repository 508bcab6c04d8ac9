"""The machine that the daemon runs on: versions of what it leans on, disk, its own memory."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

from paas.errors import StateError

GIT = "/usr/bin/git"
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


class ThisHost:
    """See :class:`paas.ports.Host`."""

    def versions(self) -> dict[str, str]:
        found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found["dulwich"] = importlib.metadata.version("dulwich")
        for name, program in (("git", GIT), ("runc", shutil.which("runc", path=PROGRAMS))):
            if program and (version := said_version(program)):
                found[name] = version
        return found

    def disk(self, path: Path) -> tuple[int, int]:
        try:
            usage = shutil.disk_usage(path)
        except OSError as error:
            raise StateError(f"the disk of the state directory cannot be read: {error.strerror}",
                             "Check that the file system is mounted.") from None
        return usage.free, usage.total

    def memory(self) -> int:
        """MemAvailable of proc_meminfo(5)."""
        return kilobytes(Path("/proc/meminfo"), "MemAvailable")

    def machine(self) -> str:
        """Of machine-id(5), which a copied disk has too, and of the board's product_uuid, which it has not."""
        parts = [text_of(Path("/etc/machine-id")), text_of(Path("/sys/class/dmi/id/product_uuid"))]
        return hashlib.sha256(f"paas {' '.join(parts)}".encode()).hexdigest()[:32]

    def daemon_memory(self) -> int:
        """VmRSS of proc_pid_status(5)."""
        return kilobytes(Path("/proc/self/status"), "VmRSS")


def said_version(program: str) -> str:
    """The first number of ``PROGRAM --version``, like "2.39.5"; empty: it does not say."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        match = re.search(r"\d+(?:\.\d+)+", said)
        return match[0] if match else ""
    return ""


def text_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def kilobytes(path: Path, name: str) -> int:
    """The value of ``name:  123 kB``, in bytes; 0 where there is no /proc."""
    try:
        match = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0
