"""Where each app points: a directory of small files that the proxy reads at every request.

All slots of one target are hard links to one file: one fsync makes a switch durable, whatever the number of slots.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from paas.adapters.caddy_layout import SLOTS, SOCKET_PAGES, Layout
from paas.adapters.files import sync_directory, write_atomic
from paas.errors import ProxyError
from paas.ports import Page

TARGET = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}")


class Targets:
    """The directories ``up/<app id>/<slot>``; raises ProxyError when they cannot be written."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def write(self, app_id: int, targets: Sequence[str] | Page) -> None:
        """Fill the slots round robin. More targets than slots: the surplus gets no requests."""
        wanted = self.contents(targets)
        try:
            directory = self.directory(app_id)
            changed = {slot: content for slot, content in enumerate(wanted) if self.read_slot(app_id, slot) != content}
            for content in dict.fromkeys(changed.values()):
                self.replace(directory, [slot for slot, own in changed.items() if own == content], content)
            if changed:
                sync_directory(directory)
        except OSError as error:
            raise ProxyError(f"the proxy's route could not be written: {error.strerror}",
                             "Look at the free space and the permissions: paas doctor.") from error

    def read(self, app_id: int) -> tuple[str, ...] | Page | None:
        contents = [self.read_slot(app_id, slot) for slot in range(SLOTS)]
        if None in contents:
            return None
        distinct = tuple(dict.fromkeys(contents))
        pages = {"": Page.PARK, **{self.layout.page_dial(page): page for page in SOCKET_PAGES}}
        if distinct[0] in pages:
            return pages[distinct[0]]
        return distinct

    def complete(self, app_id: int) -> bool:
        """Every slot has a file (cheaper than :meth:`read`: nothing is opened)."""
        try:
            present = set(os.listdir(self.layout.upstreams / str(int(app_id))))
        except FileNotFoundError:
            return False
        return all(str(slot) in present for slot in range(SLOTS))

    def remove(self, app_id: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.layout.upstreams / str(int(app_id)))
            sync_directory(self.layout.upstreams)

    def ids(self) -> list[int]:
        if not self.layout.upstreams.is_dir():
            return []
        return sorted(int(one.name) for one in self.layout.upstreams.iterdir() if one.name.isdigit())

    # Private

    def contents(self, targets: Sequence[str] | Page) -> list[str]:
        if isinstance(targets, Page):
            return ["" if targets == Page.PARK else self.layout.page_dial(targets)] * SLOTS
        bad = [target for target in targets if not TARGET.fullmatch(target)]
        if bad or not targets or isinstance(targets, str):
            raise ProxyError(f"not a target for the proxy: {bad[0]!r}" if bad else "no target for the proxy",
                             "This is a bug of the platform; please report it.")
        return [targets[slot % len(targets)] for slot in range(SLOTS)]

    def directory(self, app_id: int) -> Path:
        self.layout.ensure(self.layout.upstreams, 0o750, self.layout.owner)
        directory = self.layout.slot(app_id, 0).parent
        if not directory.is_dir():
            self.layout.ensure(directory, 0o750, self.layout.owner)
            sync_directory(directory.parent)
        return directory

    def read_slot(self, app_id: int, slot: int) -> str | None:
        try:
            return self.layout.slot(app_id, slot).read_text()
        except FileNotFoundError:
            return None

    def replace(self, directory: Path, slots: list[int], content: str) -> None:
        """Rename a link to one new file over each of *slots*; a reader sees the old or the new content."""
        source = directory / f".new-{secrets.token_hex(4)}"
        write_atomic(source, content.encode(), 0o640, self.layout.owner)
        try:
            for slot in slots[1:]:
                link = directory / f"{source.name}-{slot}"
                os.link(source, link)
                os.rename(link, directory / str(slot))
            os.rename(source, directory / str(slots[0]))
        except BaseException:
            for leftover in directory.glob(f"{source.name}*"):
                leftover.unlink(missing_ok=True)
            raise
