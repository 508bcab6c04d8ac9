"""Public ports of an app beside its site on 80 and 443, in Dokku's words: ``SCHEME:PUBLIC[:CONTAINER]``.

``http:8080:5000`` reads: who asks for http://<any domain of the app>:8080 gets to port 5000 of its web instances.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paas.errors import BadInput
from paas.model import names

SETTING = "ports.further"                # of an app: mappings with blanks between
LOWEST = 1024                            # below: the system's (RFC 6335, section 6)
HIGHEST = 65535
PER_APP = 8
PER_SERVER = 64
SITE = {"http": 80, "https": 443}        # always served, by every app
WORDS = re.compile(r"(https?):([1-9][0-9]{0,4})(?::([0-9]{1,5}))?")
EXAMPLE = "Give SCHEME:PUBLIC or SCHEME:PUBLIC:CONTAINER, like http:8080:5000."


@dataclass(frozen=True, order=True)
class PublicPort:
    number: int                          # of the server
    scheme: str                          # "http" or "https"
    container: int = 0                   # port in the web instances; 0: the one that their site is on

    def __str__(self) -> str:
        return f"{self.scheme}:{self.number}" + (f":{self.container}" if self.container else "")


def parse(text: str) -> PublicPort:
    """One mapping of a further port. BadInput: no mapping, or a number that cannot be one."""
    match = WORDS.fullmatch(text)
    if not match:
        raise BadInput(f"'{names.printable(text)}' is not a mapping of ports", EXAMPLE)
    number, container = int(match[2]), int(match[3] or 0)
    if not LOWEST <= number <= HIGHEST:
        raise BadInput(f"{number} cannot be a further public port", f"Give one from {LOWEST} to {HIGHEST}; the site "
                       "itself is on 80 and 443: paas ports:set APP PORT says which port in the container it is on.")
    if match[3] and not 1 <= container <= HIGHEST:
        raise BadInput(f"{container} is not a port in a container", f"Give one from 1 to {HIGHEST}.")
    return PublicPort(number, match[1], container)


def main_port(text: str) -> str:
    """The container's port where *text* is about the site: ``5000``, ``http:80:5000``, ``https:443:5000``; else ""."""
    match = WORDS.fullmatch(text)
    if match and match[3] and SITE[match[1]] == int(match[2]):
        return match[3]
    return "" if ":" in text else text


def of(settings: Mapping[str, str]) -> tuple[PublicPort, ...]:
    """The further ports that an app's settings hold."""
    return tuple(parse(one) for one in settings.get(SETTING, "").split())


def to_setting(ports: Sequence[PublicPort]) -> str | None:
    return " ".join(str(one) for one in sorted(ports)) or None


def meant(given: Sequence[str], there: Sequence[PublicPort]) -> list[PublicPort]:
    """Which of *there* the words of a removal name: each a public port, or a mapping as it is listed. BadInput."""
    found = []
    for text in given:
        named = [one for one in there if text in (str(one.number), str(one), f"{one.scheme}:{one.number}")]
        if not named:
            raise BadInput(f"'{names.printable(text)}' is none of the app's further ports",
                           f"It has: {', '.join(map(str, there)) or 'none'}.")
        found += named
    return found


def requests_at(serving: Mapping[str, int], target: str) -> int:
    """Of requests per ``ip:port``, those of the instance whose site is at *target*: on any port of its address."""
    address = target.rpartition(":")[0]
    return sum(count for one, count in serving.items() if one.rpartition(":")[0] == address)


def clash(ports: Sequence[PublicPort], schemes: dict[int, str]) -> str:
    """Why *ports* of one app do not go with those of others, public port → scheme, which they are added to; "" if they
    do: a public port speaks one scheme, and leads an app to one port in its containers."""
    numbers = [one.number for one in ports]
    for one in ports:
        if numbers.count(one.number) > 1:
            return f"the public port {one.number} is there twice"
        if schemes.get(one.number, one.scheme) != one.scheme:
            return f"the public port {one.number} is {schemes[one.number]} for another app"
    schemes |= {one.number: one.scheme for one in ports}
    return ""
