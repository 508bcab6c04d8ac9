"""app.json's `healthchecks`: what an instance of each process type must prove, with the keys that Dokku uses.

Dokku: dokku.com/docs/deployment/zero-downtime-deploys and its docker-container-healthchecker (docs/file-format.md).
Heroku's schema has no health checks. What differs from Dokku stands in docs/checks.md.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from paas.errors import BadInput, PushRefused
from paas.model import app_settings, names
from paas.model.names import printable
from paas.model.procfile import shell_command
from paas.model.release import Check, CheckKind

MAX_ENTRIES = 20                         # of one process type
MAX_HEADERS = 20
MAX_HEADER = 4096                        # characters of a value
MAX_NAME = 100
MAX_CONTENT = 4096
MAX_COMMAND = 4096
MAX_SECONDS = 3600                       # that a check may take in all

TYPES = ("startup", "readiness", "liveness")
EVERY = frozenset({"type", "name", "description", "attempts", "timeout", "wait", "initialDelay", "warn",
                   "onFailure"})
REQUEST = frozenset({"path", "port", "scheme", "content", "httpHeaders", "status", "host"})
KEYS = {                                 # kind → the keys of an entry that do something there
    CheckKind.HTTP: EVERY | REQUEST,
    CheckKind.LISTEN: EVERY | REQUEST,
    CheckKind.PORT: EVERY | {"listening", "port"},
    CheckKind.UPTIME: EVERY | {"uptime"},
    CheckKind.COMMAND: EVERY | {"command"},
}
KNOWN = frozenset().union(*KEYS.values())
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")           # token, RFC 9110 section 5.6.2
HEADER_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")      # field-value of ASCII, section 5.5
# They frame a message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6): the platform's to say.
CONNECTION_FIELDS = frozenset({"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te",
                               "trailer", "transfer-encoding", "upgrade"})
HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


def read_checks(data: Mapping[str, object], ignored: list[str]) -> dict[str, Check]:
    """Process type → its first check, with the others in `also`. What is not run or not read goes to *ignored*.

    Raises PushRefused for what has another shape.
    """
    found = {}
    for process_type, entries in data.items():
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise PushRefused(f"app.json: healthchecks of '{process_type}' must be a list of objects")
        if len(entries) > MAX_ENTRIES:
            raise PushRefused(f"app.json: '{process_type}' has {len(entries)} health checks, more than {MAX_ENTRIES}")
        named = [(f"healthchecks.{process_type}[{index}]", entry) for index, entry in enumerate(entries)]
        checks = [read_check(process_type, where, entry, ignored) for where, entry in named
                  if at_start(where, entry, ignored)]
        if checks:
            found[process_type] = together(checks)
    return found


def together(checks: Sequence[Check]) -> Check:
    first, *others = (replace(one, also=()) for one in checks)
    return replace(first, also=tuple(others))


def at_start(where: str, entry: Mapping[str, object], ignored: list[str]) -> bool:
    """Dokku's own scheduler, too, runs those of type startup only, which is the default."""
    kind = entry.get("type", "")
    kind = "startup" if kind == "" else kind
    if kind not in TYPES:
        raise refused(where, f"'type' must be one of {', '.join(TYPES)}")
    if kind != "startup":
        ignored.append(f"{where} (type {kind})")
    return kind == "startup"


def read_check(process_type: str, where: str, entry: Mapping[str, object], ignored: list[str]) -> Check:
    kind = kind_of(process_type, where, entry)
    ignored += [f"{where}.{printable(key)}" for key, value in entry.items()
                if key not in KEYS[kind] and (value or key not in KNOWN)]
    attempt, wait = number(where, entry, "timeout", 5) or 5.0, number(where, entry, "wait", 5) or 5.0
    delay = number(where, entry, "initialDelay", 0)
    read = Check(
        kind=kind, path=word(where, entry, "path", app_settings.url_path) or "/",
        status=word(where, entry, "status", app_settings.statuses), host=word(where, entry, "host", names.domain),
        timeout=whole_time(where, entry, delay, attempt + wait), attempt_timeout=max(attempt, 0.1),
        uptime=number(where, entry, "uptime", 0 if "uptime" in entry else 2),
        name=text(where, entry, "name", MAX_NAME), port=port(where, entry), headers=headers(where, entry, ignored),
        https=scheme(where, entry) == "https",
        content=text(where, entry, "content", MAX_CONTENT, lines=True), command=command(where, entry), delay=delay,
        wait=wait, warn=flag(where, entry, "warn"), on_failure=on_failure(where, entry, ignored))
    return only_its_own(read, entry)


