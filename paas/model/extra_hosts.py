"""Further names in a container's ``/etc/hosts``, as ``docker run --add-host`` takes them."""

import ipaddress

from paas.errors import BadInput
from paas.model import names

MAX_HOSTS = 50
GATEWAY = "host-gateway"                 # Docker's word for the server itself, as a container reaches it
EXAMPLE = "Give NAME:ADDRESS pairs, separated by commas, like db:10.0.0.5,api:192.0.2.7."


def parse(value: str) -> str:
    """The canonical text of ``NAME:ADDRESS,…``: lower-case names, plain addresses. BadInput.

    A name has the host-name grammar of RFC 1123 (a single label is fine); an address is IPv4, IPv6 (with or without
    brackets), or ``host-gateway``. A name may come again with another address.
    """
    pairs = [pair(one.strip(" ")) for one in value.split(",")]
    if len(pairs) > MAX_HOSTS:
        raise BadInput(f"there are {len(pairs)} extra hosts, which is more than {MAX_HOSTS}", "Use a DNS server.")
    for one in pairs:
        if pairs.count(one) > 1:
            raise BadInput(f"'{one}' is there twice", EXAMPLE)
    return ",".join(pairs)


def pair(text: str) -> str:
    name, colon, address = text.partition(":")
    if not colon:
        raise BadInput(f"'{names.printable(text)}' is not NAME:ADDRESS", EXAMPLE)
    return f"{host_name(name)}:{address if address == GATEWAY else ip_address(address)}"


def host_name(text: str) -> str:
    labels = text.lower().split(".")
    fits = len(text) <= 253 and all(names.DOMAIN_LABEL.fullmatch(label) for label in labels)
    if not fits or not text.isascii() or labels[-1].isdigit():
        raise BadInput(f"'{names.printable(text)}' is not a host name", EXAMPLE)
    return text.lower()


def ip_address(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        found = None
    if found is None or getattr(found, "scope_id", None):
        raise BadInput(f"'{names.printable(text)}' is neither an IP address nor {GATEWAY}", EXAMPLE)
    return str(found)


def listed(stored: str) -> tuple[str, ...]:
    """``NAME:ADDRESS`` words of a canonical text."""
    return tuple(stored.split(",")) if stored else ()
