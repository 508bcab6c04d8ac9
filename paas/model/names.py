"""The grammars of everything a user names. Positive patterns only: what does not match is refused."""

import re

from paas.errors import BadInput

APP = re.compile(r"[a-z](?:-?[a-z0-9]){0,29}")
REMOTE = re.compile(r"(?:ssh://)?[a-z_][a-z0-9_-]*@[A-Za-z0-9.\[\]:-]+?(?::\d+/|[:/])([a-z][a-z0-9-]*)(?:\.git)?")
PROCESS_TYPE = re.compile(r"[a-z][a-z0-9-]{0,29}")
CONFIG_KEY = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}")
KEY_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
DOMAIN_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

# Names that mean something to Docker, to sshd or to people.
RESERVED_APPS = frozenset({"host", "none", "bridge", "default", "admin", "paas", "localhost", "con", "global"})
# Set by the platform in every container; a user's value would be a lie.
RESERVED_CONFIG_PREFIX = "PAAS_"

MAX_CONFIG_BYTES = 64 * 1024
MAX_CONFIG_KEYS = 1000


def app_name(text: str) -> str:
    """Return *text* if it may name an app: ``[a-z]``, then up to 29 of ``[a-z0-9-]``, no double or last dash."""
    if not APP.fullmatch(text) or len(text) > 30 or text in RESERVED_APPS:
        raise BadInput(
            f"'{printable(text)}' cannot name an app",
            "Use up to 30 lower-case letters, digits and single dashes, beginning with a letter.",
        )
    return text


def app_of(text: str) -> str:
    """The app that *text* names: its name, or a git remote's URL (``paas@host:hello``, ``ssh://paas@host:22/hello``)."""
    match = REMOTE.fullmatch(text)
    return match[1] if match else text


def config_key(text: str) -> str:
    if not CONFIG_KEY.fullmatch(text):
        raise BadInput(
            f"'{printable(text)}' cannot name a config var",
            "Use capital letters, digits and underscores, not beginning with a digit.",
        )
    if text.startswith(RESERVED_CONFIG_PREFIX):
        raise BadInput(f"'{text}' is set by the platform",
                       f"Choose a name without the prefix {RESERVED_CONFIG_PREFIX}.")
    return text


def config_value(text: str) -> str:
    """Any text up to 64 KB without NUL and lone surrogates (JSON can write those); kept byte for byte."""
    if "\0" in text:
        raise BadInput("a config var cannot hold a NUL byte", "Encode the value, for example as base64.")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput("a config var holds UTF-8 text", "Keep other bytes as base64 text.") from None
    if size > MAX_CONFIG_BYTES:
        raise BadInput("a config var holds at most 64 KB", "Put large data in a file or a storage mount.")
    return text


def process_type(text: str) -> str:
    if not PROCESS_TYPE.fullmatch(text):
        raise BadInput(
            f"'{printable(text)}' cannot name a process type",
            "Use up to 30 lower-case letters, digits and dashes, beginning with a letter.",
        )
    return text


def branch(text: str) -> str:
    """A branch that may be the deploy branch (narrower than git's own rule)."""
    bad = ".." in text or "//" in text or text.endswith(("/", ".", ".lock")) or "/." in text
    if not BRANCH.fullmatch(text) or bad:
        raise BadInput(f"'{printable(text)}' cannot be a deploy branch", "Use letters, digits, '.', '_', '/' and '-'.")
    return text


def key_name(text: str) -> str:
    if not KEY_NAME.fullmatch(text):
        raise BadInput(
            f"'{printable(text)}' cannot name an SSH key",
            "Use lower-case letters, digits, '.', '_', '@' and '-'.",
        )
    return text


def domain(text: str) -> str:
    """Return the canonical host name (lower case, no last dot).

    Host-name grammar of RFC 1123, at most 253 characters; a wildcard is allowed as the whole first label
    (``*.example.com``). Addresses, ports, schemes and names of a single label are refused; ``localhost`` is one too,
    ``hello.localhost`` (RFC 6761) is not.
    """
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    plain = labels[1:] if labels[0] == "*" else labels
    fits = len(name) <= 253 and len(plain) >= 2 and all(DOMAIN_LABEL.fullmatch(label) for label in plain)
    if not fits or plain[-1].isdigit() or (labels[0] == "*" and len(plain) < 2):
        raise BadInput(
            f"'{printable(text)}' is not a host name",
            "Give a name like www.example.com (or *.example.com), without scheme, port or path.",
        )
    return name


def printable(text: str, limit: int = 80) -> str:
    """*text* with control and formatting characters escaped, cut to *limit*: safe on a terminal and in a log."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    shown = shown.encode("utf-8", "replace").decode()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
