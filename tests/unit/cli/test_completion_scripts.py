"""The completion scripts in their own shells, with a `paas` that notes its words. A missing shell is skipped."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from paas.cli.completion import SCRIPTS

# The last word may become what begins with it; every call leaves its words in the file `said`.
PROGRAM = """\
#!/bin/sh
{ printf '[%s]' "$@"; echo; } >> "$(dirname "$0")/said"
for last; do :; done
for answer in apps:create apps:list hello; do
    case $answer in "$last"*) echo "$answer" ;; esac
done
"""
ASKED = [("paas apps:cr", ["apps:create"], "[apps:cr]"), ("paas apps:create ", ["apps:create", "apps:list", "hello"],
         "[apps:create][]"), ("paas help apps:l", ["apps:list"], "[help][apps:l]"), ("paas zz", [], "[zz]")]


class Shell:
    def __init__(self, name: str, home: Path) -> None:
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
        self.name, self.home = name, home
        self.script = home / "script"
        self.script.write_text(SCRIPTS[name])
        (home / "paas").write_text(PROGRAM)
        (home / "paas").chmod(0o755)
        self.environment = {"PATH": f"{home}:/usr/bin:/bin", "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}

    def run(self, *argv: str) -> str:
        done = subprocess.run([self.name, *argv], env=self.environment, capture_output=True, text=True, timeout=60,
                              cwd=self.home, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def said(self) -> list[str]:
        """The words of each call of `paas` so far."""
        file = self.home / "said"
        return file.read_text().splitlines() if file.exists() else []

    def type(self, setup: str, keys: str, expected: int) -> None:
        """At a terminal: *setup*, then *keys* and Enter, until `paas` was called so often."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(shutil.which(self.name), [self.name, "-f", "-i"], self.environment)
        try:
            os.write(terminal, f"{setup}; echo DO''NE\n".encode())
            self._read(terminal, lambda seen: b"DONE" in seen)
            os.write(terminal, f"{keys}\n".encode())
            self._read(terminal, lambda _: len(self.said()) >= expected)
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)

    def _read(self, terminal: int, enough) -> None:
        seen, ends = b"", time.monotonic() + 30
        while not enough(seen):
            assert time.monotonic() < ends, seen
            if select.select([terminal], [], [], 0.05)[0]:
                seen += os.read(terminal, 4096)


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_the_script_parses(shell, tmp_path):
    Shell(shell, tmp_path).run("-n", "script")


@pytest.mark.parametrize(("line", "answers", "words"), ASKED)
def test_bash(tmp_path, line, answers, words):
    shell = Shell("bash", tmp_path)
    asked = 'source ./script; COMP_LINE=$1 COMP_POINT=${#1}; _paas; printf "%s\\n" "${COMPREPLY[@]}"'
    typed = line.split(" ")[-1]
    cut = typed.rpartition(":")[0] + ":" if ":" in typed else ""     # readline's word begins behind the last ':'
    assert shell.run("--norc", "-c", asked, "test", line).split() == [answer.removeprefix(cut) for answer in answers]
    assert shell.said() == [f"[:complete][--]{words}"]


@pytest.mark.parametrize(("line", "answers", "words"), ASKED)
def test_fish(tmp_path, line, answers, words):
    shell = Shell("fish", tmp_path)
    assert shell.run("--no-config", "-c", f'source ./script; complete -C "{line}"').split() == answers
    assert shell.said() == [f"[:complete][--]{words}"]


SOURCED = "autoload -Uz compinit; compinit -u -D; source ~/script"
OF_FPATH = "mkdir ~/f; cp ~/script ~/f/_paas; fpath=(~/f $fpath); autoload -Uz compinit; compinit -u -D"


@pytest.mark.parametrize("setup", [SOURCED, OF_FPATH], ids=["sourced", "of fpath"])
@pytest.mark.parametrize(("line", "asked", "ran"), [
    ("paas apps:cr", "[apps:cr]", "[apps:create]"), ("paas apps:create h", "[apps:create][h]", "[apps:create][hello]"),
    ("paas zz", "[zz]", "[zz]"),
])
def test_zsh(tmp_path, setup, line, asked, ran):
    shell = Shell("zsh", tmp_path)
    shell.type(setup, f"{line}\t", 2)
    assert shell.said() == [f"[:complete][--]{asked}", ran]