def only_its_own(check: Check, entry: Mapping[str, object]) -> Check:
    """What *entry* says and this kind of check does not use stays out, so that a report shows what is done."""
    plain, keys = Check(), KEYS[check.kind]
    unused = {"httpHeaders": "headers", "content": "content", "status": "status", "host": "host", "port": "port",
              "scheme": "https"}
    return replace(check, **{name: getattr(plain, name) for key, name in unused.items()
                             if key in entry and key not in keys})


def kind_of(process_type: str, where: str, entry: Mapping[str, object]) -> CheckKind:
    """By the one key that says what is done; none of them: the default of the process type.

    Two of them are refused, as by Dokku.
    """
    flag(where, entry, "listening")
    kinds = {"command": CheckKind.COMMAND, "path": CheckKind.HTTP, "listening": CheckKind.PORT,
             "uptime": CheckKind.UPTIME}
    named = [key for key in kinds if entry.get(key)]
    if len(named) > 1:
        raise refused(where, f"'{named[0]}' and '{named[1]}' are two checks", "Make them two entries of the list.")
    if named:
        return kinds[named[0]]
    return CheckKind.UPTIME if "uptime" in entry or process_type != "web" else CheckKind.LISTEN


def whole_time(where: str, entry: Mapping[str, object], delay: float, each: float) -> float:
    """Dokku's initialDelay + attempts × (timeout + wait) is the time it gives an app; here it bounds the polling."""
    attempts = number(where, entry, "attempts", 3) or 3.0
    total = delay + attempts * each
    if not attempts.is_integer():
        raise refused(where, "'attempts' must be a whole number")
    if total > MAX_SECONDS:
        raise refused(where, f"initialDelay + attempts × (timeout + wait) is {total:g} s; {MAX_SECONDS} s are possible")
    return max(total, 1.0)


# One value


def refused(where: str, what: str, hint: str = "") -> PushRefused:
    return PushRefused(f"app.json: {where}: {what}", hint)


def number(where: str, entry: Mapping[str, object], key: str, default: float) -> float:
    value = entry.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
        raise refused(where, f"'{key}' must be a number from 0 to {MAX_SECONDS}")
    return float(value)


def flag(where: str, entry: Mapping[str, object], key: str) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        raise refused(where, f"'{key}' must be true or false")
    return value


def text(where: str, entry: Mapping[str, object], key: str, most: int, *, lines: bool = False) -> str:
    """Printable, or with *lines* any text that UTF-8 can hold."""
    value = entry.get(key, "")
    if not isinstance(value, str) or len(value) > most or not (encodable(value) if lines else value.isprintable()):
        raise refused(where, f"'{key}' must be {'' if lines else 'printable '}text of at most {most} characters")
    return value


def encodable(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def word(where: str, entry: Mapping[str, object], key: str, grammar: Callable[[str], str]) -> str:
    value = entry.get(key, "")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)               # "status": 200
    if not isinstance(value, str):
        raise refused(where, f"'{key}' must be text")
    try:
        return value and grammar(value)
    except BadInput as error:
        raise refused(where, f"'{key}': {error.what}", error.hint) from None


