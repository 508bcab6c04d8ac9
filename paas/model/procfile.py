"""The Procfile: one process type a line, ``type: command`` (as Heroku and Dokku read it)."""

import re

from paas.errors import PushRefused
from paas.model.names import PROCESS_TYPE, printable

MAX_BYTES = 64 * 1024
MAX_TYPES = 50
LINE = re.compile(r"([^:\s][^:]*?)\s*:\s*(.+)")
# Words that only a shell understands: `exec` in front of these would change what the line means.
COMPOUND = re.compile(r"[;&|()<>`\n]|\$\(|^\s*(?:if|for|while|case|exec|cd|export|set|[A-Za-z_]\w*=)")


def parse(content: bytes) -> dict[str, str]:
    """Process type → command line. Comments (#) and blank lines are skipped, CRLF and a BOM accepted.

    Raises PushRefused for a line that is neither, a bad or repeated type, or an oversized file.
    """
    if len(content) > MAX_BYTES:
        raise PushRefused("the Procfile is larger than 64 KB", "Keep only 'type: command' lines in it.")
    found: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            add_line(found, number, line.strip())
    if len(found) > MAX_TYPES:
        raise PushRefused(f"the Procfile has {len(found)} process types; {MAX_TYPES} are allowed")
    return found


def add_line(found: dict[str, str], number: int, line: str) -> None:
    match = LINE.fullmatch(line)
    if not match or not PROCESS_TYPE.fullmatch(match[1]):
        raise PushRefused(f"Procfile line {number} is not 'type: command': {printable(line)}",
                          "A type has up to 30 lower-case letters, digits and dashes.")
    if match[1] in found:
        raise PushRefused(f"Procfile line {number} repeats the process type '{match[1]}'", "Keep one of them.")
    found[match[1]] = match[2]


def shell_command(line: str) -> tuple[str, ...]:
    """What runs *line*: the container's own shell, which steps aside so that the program gets the signals."""
    return ("/bin/sh", "-c", line if COMPOUND.search(line) else f"exec {line}")
