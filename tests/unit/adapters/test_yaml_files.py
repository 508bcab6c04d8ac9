"""YAML that strangers wrote (D03): what is read, and what is refused before it costs anything."""

import pytest

from paas.adapters.yaml_files import MAX_BYTES, MAX_NODES, YamlFiles
from paas.errors import BadInput


def read(text):
    return YamlFiles().yaml(text.encode() if isinstance(text, str) else text)


def bomb(levels: int) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(("text", "value"), [
    ("a: 22:22", {"a": "22:22"}), ("a: 1.10", {"a": "1.10"}), ("a: 010", {"a": "010"}), ("a: on", {"a": "on"}),
    ("a: 2024-01-01", {"a": "2024-01-01"}), ("a: True", {"a": True}), ("a: 'true'", {"a": "true"}),
    ("a:", {"a": None}), ("a: ~", {"a": None}), ('a: ""', {"a": ""}), ("1: x", {"1": "x"}), ("", None),
    ("\ufeffa: [1, {b: c}]", {"a": ["1", {"b": "c"}]}), ('"<<": x', {"<<": "x"}),
])
def test_numbers_and_dates_stay_as_written(text, value):
    assert read(text) == value


def test_merge_keys_give_what_the_mapping_itself_does_not_have():
    assert read("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {<<: *a}") == {
        "a": {"x": "1", "y": "1"}, "b": {"y": "2", "z": "2"}, "c": {"x": "1", "y": "1", "z": "3"},
        "d": {"x": "1", "y": "1"}}


@pytest.mark.parametrize(("text", "why"), [
    (bomb(12), f"{MAX_NODES:,} values"),
    ("a: &a [*a]", "nested"),
    ("a: &a {<<: *a}", "nested"),
    ("[" * 100_000, "nested"),
    ("{" * 100_000, "nested"),
    ("- " * 100_000, "nested"),
    ("a: !!python/object/apply:os.system ['true']", "tag"),
    ("a: !!python/name:os.system", "tag"),
    ("a: !!binary aGk=", "tag"),
    ("a: !reset null", "tag"),
    ("!!map {a: 1}", "tag"),
    ("a: 1\nb: 2\na: 3", "'a' twice (line 3)"),
    ("a: {b: 1, b: 2}", "'b' twice"),
    ("? [a]\n: 1", "no text"),
    ("<<: 3", "no mapping"),
    ("a: *nowhere", "undefined alias"),
    ("--- a\n--- b", "another document"),
    ("a: {", "not readable"),
    ("a: \x00", "not readable"),
    (b"\xff\xfe", "UTF-8"),
    ("\n".join(f"k{n}: 1" for n in range(MAX_NODES)), "values"),
    (b"x" * (MAX_BYTES + 1), "256 KB"),
    (b"a" * 50_000_000, "256 KB"),
])
def test_hostile_yaml_is_refused(text, why):
    with pytest.raises(BadInput) as refused:
        read(text)
    assert why in refused.value.what


def test_a_small_bomb_is_just_data():
    assert len(read(bomb(3))["l2"]) == 9
