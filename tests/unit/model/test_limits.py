import pytest

from paas.errors import BadInput
from paas.model import limits


@pytest.mark.parametrize(
    ("text", "amount"),
    [("512m", 512 * 2**20), ("1g", 2**30), ("1.5GB", 3 * 2**29), ("64MiB", 2**26), ("300000000", 300000000)],
)
def test_memory(text, amount):
    assert limits.memory_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "1", "5m", "-1g", "1t", "1e9", "a", "1 2"])
def test_memory_refused(text):
    with pytest.raises(BadInput):
        limits.memory_bytes(text)


def test_cpus_and_pids():
    assert limits.cpus("0.5") == 0.5
    assert limits.pids("100") == 100
    for bad in ("0", "-1", "x", "1e3"):
        with pytest.raises(BadInput):
            limits.cpus(bad)
        with pytest.raises(BadInput):
            limits.pids(bad)
