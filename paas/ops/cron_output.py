"""What a scheduled job printed: a file per run, of which the last part is kept."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from paas.errors import NotFound

if TYPE_CHECKING:
    from paas.runtime import Runtime

KEPT_BYTES = 1024 * 1024                 # the last of a run's output: where it says what went wrong


def directory(rt: Runtime) -> Path:
    return rt.jobs.logs_dir / "cron"


def path_of(rt: Runtime, run_id: int) -> Path:
    return directory(rt) / f"{run_id}.log"


class KeptOutput:
    """Takes lines; the file never grows beyond twice KEPT_BYTES. An unwritable disk does not stop the job."""

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.cut = path, 0, 0
        self.file: io.BufferedWriter | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.file = path.open("wb")

    def add(self, line: bytes) -> None:
        """One line, without its end."""
        self.guarded(lambda file: file.write(line + b"\n"))
        self.size += len(line) + 1
        if self.size > 2 * KEPT_BYTES:
            self.guarded(self.shorten)

    def close(self) -> None:
        if self.size > KEPT_BYTES:
            self.guarded(self.shorten)
        self.guarded(lambda file: file.close())
        self.file = None

    def guarded(self, work: Callable[[io.BufferedWriter], object]) -> None:
        if self.file is None:
            return
        try:
            work(self.file)
        except OSError:
            self.file = None

    def shorten(self, file: io.BufferedWriter) -> None:
        """Keep the last KEPT_BYTES, from the beginning of a line, behind a line that says so."""
        file.flush()
        kept = self.path.read_bytes()[len(self.notice()) if self.cut else 0:]
        last = kept[-KEPT_BYTES:]
        last = last[last.find(b"\n") + 1:] if b"\n" in last[:-1] else last
        self.cut += len(kept) - len(last)
        file.seek(0)
        file.truncate()
        self.size = file.write(self.notice() + last)
        file.flush()

    def notice(self) -> bytes:
        return f"[{self.cut:,} bytes before this line are not kept]\n".encode() if self.cut else b""


def stored(rt: Runtime, run_id: int) -> list[bytes]:
    """The lines of a run that is over. NotFound: it printed nothing that is kept."""
    try:
        return path_of(rt, run_id).read_bytes().splitlines()
    except OSError:
        raise NotFound(f"the output of cron.{run_id} is not kept (any more)", "See: paas cron:history APP") from None
