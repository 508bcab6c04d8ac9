"""Config vars as text: what `config:export` writes and `config:import` reads. Every value survives the round trip.

Formats, named as Dokku names them: ``envfile`` (KEY="value", one per line, newlines as ``\\n``), ``exports``
(``export KEY='value'`` for a shell), ``shell`` (KEY='value' on one line, for an argument list), ``json``.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping

from paas.errors import BadInput
from paas.model.names import printable

START = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#]+)[ \t]*=[ \t]*")
SKIP = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
REST = re.compile(r"[ \t]*(?:[ \t]#[^\n]*)?(?:\r?\n|\Z)")
BARE = re.compile(r"[^\n]*")
PLAIN = re.compile(r"[^ \t\r\n'\"\\]+")      # other white space is text, here as in a shell
ESCAPES = {"n": "\n", "r": "\r"}


def quoted(value: str) -> str:
    """*value* between double quotes, on one line; nothing in it is special to a shell or to the reader below."""
    text = re.sub(r'([\\"$`])', r"\\\1", value)
    return '"' + text.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _json(config: Mapping[str, str]) -> str:
    return json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"


WRITERS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "envfile": lambda config: "".join(f"{key}={quoted(value)}\n" for key, value in config.items()),
    "exports": lambda config: "".join(f"export {key}={shlex.quote(value)}\n" for key, value in config.items()),
    "shell": lambda config: " ".join(f"{key}={shlex.quote(value)}" for key, value in config.items()) + "\n",
    "json": _json,
}


def read_json(text: str) -> dict[str, str]:
    """One object whose values are texts (numbers and booleans are refused: nobody could tell how they were written)."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this is not valid JSON: {printable(str(error))}") from None
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise BadInput("the JSON must be one object whose values are strings", 'Write it like {"KEY": "value"}.')
    return data


def read_envfile(text: str) -> dict[str, str]:
    """Lines ``KEY=value``; ``export`` before it, blank lines and ``#`` comments are fine; the last of a key wins.

    A value that begins with a quote is read as a shell would (adjacent pieces join; ``\\n`` and ``\\r`` inside double
    quotes are line ends; quotes may span lines). Any other value goes to the end of the line, without a `` #`` comment.
    """
    found: dict[str, str] = {}
    text = text.removeprefix("\ufeff")
    place = 0
    while place < len(text):
        skipped = SKIP.match(text, place)
        if skipped:
            place = skipped.end()
            continue
        match = START.match(text, place)
        if not match:
            raise _bad(text, place, "is not KEY=value")
        found[match[1]], place = _value(text, match.end())
    return found


READERS = {"envfile": read_envfile, "json": read_json}


def _value(text: str, place: int) -> tuple[str, int]:
    if text[place:place + 1] not in ("'", '"'):
        line = BARE.match(text, place)
        return re.split(r"(?:^|[ \t])#", line[0], maxsplit=1)[0].strip(), line.end() + 1
    parts: list[str] = []
    while text[place:place + 1] not in ("", " ", "\t", "\r", "\n"):
        part, place = _piece(text, place)
        parts.append(part)
    end = REST.match(text, place)
    if not end:
        raise _bad(text, place, "goes on after the closing quote")
    return "".join(parts), end.end()


def _piece(text: str, place: int) -> tuple[str, int]:
    """One quoted or plain piece of a value, and where the next begins."""
    mark = text[place]
    if mark == "'":
        end = text.find("'", place + 1)
        if end < 0:
            raise _bad(text, place, "has a quote that does not end")
        return text[place + 1:end], end + 1
    if mark == '"':
        return _double(text, place)
    if mark == "\\":
        return text[place + 1:place + 2], place + 2
    plain = PLAIN.match(text, place)
    return plain[0], plain.end()


def _double(text: str, start: int) -> tuple[str, int]:
    made: list[str] = []
    place = start + 1
    while place < len(text):
        character = text[place]
        if character == '"':
            return "".join(made), place + 1
        if character == "\\":
            place += 1
            following = text[place:place + 1]
            made.append(ESCAPES.get(following, following))
        else:
            made.append(character)
        place += 1
    raise _bad(text, start, "has a quote that does not end")


def _bad(text: str, place: int, why: str) -> BadInput:
    """Names the line's number only: what stands there may be a secret."""
    return BadInput(f"line {text.count(chr(10), 0, place) + 1} {why}", 'Write one KEY=value or KEY="value" per line.')
