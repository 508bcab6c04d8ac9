"""YAML that strangers wrote: bounded in bytes, nodes and depth, without tags, with each key once."""

from __future__ import annotations

import re

import yaml

from paas.errors import BadInput
from paas.model.names import printable

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 10_000
# YAML 1.2, core schema (10.3.2): what a plain scalar must look like to be no text.
NULL = re.compile(r"~|null|Null|NULL|")
FLAG = re.compile(r"true|True|TRUE|false|False|FALSE")
MERGE = "<<"                             # https://yaml.org/type/merge.html, as compose files use it

Value = None | bool | str | list["Value"] | dict[str, "Value"]


class YamlFiles:
    """See :class:`paas.ports.Manifests`."""

    def yaml(self, data: bytes) -> Value:
        if len(data) > MAX_BYTES:
            raise BadInput(f"the YAML is longer than {MAX_BYTES // 1024} KB", "Keep only what describes the app.")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadInput("the YAML is not UTF-8 text", "Save it as UTF-8.") from None
        try:
            loader = _Loader(text)
            return _Tree().value(loader.get_single_node(), 1)
        except yaml.YAMLError as error:
            raise _unreadable(error) from None


class _Loader(yaml.SafeLoader):
    """Composes nodes, and refuses while it reads what would be too deep, too much or tagged."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            raise _refused("has a tag", event.start_mark, "Write the value without '!'.")
        self._depth += 1
        self._count += 1
        _bound(self._depth, self._count, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Tree:
    """From nodes to values; an alias counts like what it stands for, so that few lines cannot grow to millions."""

    def __init__(self) -> None:
        self._count = 0

    def value(self, node: yaml.Node | None, depth: int) -> Value:
        if node is None:
            return None
        self._count += 1
        _bound(depth, self._count, node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, depth + 1) for one in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Value]:
        own: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, value in node.value:
            name = _key(key)
            if name in own or (name == MERGE and merged):
                raise _refused(f"has the key '{printable(name)}' twice", key.start_mark, "Keep one of them.")
            if name == MERGE and key.style is None:
                merged = self._merged(value, depth + 1)
            else:
                own[name] = self.value(value, depth + 1)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Value]:
        """What ``<<`` brings: one mapping, or several of which the first that has a key gives its value."""
        made: dict[str, Value] = {}
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(one, yaml.MappingNode):
                raise _refused("merges something that is no mapping", node.start_mark, "Give << an alias of a mapping.")
            made = {**self.value(one, depth), **made}
        return made


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _refused("has a key that is no text", node.start_mark, "Use plain names as keys.")
    return node.value


def _scalar(node: yaml.ScalarNode) -> Value:
    """Numbers and dates stay as they are written: ``22:22`` and ``1.10`` mean what they look like."""
    if node.style is not None:
        return node.value
    if NULL.fullmatch(node.value):
        return None
    return node.value.lower() == "true" if FLAG.fullmatch(node.value) else node.value


def _bound(depth: int, count: int, mark: yaml.Mark) -> None:
    if depth > MAX_DEPTH:
        raise _refused(f"is nested deeper than {MAX_DEPTH} levels", mark, "Write it flatter.")
    if count > MAX_NODES:
        raise _refused(f"holds more than {MAX_NODES:,} values, aliases counted", mark, "Keep only what is needed.")


def _refused(what: str, mark: yaml.Mark, hint: str) -> BadInput:
    return BadInput(f"the YAML {what} (line {mark.line + 1})", hint)


def _unreadable(error: yaml.YAMLError) -> BadInput:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is not YAML"
    return BadInput(f"the YAML is not readable: {place}{printable(str(problem), 200)}", "Correct it and try again.")
