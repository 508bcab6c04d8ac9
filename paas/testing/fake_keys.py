"""A fake of :class:`paas.ports.AuthorizedKeys`."""

import secrets
from collections.abc import Sequence

from paas.secret import Secret


class FakeAuthorizedKeys:
    def __init__(self) -> None:
        self.keys: list[tuple[int, str, str]] = []
        self.writes = 0
        self.strangers: list[str] = []       # lines that somebody put into the file
        self._kept: list[str] = []

    def write(self, keys: Sequence[tuple[int, str, str]]) -> None:
        self.keys = sorted(keys)
        self._kept += [line for line in self.strangers if line not in self._kept]
        self.strangers = []
        self.writes += 1

    def read(self) -> list[tuple[int, str, str]]:
        return list(self.keys)

    def foreign(self) -> list[str]:
        return list(self.strangers)

    def kept(self) -> list[str]:
        return list(self._kept)

    def generate(self, comment: str) -> tuple[Secret, str]:
        made = f"AAAAC3NzaC1lZDI1NTE5AAAAI{secrets.token_hex(21)}A"
        return Secret(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{made}\n"), f"ssh-ed25519 {made} {comment}"

    def host_lines(self, host: str, port: int) -> list[str]:
        return [f"{host if port == 22 else f'[{host}]:{port}'} ssh-ed25519 AAAA"]

    def current(self, keys: Sequence[tuple[int, str, str]]) -> bool:
        return self.keys == sorted(keys) and not self.strangers