def port(where: str, entry: Mapping[str, object]) -> int:
    value = entry.get("port", 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65535:
        raise refused(where, "'port' must be a whole number from 1 to 65535")
    return value


def scheme(where: str, entry: Mapping[str, object]) -> str:
    value = entry.get("scheme", "")
    if not isinstance(value, str) or value.lower() not in ("", "http", "https"):
        raise refused(where, "'scheme' must be http or https")
    return value.lower()


def command(where: str, entry: Mapping[str, object]) -> tuple[str, ...]:
    """A list is run as it is; a text by the container's shell, like a line of a Procfile."""
    value = entry.get("command", [])
    words = [value] if isinstance(value, str) and value else [] if value == "" else value
    if not isinstance(words, list) or not all(isinstance(one, str) and one for one in words) \
            or sum(map(len, words)) > MAX_COMMAND or any("\0" in one or not encodable(one) for one in words):
        raise refused(where, f"'command' must be a list of words, or a text, of at most {MAX_COMMAND} characters")
    if words and not words[0].strip():
        raise refused(where, "'command' names no program")
    return shell_command(value.strip()) if words and isinstance(value, str) else tuple(words)


def on_failure(where: str, entry: Mapping[str, object], ignored: list[str]) -> tuple[str, ...]:
    """The command. A `url` is not posted to: what a push names, also a name inside this server's networks, would be
    asked by the daemon, from where it stands (server-side request forgery, CWE-918)."""
    value, inner = entry.get("onFailure"), f"{where}.onFailure"
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise refused(where, "'onFailure' must be an object with 'command'")
    if value.get("url"):
        ignored.append(f"{inner}.url (the server sends no request to an address from a push)")
    ignored += [f"{inner}.{printable(key)}" for key in value if key not in ("command", "url")]
    return command(inner, value)


def headers(where: str, entry: Mapping[str, object], ignored: list[str]) -> tuple[tuple[str, str], ...]:
    value = entry.get("httpHeaders", [])
    if not isinstance(value, list) or len(value) > MAX_HEADERS or not all(isinstance(one, dict) for one in value):
        raise refused(where, f"'httpHeaders' must be a list of at most {MAX_HEADERS} objects with 'name' and 'value'")
    found = tuple(header(where, one) for one in value)
    lower = [name.lower() for name, _ in found]
    if len(set(lower)) != len(lower):
        raise refused(where, "'httpHeaders' names one header twice")
    ignored += [f"{where}.httpHeaders[{i}].{printable(key)}" for i, one in enumerate(value)
                for key in one if key not in ("name", "value")]
    return found


def header(where: str, entry: Mapping[str, object]) -> tuple[str, str]:
    """Strict: what RFC 9110 has for a field's name and value, in ASCII. A line end would begin another header."""
    name, value = entry.get("name"), entry.get("value", "")
    if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
        raise refused(where, f"'{printable(str(name))}' is not the name of a header")
    if name.lower() in CONNECTION_FIELDS:
        raise refused(where, f"the header {name} is the platform's own")
    if not isinstance(value, str) or len(value) > MAX_HEADER or not HEADER_VALUE.fullmatch(value):
        raise refused(where, f"the value of the header {name} must be printable ASCII text of at most {MAX_HEADER} "
                      "characters, without blanks at its ends")
    if name.lower() == "host" and not HOST.fullmatch(value):
        raise refused(where, f"'{printable(value)}' is not a host")
    return name, value


# Settings


def with_settings(base: Check, own: Mapping[str, str], *, web: bool) -> Check:
    """*base* and those beside it with what `checks:set` says (key → value) over them.

    A path goes over the first check that asks for one; where none does, it is one more check. Every other setting goes
    over each check that has such a value.
    """
    checks = [replace(one, also=()) for one in base.all]
    if web and "path" in own:
        checks = asking(checks, own["path"])
    return together([over(one, own) for one in checks])


def asking(checks: Sequence[Check], path: str) -> list[Check]:
    for index, one in enumerate(checks):
        if one.kind in (CheckKind.HTTP, CheckKind.LISTEN):
            return [*checks[:index], replace(one, kind=CheckKind.HTTP, path=path), *checks[index + 1:]]
    return [Check(kind=CheckKind.HTTP, path=path), *checks]


def over(check: Check, own: Mapping[str, str]) -> Check:
    names_of = {"timeout": "timeout", "attempt-timeout": "attempt_timeout", "uptime": "uptime"}
    changes: dict[str, object] = {name: float(own[key]) for key, name in names_of.items() if key in own}
    changes.update({key: own[key] for key in ("status", "host") if key in own})
    if "host" in own:
        changes["headers"] = tuple(one for one in check.headers if one[0].lower() != "host")
    return replace(check, **changes)


def label(check: Check) -> str:
    """Its name, or what it does."""
    if check.name:
        return check.name
    where = f" on port {check.port}" if check.port else ""
    words = {CheckKind.HTTP: f"{request(check)}{where}", CheckKind.LISTEN: f"{request(check)}{where}",
             CheckKind.PORT: f"listening{where}", CheckKind.UPTIME: f"up for {check.uptime:g} s",
             CheckKind.COMMAND: printable(" ".join(check.command), MAX_NAME)}
    return words[check.kind]


def request(check: Check) -> str:
    """What a check of kind HTTP or LISTEN asks."""
    return f"GET {check.path}{' over HTTPS' if check.https else ''}"
