"""S3 stores before and behind a proxy that errs, for the tests of stores of objects."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from paas.adapters.objects_s3 import S3Objects
from paas.adapters.objects_s3_client import Patience
from paas.errors import PaasError
from paas.model.backup import Target
from paas.testing.contract_objects import LARGE, noise
from tests.fixtures.s3 import BUCKET, Server
from tests.fixtures.s3_proxy import Proxy, proxied

QUICK = Patience(connect=5, read=2.5, progress=20, attempts=4, pause=0.01)
DATA = noise(LARGE, 7)
ANY = 99


class Rig:
    """`store` leads through the proxy, `straight` does not; both see one prefix."""

    def __init__(self, proxy: Proxy, target: Target, straight: Target) -> None:
        prefix = secrets.token_hex(4)
        self.proxy = proxy
        self.target = replace(target, url=f"s3://{BUCKET}/{prefix}")
        self.store = S3Objects(self.target, BUCKET, f"{prefix}/", QUICK)
        self.straight = S3Objects(straight, BUCKET, f"{prefix}/", QUICK)

    def with_patience(self, **words: float) -> S3Objects:
        return S3Objects(self.target, BUCKET, self.store.prefix, replace(QUICK, **words))


def rig_over(server: Server) -> Iterator[Rig]:
    with proxied(server.target) as (proxy, target):
        yield Rig(proxy, target, server.target)


def said(act: Callable[[], object]) -> str:
    """What it says when it fails, which it must."""
    with pytest.raises(PaasError) as caught:
        act()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.what
