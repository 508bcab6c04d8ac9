"""The one printer: lines, tables, JSON and errors, as text for a session."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from paas.errors import PaasError

COLOUR = re.compile(r"\x1b\[[0-9;]*m")   # SGR: dropped, so that coloured build output stays readable


def escape(text: str) -> str:
    """One line of foreign text, safe on a terminal: colours dropped, other control and formatting characters escaped;
    of a progress line (parts ended by CR) only the last part. Tabs become blanks."""
    text = COLOUR.sub("", text).expandtabs(8)
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part), "")
    if text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    return shown.encode("utf-8", "replace").decode()


def lines(text: str) -> list[str]:
    return [escape(line) for line in text.split("\n")] if text else [""]


def error_text(error: PaasError) -> str:
    """`` !     what`` and the hint below it."""
    return warning_text(error.what) + "".join(f"       {line}\n" for line in lines(error.hint) if line)


def warning_text(text: str) -> str:
    return "".join(f" !     {line}\n" for line in lines(text))


class SessionOutput:
    """A :class:`paas.ports.Output` that writes to a session. Stage lines go to stdout, warnings to stderr."""

    def __init__(self, session: Any, quiet: bool = False) -> None:
        self._session = session
        self._quiet = quiet

    def stage(self, text: str) -> None:
        self._story("-----> ", text)

    def heading(self, text: str) -> None:
        self._story("=====> ", text)

    def detail(self, text: str) -> None:
        self._story("       ", text)

    def warn(self, text: str) -> None:
        self._session.err(warning_text(text))

    def error(self, error: PaasError) -> None:
        self._session.err(error_text(error))

    def _story(self, mark: str, text: str) -> None:
        if not self._quiet:
            self._session.out("".join(f"{mark}{line}\n" for line in lines(text)))


def plain(value: Any) -> Any:
    """What JSON can hold: times as ISO 8601, enums by value, secrets redacted."""
    if value is None or isinstance(value, str | int | float | bool) and not isinstance(value, Enum):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def cell(value: Any) -> str:
    """The same for a person: times to the second, lists joined by blanks, nothing as ``-``."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        value = " ".join(str(plain(item)) for item in value)
    text = "" if value is None else str(plain(value))
    return escape(text.replace("\n", "\\n")) or "-"


def to_json(value: Any) -> str:
    """Indented, ASCII only: no control character reaches the terminal."""
    return json.dumps(plain(value), indent=2) + "\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], heading: bool = True) -> str:
    """Aligned columns, two blanks apart; *columns* are ``snake_case``, shown as ``SNAKE CASE``."""
    grid = [[column.replace("_", " ").upper() for column in columns]] if heading else []
    grid += [[cell(value) for value in row] for row in rows]
    if not grid:
        return ""
    widths = [max(len(row[i]) for row in grid) for i in range(len(columns))]
    return "".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n"
                   for row in grid)


def record(mapping: Mapping[str, Any]) -> str:
    """``name:  value`` lines, aligned."""
    width = max((len(name) for name in mapping), default=0) + 1
    return "".join(f"{name.replace('_', ' ') + ':':<{width}}  {cell(value)}\n" for name, value in mapping.items())
