"""One difference between what the database wants and what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Repair:
    """One difference and how it is mended. ``error``: why the mending failed; empty: done (or only planned)."""

    kind: str                            # "instance-stopped", "route-wrong", …: documented in docs/reconcile.md
    object: str                          # "hello web.1"
    found: str
    fix: str
    act: Callable[[], object] = field(compare=False, repr=False, default=lambda: None)
    error: str = ""
