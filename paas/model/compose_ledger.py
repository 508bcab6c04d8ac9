"""An account of every value of a compose file: used, or left out for a reason. Nothing is dropped silently."""

from __future__ import annotations

import re
from collections.abc import Iterator

from paas.errors import BadInput
from paas.model.names import printable

Path = tuple[str | int, ...]
Value = None | bool | str | list["Value"] | dict[str, "Value"]

UNKNOWN = "paas does not know this key"
ODD = "not of a form that paas reads"

# A variable without a value, inside interpolated text: between two characters of the private use area.
OPEN, CLOSE = "\ue000", "\ue001"
MISSING = re.compile(f"{OPEN}([A-Za-z0-9_]+){CLOSE}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_NESTING = 10                         # of defaults in defaults
EMPTY = (None, {}, [])


class Ledger:
    def __init__(self, tree: dict[str, Value]) -> None:
        self.tree = tree
        self.used: set[Path] = set()
        self.left: dict[Path, str] = {}

    def use(self, path: Path) -> None:
        """One value, exactly: what stands below *path* is not accounted for by this."""
        self.used.add(path)

    def leave(self, path: Path, why: str) -> None:
        """*path* and all below it is not carried over. The first reason stays."""
        self.left.setdefault(path, why)

    def text(self, path: Path, value: Value) -> str | None:
        """*value* as text, used; None: it is not text, or needs a variable that has no value, and is left out."""
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str):
            self.leave(path, ODD)
            return None
        if MISSING.search(value):
            self.leave(path, f"needs {variables(value)}, which has no value in this file")
            return None
        self.use(path)
        return value

    def close(self) -> None:
        """Leave out whatever nobody looked at."""
        seen = {path[:end] for path in (*self.used, *self.left) for end in range(len(path) + 1)}
        self._close((), self.tree, seen)

    def _close(self, path: Path, value: Value, seen: set[Path]) -> None:
        if path in self.left:
            return
        if path not in seen:
            self.leave(path, UNKNOWN)
        elif path not in self.used:
            for key, below in children(value):
                self._close((*path, key), below, seen)


def children(value: Value) -> Iterator[tuple[str | int, Value]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def leaves(value: Value, path: Path = ()) -> Iterator[Path]:
    """The path of every scalar, empty mapping and empty list."""
    below = list(children(value))
    if not below:
        yield path
    for key, one in below:
        yield from leaves(one, (*path, key))


def shown(path: Path) -> str:
    """``services web volumes 0`` → ``web.volumes[0]``."""
    rest = path[1:] if len(path) > 1 and path[0] == "services" else path
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return printable(text.removeprefix("."), 200)


def slug(text: str) -> str:
    """``My_App`` → ``my-app``: for names of apps and process types."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def variables(text: str) -> str:
    """``${A} and ${B}``: those of *text* that have no value."""
    return " and ".join(f"${{{name}}}" for name in dict.fromkeys(MISSING.findall(text)))


# Interpolation: https://docs.docker.com/reference/compose-file/interpolation/


def interpolated(value: Value, path: Path = ()) -> Value:
    """*value* with defaults in place of its variables; those without stand between OPEN and CLOSE. BadInput."""
    if isinstance(value, str):
        if OPEN in value or CLOSE in value:
            raise BadInput(f"{shown(path)} holds characters for private use", "Leave U+E000 and U+E001 out.")
        try:
            return _text(value, 0)
        except ValueError:
            raise BadInput(f"{shown(path)} has a '$' that begins no variable", "Write $$ for a plain '$'.") from None
    if isinstance(value, dict):
        return {key: interpolated(one, (*path, key)) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, (*path, place)) for place, one in enumerate(value)]
    return value


def _text(text: str, nesting: int) -> str:
    made, place = [], 0
    while (dollar := text.find("$", place)) >= 0:
        made.append(text[place:dollar])
        piece, place = _variable(text, dollar + 1, nesting)
        made.append(piece)
    return "".join(made) + text[place:]


def _variable(text: str, place: int, nesting: int) -> tuple[str, int]:
    """What stands for the variable behind the ``$`` before *place*, and where the text goes on. ValueError."""
    if text.startswith("$", place):
        return "$", place + 1
    if text.startswith("{", place):
        end = _closing(text, place)
        return _substitute(text[place + 1:end], nesting), end + 1
    match = VARIABLE.match(text, place)
    if not match:
        raise ValueError("no variable")
    return _missing(match[0]), match.end()


def _closing(text: str, start: int) -> int:
    depth = 0
    for match in re.finditer(r"[{}]", text[start:]):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return start + match.start()
    raise ValueError("not closed")


def _substitute(body: str, nesting: int) -> str:
    """``NAME``, ``NAME:-default``, ``NAME-default``, ``NAME:?error``, ``NAME:+other``, with no variable set."""
    match = VARIABLE.match(body)
    if not match or nesting > MAX_NESTING:
        raise ValueError("no variable")
    rest = body[match.end():].removeprefix(":")
    if body[match.end():] and rest[:1] not in ("-", "?", "+"):
        raise ValueError("no operator")
    return _text(rest[1:], nesting + 1) if rest.startswith("-") else _missing(match[0])


def _missing(name: str) -> str:
    return f"{OPEN}{name}{CLOSE}"
