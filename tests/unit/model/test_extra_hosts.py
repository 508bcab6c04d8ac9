"""What `network:set APP extra-hosts` takes."""

import pytest

from paas.errors import BadInput
from paas.model import extra_hosts


@pytest.mark.parametrize(("given", "kept"), [
    ("db:10.0.0.5", "db:10.0.0.5"),
    ("db:10.0.0.5, API.example.com:192.0.2.7", "db:10.0.0.5,api.example.com:192.0.2.7"),
    ("six:2001:DB8:0::1", "six:2001:db8::1"),
    ("six:[2001:db8::1]", "six:2001:db8::1"),
    ("gate:host-gateway", "gate:host-gateway"),
    ("db:10.0.0.5,db:2001:db8::1", "db:10.0.0.5,db:2001:db8::1"),
])
def test_pairs(given, kept):
    assert extra_hosts.parse(given) == kept
    assert extra_hosts.parse(kept) == kept


@pytest.mark.parametrize("bad", [
    "db", "db:", ":10.0.0.5", "db:10.0.0", "db:10.0.0.256", "db:010.0.0.5", "db:other", "db:host-gateway2",
    "db:10.0.0.5,", "db 10.0.0.5", "a b:10.0.0.5", "-a:10.0.0.5", "a_b:10.0.0.5", "10.0.0.1:10.0.0.5",
    "ü:10.0.0.5", "a..b:10.0.0.5", "db:10.0.0.5\n", "db:10.0.0.5\tevil",
    "\u212a:10.0.0.5", "db:fe80::1%eth0", "db:[10.0.0.5]", "db:[::1", "db:1",
    "db:10.0.0.5,db:10.0.0.5", f"{'a' * 64}:10.0.0.5", f"{'a.' * 127}ab:10.0.0.5", "db:10.0.0.5;x", "db:10.0.0.0/8",
])
def test_anything_else_is_refused(bad):
    with pytest.raises(BadInput):
        extra_hosts.parse(bad)


def test_there_are_fifty_at_most():
    pairs = [f"h{number}:10.0.0.{number}" for number in range(extra_hosts.MAX_HOSTS + 1)]
    assert extra_hosts.listed(extra_hosts.parse(",".join(pairs[:-1]))) == tuple(pairs[:-1])
    with pytest.raises(BadInput, match="51"):
        extra_hosts.parse(",".join(pairs))


def test_none():
    assert extra_hosts.listed("") == ()
