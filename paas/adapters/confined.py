"""A program that works on what strangers wrote: a process of its own, which knows nothing of the platform, gives up its
rights, and is killed by the kernel beyond its processor time or memory.

This file is also what the process begins with: ``confined.py PROGRAM CPU_SECONDS MEMORY`` loads PROGRAM, which has a
function ``main``, bounds itself and calls that.
"""

import os
import resource
import runpy
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

CPU_SECONDS = 20
MEMORY = 512 * 1024 * 1024               # bytes
NOBODY = 65534


def start(program: Path, stdin: int | BinaryIO = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """:raises OSError: no process, memory or descriptor is to be had."""
    argv = [sys.executable, "-ISB", __file__, str(program), str(CPU_SECONDS), str(MEMORY)]
    return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/")


def bound(cpu_seconds: int, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


if __name__ == "__main__":
    main = runpy.run_path(sys.argv[1])["main"]
    bound(int(sys.argv[2]), int(sys.argv[3]))
    sys.exit(main())
