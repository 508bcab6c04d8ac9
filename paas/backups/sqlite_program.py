"""Litestream in containers of our own: without network, as the owner of the file, with the app's mount and a spool.

A program of the platform's on the host would follow a symbolic link that an app puts in the place of its database,
with the rights of root. In the container there is nothing to be reached but what the app has itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from paas.errors import ServiceError
from paas.model.app import Mount
from paas.ports import BindMount, BuildRequest, Clock, Containers, ContainerSpec, Images

PROGRAM = "/litestream"
OWN = "/.paas-sqlite"                    # where the container sees the platform's directories
MEMORY = 512 * 1024 * 1024
LOOK_SECONDS = 0.2                       # between two looks whether a restore has ended
LOOK = "500ms"                           # pause between two looks at the write-ahead log: half of what may be lost
DOCKERFILE = b"FROM scratch\nCOPY litestream /litestream\nENTRYPOINT [\"/litestream\"]\n"


def config(path: str) -> str:
    """Litestream's configuration (litestream.io/reference/config), as JSON, which is YAML.

    Level 1 every 30 s, 2 every 5 min, 3 every hour, a snapshot a day; single transactions stay ten minutes here.
    """
    said = {
        "logging": {"level": "warn", "stderr": True},
        "levels": [{"interval": "30s"}, {"interval": "5m"}, {"interval": "1h"}],
        "snapshot": {"interval": "24h", "retention": "24h"},
        "l0-retention": "10m", "l0-retention-check-interval": "30s",
        "dbs": [{
            "path": path, "meta-path": f"{OWN}/spool/meta", "monitor-interval": LOOK,
            "replica": {"type": "file", "path": f"{OWN}/spool/replica", "sync-interval": "50ms"},
        }],
    }
    return json.dumps(said, indent=1) + "\n"


@lru_cache(maxsize=4)
def version_of(program: Path, size: int, changed: int) -> str:
    """12 hex digits of the program's SHA-256; *size* and *changed* only tell one file from its successor."""
    with program.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def ensure_image(images: Images, program: Path, prefix: str) -> str:
    """The digest of an image that holds nothing but *program*; built when it is missing. ServiceError: no program."""
    try:
        found = program.stat()
        version = version_of(program, found.st_size, found.st_mtime_ns)
    except OSError:
        raise ServiceError("the program litestream is missing on this server",
                           "Run the installer again: it brings it along.") from None
    labels = {"paas.kind": "litestream", "paas.version": version}
    for image in images.list(labels):
        return image.digest
    request = BuildRequest(f"{prefix}-litestream-{version}", labels, context(program))
    return images.build(request, lambda _: None, lambda: False).digest


def context(program: Path) -> Iterator[bytes]:
    """A GNU tar with the Dockerfile and the program."""
    entry = tarfile.TarInfo("Dockerfile")
    entry.size, entry.mode = len(DOCKERFILE), 0o644
    yield entry.tobuf(tarfile.GNU_FORMAT)
    yield DOCKERFILE + bytes(-len(DOCKERFILE) % tarfile.BLOCKSIZE)
    entry = tarfile.TarInfo("litestream")
    entry.size, entry.mode = program.stat().st_size, 0o755
    yield entry.tobuf(tarfile.GNU_FORMAT)
    with program.open("rb") as file:
        while piece := file.read(io.DEFAULT_BUFFER_SIZE * 16):
            yield piece
    yield bytes(-entry.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def stream_spec(name: str, image: str, labels: Mapping[str, str], mount: Mount, owner: str, epoch: Path,
                ) -> ContainerSpec:
    """The container that streams. The engine keeps it running, also while the daemon does not.

    :param epoch: directory with ``config/litestream.yml`` and ``spool/``, which belongs to *owner*.
    """
    return ContainerSpec(
        name=name, image=image, user=owner,
        labels={**labels, "paas.spec": spec_digest(image, mount, owner, epoch)},
        command=(PROGRAM, "replicate", "-config", f"{OWN}/config/litestream.yml", "-no-expand-env"),
        mounts=(BindMount(mount.source, mount.target), BindMount(str(epoch / "spool"), f"{OWN}/spool"),
                BindMount(str(epoch / "config"), f"{OWN}/config", read_only=True)),
        memory=MEMORY, pids=128, stop_timeout=20, restart="always", tmpfs=("/tmp",))


def spec_digest(image: str, mount: Mount, owner: str, epoch: Path) -> str:
    said = json.dumps([image, mount.source, mount.target, owner, str(epoch), config("")])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def restore_spec(name: str, image: str, labels: Mapping[str, str], mount: Mount, owner: str, scratch: Path,
                 target: str, force: bool) -> ContainerSpec:
    """Makes a database of the LTX files in *scratch*, beside or (with *force*) in the place of what is at *target*."""
    words = (PROGRAM, "restore", "-integrity-check", "full", *(("-force",) if force else ()), "-o", target,
             f"file://{OWN}/replica")
    return ContainerSpec(
        name=name, image=image, user=owner, labels=labels, command=words,
        mounts=(BindMount(mount.source, mount.target), BindMount(str(scratch), f"{OWN}/replica", read_only=True)),
        memory=MEMORY, pids=128, restart="no", tmpfs=("/tmp",))


def run(containers: Containers, spec: ContainerSpec, clock: Clock, seconds: float = math.inf) -> None:
    """To its end. ServiceError, with the program's last words; or it took more than *seconds*, and was ended."""
    made = containers.create(spec)
    try:
        containers.start(made)
        code = ended(containers, made, clock, clock.monotonic() + seconds)
        if code is None:
            raise ServiceError(f"litestream was not done after {seconds / 60:,.0f} minutes, and was ended",
                               "Restore it by hand, which may take as long as it wants: paas sqlite:restore")
        if code:
            lines = [line.text.decode("utf-8", "replace") for line in containers.logs(made, tail=5)]
            raise ServiceError(f"litestream ended with {code}: {' '.join(lines)[-500:]}",
                               "Nothing was changed but what it says. Try an earlier time.")
    finally:
        containers.remove(made)


def ended(containers: Containers, made: str, clock: Clock, deadline: float) -> int | None:
    """Its exit code; None: it runs on at *deadline*, of ``Clock.monotonic``."""
    while clock.monotonic() <= deadline:
        found = containers.state(made)
        if not found.running and found.exit_code is not None:
            return found.exit_code
        clock.sleep(LOOK_SECONDS)
    return None
