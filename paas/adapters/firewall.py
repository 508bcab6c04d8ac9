"""What containers may reach beside each other and the internet: not this server's services, not a cloud's metadata.

Two chains of our own in the filter table, jumped to from ``INPUT`` and from ``DOCKER-USER``, which Docker leaves alone
(docs.docker.com, "Packet filtering and firewalls"). Apps' networks have IPv4 only. Run by a systemd unit after each
start of Docker, by install.sh where systemd does not run; ``paasd`` itself has no right to change the rules.
"""

import ipaddress
import re
import subprocess
from collections.abc import Iterator

from paas.errors import StateError
from paas.settings import Settings

PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"
LINK_LOCAL = "169.254.0.0/16"            # RFC 3927; clouds answer at 169.254.169.254, some with a resolver too
BUILDS = "docker0"                       # the steps of a build run in Docker's default bridge
DNS = "53"


def apply(settings: Settings) -> str:
    """Make the rules what the settings say. Idempotent; the chains change in one step (iptables-restore(8)).

    :raises StateError: iptables refuses, or Docker's chain is not there.
    """
    _run(["iptables-restore", "--wait", "--noflush"], rules(settings))
    for rule in jumps(settings):
        if not _holds(rule):
            _run(["iptables", "--wait", "--insert", *rule])
    return ""


def remove(settings: Settings) -> str:
    """Take all of it away; what is not there is no error."""
    for rule in jumps(settings):
        if _holds(rule):
            _run(["iptables", "--wait", "--delete", *rule])
    for chain in chains(settings):
        if _holds([chain], "--list-rules"):
            _run(["iptables", "--wait", "--flush", chain])
            _run(["iptables", "--wait", "--delete-chain", chain])
    return ""


def chains(settings: Settings) -> tuple[str, str]:
    """To this server; through it. Named by the prefix, of which a chain's name (28 characters) holds 20."""
    prefix = re.sub(r"[^A-Za-z0-9-]", "-", settings.prefix)[:20]
    return f"{prefix}-host", f"{prefix}-out"


def rules(settings: Settings) -> str:
    """Both chains whole, for ``iptables-restore --noflush``."""
    host, out = chains(settings)
    web = settings.https_port
    lines = [
        "*filter", f":{host} - [0:0]", f":{out} - [0:0]",
        f"-A {host} -i lo -j RETURN",                                # the server itself, by its own address
        f"-A {host} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        f"-A {host} -p icmp -j RETURN",
        f"-A {host} -p udp -m multiport --dports {DNS},{web} -j RETURN",
        *(f"-A {host} -p tcp --dport {port} -j RETURN" for port in open_ports(settings)),
        f"-A {host} -j REJECT",
        f"-A {out} ! -d {LINK_LOCAL} -j RETURN",
        f"-A {out} -p udp --dport {DNS} -j RETURN", f"-A {out} -p tcp --dport {DNS} -j RETURN",
        f"-A {out} -j REJECT",
        "COMMIT", ""]
    return "\n".join(lines)


def open_ports(settings: Settings) -> list[int]:
    """TCP ports of this server that stay open to containers: names, the proxy, and those of ``host-ports``."""
    words = [word for word in re.split(r"[ ,]+", settings.host_ports) if word]
    if not all(re.fullmatch(r"[0-9]{1,5}", word) and 0 < int(word) < 65536 for word in words):
        raise StateError("host-ports in paas.toml is no list of port numbers", 'Example: host-ports = "5432, 9000"')
    return sorted({int(DNS), settings.http_port, settings.https_port, *map(int, words)})


def jumps(settings: Settings) -> Iterator[list[str]]:
    """Rules that lead to the chains, without the command."""
    host, out = chains(settings)
    pool = str(ipaddress.ip_network(settings.network_pool))
    yield ["INPUT", "--source", pool, "--jump", host]
    yield ["DOCKER-USER", "--source", pool, "--jump", out]
    yield ["DOCKER-USER", "--in-interface", BUILDS, "--jump", out]


def _holds(rule: list[str], command: str = "--check") -> bool:
    return _done(["iptables", "--wait", command, *rule]).returncode == 0


def _run(argv: list[str], text: str = "") -> None:
    done = _done(argv, text)
    if done.returncode:
        raise StateError(f"{argv[0]} failed: {done.stderr.strip()[:200]}",
                         "Check that Docker runs with its iptables rules, then: systemctl restart paas-firewall")


def _done(argv: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False,
                              env={"PATH": PROGRAMS})
    except OSError as error:
        raise StateError(f"{argv[0]} cannot be started: {error.strerror}", "apt install iptables") from None
