"""The authorized_keys file of the SSH user, written whole from the database."""

import os
import pwd
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from paas.adapters.files import write_atomic
from paas.errors import StateError
from paas.secret import Secret
from paas.settings import Settings

# `restrict` turns everything off, also what sshd may learn to do later; `pty` is for `run -it`.
LINE = re.compile(r'restrict,pty,command="[^"]* key-([0-9]{1,11})(?: [^" ]+)?" ([a-z0-9@.-]+) ([A-Za-z0-9+/=]+)')
TYPE = re.compile(r"[a-z0-9@.-]+")
BLOB = re.compile(r"[A-Za-z0-9+/=]+")


class AuthorizedKeysFile:
    """:class:`paas.ports.AuthorizedKeys` at ``settings.authorized_keys``: root's, readable by the SSH user's group,
    as sshd's StrictModes wants it. Only (id, type, blob) is ever written."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._entry = str(settings.lib_dir / "hooks" / "ssh-entry")
        # Only an installation elsewhere (a test's) must say where its socket is.
        self._socket = "" if settings.socket == Settings().socket else f" {settings.socket}"
        if re.search(r"[^A-Za-z0-9/._ -]", self._entry + self._socket) or " " in self._entry:
            raise StateError("the program's or the socket's directory has characters that authorized_keys cannot hold",
                             "Use a path of letters, digits, '/', '.', '_' and '-'.")

    def write(self, keys: Sequence[tuple[int, str, str]]) -> None:
        path = self._settings.authorized_keys
        gid = self._group()
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if gid is not None:
            os.chown(path.parent, 0, gid)
        owner = None if gid is None else (0, gid)
        self._keep_aside()
        write_atomic(path, self._content(keys), self._mode(gid), owner)

    def read(self) -> list[tuple[int, str, str]]:
        try:
            text = Path(self._settings.authorized_keys).read_text("utf-8", "replace")
        except FileNotFoundError:
            return []
        found = (LINE.fullmatch(line) for line in text.split("\n"))
        return [(int(match[1]), match[2], match[3]) for match in found if match]

    def foreign(self) -> list[str]:
        """Also a line of ours that somebody changed. Lines that do nothing (empty, comments) are not told."""
        lines = (line.strip("\r") for line in self._lines(self._settings.authorized_keys))
        says = (line for line in lines if line.strip() and not line.lstrip().startswith("#"))
        return [line for line in says if not self._is_ours(line)]

    def kept(self) -> list[str]:
        return [line for line in self._lines(self._aside) if line]

    @property
    def _aside(self) -> Path:
        return self._settings.authorized_keys.with_name("authorized_keys.foreign")

    def _keep_aside(self) -> None:
        """Before the file is replaced: somebody may have needed that line, or must know who put it there."""
        kept = self.kept()
        more = [line for line in dict.fromkeys(self.foreign()) if line not in kept]
        if more:
            text = "".join(f"{line}\n" for line in [*kept, *more])
            write_atomic(self._aside, text.encode("utf-8", "surrogateescape"))

    def _is_ours(self, line: str) -> bool:
        match = LINE.fullmatch(line)
        if not match:
            return False
        ours = self._line(int(match[1]), match[2], match[3])
        return f"{line}\n" in (ours, ours.replace('="exec ', '="', 1))       # as it was written before: harmless

    @staticmethod
    def _lines(path: Path) -> list[str]:
        try:
            return path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
        except FileNotFoundError:
            return []

    def generate(self, comment: str) -> tuple[Secret, str]:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

        made = Ed25519PrivateKey.generate()
        private = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return Secret(private), f"{public} {comment}"

    def host_lines(self, host: str, port: int) -> list[str]:
        name = host if port == 22 else f"[{host}]:{port}"
        found = []
        for path in sorted(Path(self._settings.host_keys).glob("ssh_host_*_key.pub")):
            words = path.read_text("ascii", "replace").split()
            if len(words) >= 2 and words[0].startswith(("ssh-", "ecdsa-")) and BLOB.fullmatch(words[1]):
                found.append(f"{name} {words[0]} {words[1]}")
        return found

    def current(self, keys: Sequence[tuple[int, str, str]]) -> bool:
        """Byte for byte: a line that paas did not write may be a way past the forced command."""
        path, gid = self._settings.authorized_keys, self._group()
        try:
            status = path.stat()
            same = path.read_bytes() == self._content(keys)
        except FileNotFoundError:
            return not keys
        owned = gid is None or (status.st_uid, status.st_gid) == (0, gid)
        return same and owned and stat.S_IMODE(status.st_mode) == self._mode(gid)

    def _content(self, keys: Sequence[tuple[int, str, str]]) -> bytes:
        return "".join(self._line(*key) for key in sorted(keys)).encode("ascii")

    @staticmethod
    def _mode(gid: int | None) -> int:
        return 0o600 if gid is None else 0o640

    def _line(self, key_id: int, kind: str, blob: str) -> str:
        if not TYPE.fullmatch(kind) or not BLOB.fullmatch(blob):
            raise ValueError("not a type and a blob")    # a bug: ops checks what a user gives
        # exec: a shell that waited would die of the terminal's ^C, and the exit code with it.
        return f'restrict,pty,command="exec {self._entry} key-{int(key_id)}{self._socket}" {kind} {blob}\n'

    def _group(self) -> int | None:
        """Group of the SSH user; None where we are not root or there is no such user (unit tests)."""
        try:
            gid = pwd.getpwnam(self._settings.ssh_user).pw_gid
        except KeyError:
            return None
        return gid if os.geteuid() == 0 else None
