"""What the benchmarks share: the interpreter, the requirements, medians, and the closing line.

Importing this module replaces the process by one under the repository's virtual environment (``tests/run`` makes it)
where it does not run there yet.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv/bin/python"
DOCKER_SOCKET = "/var/run/docker.sock"


def enter() -> None:
    """Go on under .venv/bin/python, in the environment of an installation: modules are compiled, nothing preset."""
    if Path(sys.prefix) != ROOT / ".venv":
        if not PYTHON.exists():
            stop(f"{PYTHON} is missing. Make it with: sudo tests/run --collect-only -q")
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED"):
        os.environ.pop(name, None)
    sys.dont_write_bytecode = False
    sys.path.insert(0, str(ROOT))
    sys.stdout.reconfigure(line_buffering=True)


def stop(why: str) -> None:
    """The benchmark cannot run here: exit 2."""
    print(f"{Path(sys.argv[0]).name}: {why}", file=sys.stderr)
    sys.exit(2)


def arguments(doc: str, programs: Sequence[str] = (),
              numbers: Mapping[str, tuple[int, str]] = MappingProxyType({})) -> argparse.Namespace:
    """Parse the command line (``--quick``, and *numbers*: name → default and help), then require root, Docker, the base
    image and *programs*."""
    note = ("Runs as root with what `sudo tests/run` needs; goes on under the repository's .venv/bin/python by itself. "
            "Exit status: 0 aims met, 1 an aim missed, 2 cannot run here.")
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name, description=doc, epilog=note,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: few repetitions, figures mean little")
    for name, (default, help) in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{help} (default: {default})")
    given = parser.parse_args()
    require(programs)
    return given


def require(programs: Sequence[str]) -> None:
    if os.geteuid() != 0:
        stop("needs root (users, sshd, Docker)")
    for program in ("docker", "git", "ssh", "/usr/sbin/sshd", *programs):
        if not shutil.which(program):
            stop(f"needs {program}: apt-get install docker.io git openssh-server {' '.join(programs)}")
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        stop("needs a Docker engine on /var/run/docker.sock")
    made = subprocess.run([ROOT / "tests/base_images/make"], capture_output=True, text=True, check=False)
    if made.returncode:
        stop(f"the base images could not be made:\n{made.stderr[-2000:]}")


@contextmanager
def world(**changes: str | int) -> Iterator:
    """A private platform: sshd, Caddy, paasd; removed at the end."""
    from tests.e2e.world import World

    opened = World.open(**changes)
    try:
        yield opened
    finally:
        opened.close()


# numbers ------------------------------------------------------------------------------------------------------------


def timed(work: Callable[[], object]) -> float:
    """Seconds that *work* takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def spread(values: Sequence[float]) -> str:
    """Median, with the quartiles that say how quiet the machine was."""
    if len(values) < 4:
        return f"{ms(median(values))} (n={len(values)})"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{ms(median(values))} (quartiles {low * 1000:.0f}-{high * 1000:.0f}, n={len(values)})"


def by_stage(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Stage → median seconds."""
    names = list(dict.fromkeys(name for run in runs for name in run))
    return {name: median([run[name] for run in runs if name in run]) for name in names}


def line_of(stages: Mapping[str, float]) -> str:
    return " · ".join(f"{name} {seconds:.3f}" for name, seconds in stages.items())


class Aims:
    """Figures with their limits; :meth:`close` prints the closing line and ends the process."""

    def __init__(self, name: str) -> None:
        self.name, self.words, self.missed = name, [], []

    def note(self, key: str, value: float | int | str) -> None:
        self.words.append(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}")

    def at_most(self, key: str, value: float, limit: float) -> None:
        self._judge(key, value, value <= limit, f"at most {limit:g}")

    def at_least(self, key: str, value: float, limit: float) -> None:
        self._judge(key, value, value >= limit, f"at least {limit:g}")

    def _judge(self, key: str, value: float, met: bool, aim: str) -> None:
        shown = f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else f"{value:.0f}"
        self.words.append(f"{key}={shown}")
        print(f"  {key} {shown}: aim {aim}, {'met' if met else 'MISSED'}")
        if not met:
            self.missed.append(key)

    def close(self) -> None:
        print(self.name, *self.words, f"missed={','.join(self.missed) or 'none'}")
        sys.exit(1 if self.missed else 0)


# small clients ------------------------------------------------------------------------------------------------------


def get(port: int, host: str, path: str = "/", address: str = "127.0.0.1", timeout: float = 5.0) -> tuple[int, bytes]:
    """One GET on a connection of its own: status and body; (0, b"") when there is no answer."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def until_answer(text: str, port: int, host: str, address: str = "127.0.0.1", limit: float = 30.0) -> None:
    """Ask every 2 ms until the answer is 200 with *text*."""
    deadline = time.monotonic() + limit
    while get(port, host, address=address, timeout=1.0) != (200, text.encode()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{host} on port {port} did not answer {text!r} within {limit:g} s")
        time.sleep(0.002)


class Engine(http.client.HTTPConnection):
    """The Docker Engine API by plain requests, as the floor of what a client can do."""

    def __init__(self) -> None:
        super().__init__("docker", timeout=120)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(DOCKER_SOCKET)

    def ask(self, method: str, path: str, body: dict | bytes | None = None) -> bytes:
        """The answer's body; AssertionError for a status of 400 and more."""
        plain = isinstance(body, bytes)
        data = body if plain or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/x-tar" if plain else "application/json"} if data is not None else {}
        self.request(method, f"/v1.41{path}", data, headers)
        answer = self.getresponse()
        said = answer.read()
        assert answer.status < 400, f"{method} {path}: {answer.status} {said[:300]!r}"
        return said


enter()
