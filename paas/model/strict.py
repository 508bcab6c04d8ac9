"""Fields of a JSON object that must be there and be of one type; what else is there is left alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime

from paas.errors import Forged

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
LARGEST = 2**63 - 1


class Fields:
    """Every method raises Forged, which names the field, where it is missing or of another type."""

    def __init__(self, noun: str, data: object, where: str = "") -> None:
        self.noun, self.where = noun, where
        if not isinstance(data, dict):
            raise self.wrong("", "an object")
        self.data: dict[str, object] = data

    def wrong(self, name: str, wanted: str) -> Forged:
        path = f"{self.where}{name}".rstrip(".")
        return Forged(f"The {self.noun} is damaged: its field '{path}' must be {wanted}",
                      "Use another backup; this one was changed, or written by another program.")

    def get(self, name: str, wanted: str, *types: type) -> object:
        value = self.data.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self.wrong(name, wanted)
        return value

    def text(self, name: str) -> str:
        return self.get(name, "text", str)

    def flag(self, name: str) -> bool:
        return self.get(name, "true or false", bool)

    def count(self, name: str) -> int:
        value = self.get(name, "a whole number", int)
        if not 0 <= value <= LARGEST:
            raise self.wrong(name, "a whole number from 0 to 2^63 - 1")
        return value

    def seconds(self, name: str) -> float:
        value = self.get(name, "a number", int, float)
        if not 0 <= value <= LARGEST:
            raise self.wrong(name, "a number of seconds")
        return float(value)

    def moment(self, name: str) -> datetime:
        """RFC 3339, in UTC."""
        text = self.text(name)
        try:
            return datetime.fromisoformat(text if MOMENT.fullmatch(text) else "")
        except ValueError:
            raise self.wrong(name, "a time in UTC like 2026-11-20T16:00:00Z") from None

    def choice(self, name: str, kinds: type):
        text = self.text(name)
        if text not in list(kinds):
            raise self.wrong(name, f"one of {', '.join(kinds)}")
        return kinds(text)

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.get(name, "a list", list)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(name, "a list of text")
        return tuple(values)

    def facts(self, name: str) -> dict[str, str]:
        values = self.get(name, "an object", dict)
        if not all(isinstance(value, str) for value in values.values()):
            raise self.wrong(name, "an object with text in each field")
        return dict(values)

    def object(self, name: str) -> Fields:
        return Fields(self.noun, self.data.get(name), f"{self.where}{name}.")

    def objects(self, name: str) -> list[Fields]:
        values = self.get(name, "a list", list)
        return [Fields(self.noun, value, f"{self.where}{name}[{place}].") for place, value in enumerate(values)]


def plain(value: object) -> object:
    """A dataclass as what JSON has. Moments become RFC 3339 in UTC; ValueError for one without time zone."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a moment without time zone")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value
