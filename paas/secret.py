"""A value that must not be printed."""


class Secret:
    """Text that shows as ``[redacted]`` everywhere but through :meth:`reveal`.

    ``str``, ``repr``, ``format`` and logging all give ``[redacted]``; ``json.dumps`` refuses it. Equality and
    hash use the value, so an unchanged config var can be recognised.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "[redacted]"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "[redacted]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __len__(self) -> int:
        return len(self._value)

    def __reduce__(self):
        raise TypeError("a Secret is not pickled")
