"""Named points on the way of a deploy at which a test may let the process die, an operation fail, or time stand still.

Off for the whole life of a daemon that was not started with the environment variable ``PAAS_FAILPOINTS=allowed``, which
no installation sets; such a daemon refuses to start where the file of orders lies. A client cannot set it: what SSH
passes on never reaches the daemon. The file, ``failpoints`` in the settings' ``config_dir``, belongs to root, has mode
0600 and is no link. One order a line, read anew at each point::

    S2.before=kill9                      SIGKILL to the daemon itself
    B2.after=exit:3                      end at once with this status
    S4.before=raise:ENOSPC               OSError of that number (errno(3)): EIO, EBUSY, …
    C3.before=sleep:1.5                  seconds
    D1.before=pause:/dir/gate            make /dir/gate.reached, then wait until /dir/gate is gone
    S2.before=raise:EIO always           each time; p=0.1: with that probability; once (the default): then the line goes

The named points and what happens at each: docs/faults.md. etcd's gofail is the model.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.errors import StateError

MARK = ("PAAS_FAILPOINTS", "allowed")
NAME = "failpoints"
POLL = 0.01                              # seconds between two looks at a gate

_orders: Path | None = None              # where they would lie; None: failpoints are off
_turn = threading.Lock()


def arm(config_dir: Path) -> None:
    """Decide, once, at the start. StateError: the file is there although this is no test, or is not root's alone."""
    global _orders
    path, (variable, value) = config_dir / NAME, MARK
    _orders = None
    if os.environ.get(variable) == value:
        _orders = path
        read(path)
    elif os.path.lexists(path):
        raise StateError(f"{path} is for tests of the platform only", "Remove it and start again.")


def failpoint(name: str) -> None:
    """Obey the order for the point *name*, if there is one. OSError: as ordered."""
    if _orders is not None and (order := due(_orders, name)):
        order.obey()


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """The points ``<name>.before`` and, when all went well, ``<name>.after``; for `with` or as a decorator."""
    failpoint(f"{name}.before")
    yield
    failpoint(f"{name}.after")


@dataclass(frozen=True)
class Order:
    line: str
    point: str
    action: str
    value: str
    how: str                             # "once", "always" or a probability

    def obey(self) -> None:
        match self.action:
            case "kill9":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(int(self.value))
            case "raise":
                number = getattr(errno, self.value)
                raise OSError(number, os.strerror(number))
            case "sleep":
                time.sleep(float(self.value))
            case "pause":
                wait_at(Path(self.value))


def wait_at(gate: Path) -> None:
    Path(f"{gate}.reached").touch()
    while gate.exists():
        time.sleep(POLL)


def due(path: Path, name: str) -> Order | None:
    """The order for *name* that is to be obeyed now; one that holds once is taken out of the file first."""
    with _turn:
        found = next((order for order in read(path) if order.point == name), None)
        if found is None or (found.how not in ("once", "always") and random.random() >= float(found.how)):
            return None
        if found.how == "once":
            take_out(path, found)
        return found


def take_out(path: Path, order: Order) -> None:
    """Durable enough for a SIGKILL of this process, which is what comes next."""
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.strip() != order.line]
    fresh = path.with_name(f".{NAME}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(lines)
    fresh.replace(path)


def read(path: Path) -> list[Order]:
    """:raises StateError: somebody else than root can write or read it, or a line is not an order."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError:
        raise StateError(f"{path} cannot be opened, or is a link", "Remove it.") from None
    with open(descriptor) as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid or stat.S_IMODE(facts.st_mode) != 0o600:
            raise StateError(f"{path} must be root's own file with mode 0600", "Remove it.")
        return [order_of(line.strip()) for line in file if line.strip()]


def order_of(line: str) -> Order:
    point, _, rest = line.partition("=")
    words, how = rest.partition(" ")[0], rest.partition(" ")[2].strip() or "once"
    action, _, value = words.partition(":")
    order = Order(line, point, action, value, how.removeprefix("p="))
    try:
        good = understood(order)
    except ValueError:
        good = False
    if not good:
        raise StateError(f"not an order of a failpoint: {line}", "See docs/faults.md.")
    return order


def understood(order: Order) -> bool:
    """ValueError, or False: it is not."""
    if order.how not in ("once", "always") and not 0 <= float(order.how) <= 1:
        return False
    match order.action:
        case "kill9":
            return not order.value
        case "exit":
            return int(order.value) >= 0
        case "sleep":
            return float(order.value) >= 0
        case "raise":
            return order.value.startswith("E") and hasattr(errno, order.value)
        case "pause":
            return order.value.startswith("/")
    return False
