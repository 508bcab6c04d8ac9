"""Resource limits as people write them."""

import re

from paas.errors import BadInput
from paas.model.names import printable

UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
MIN_MEMORY = 6 * 1024**2                 # Docker's own minimum


def memory_bytes(text: str) -> int:
    """``512m``, ``1g``, ``1.5GB``, ``300000000`` → bytes (units of 1,024, as Docker's). At least 6 MB."""
    amount = size_bytes(text, "an amount of memory")
    if amount < MIN_MEMORY:
        raise BadInput(f"'{printable(text)}' is too little memory", "Docker needs at least 6m.")
    return amount


def size_bytes(text: str, what: str = "a size") -> int:
    """``50MB``, ``512k``, ``1.5g`` → bytes (units of 1,024)."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?)\s*([kmg]?)i?b?", text.strip().lower())
    if not match:
        raise BadInput(f"'{printable(text)}' is not {what}", "Write it like 512m or 2g.")
    return int(float(match[1]) * UNITS[match[2]])


def cpus(text: str) -> float:
    """``0.5``, ``2`` → cores; from 0.01 to 1,024."""
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text) or not 0.01 <= float(text) <= 1024:
        raise BadInput(f"'{printable(text)}' is not a number of cores", "Write it like 0.5 or 2.")
    return float(text)


def pids(text: str) -> int:
    """How many processes and threads; from 10 to 100,000."""
    if not text.isascii() or not text.isdigit() or not 10 <= int(text[:9]) <= 100_000:
        raise BadInput(f"'{printable(text)}' is not a number of processes", "Give a whole number from 10 to 100000.")
    return int(text)


def megabytes(count: int) -> str:
    return f"{count / 1024**2:,.0f} MB"


LIMITS = {"memory": memory_bytes, "cpu": cpus, "pids": pids, "reserve": memory_bytes}
