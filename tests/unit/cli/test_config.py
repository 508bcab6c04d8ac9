"""The commands of config: values survive byte for byte, are shown only on request, and fail without trace."""

import base64
import json

import pytest

from paas.errors import BadInput, CheckFailed
from paas.testing.fake_containers import Behaviour

NASTY = {"A": "two\nlines\n", "B": "it's \"q\" $HOME `id` \\", "C": "", "D": "ünï😀", "E": "-"}


def live(desk):
    return desk.flow.rt.store.live_release(desk.flow.app().id)


def stored(desk):
    return {key: value.reveal() for key, value in desk.flow.rt.store.config(desk.flow.app().id).items()}


def test_set_makes_a_release_without_a_build(deployed):
    built = len(deployed.flow.images.requests)
    said = deployed.ok("config:set hello GREETING=hi 'OTHER=a b=c'")
    assert live(deployed).version == 2
    assert {key: value.reveal() for key, value in live(deployed).config.items()} == {"GREETING": "hi", "OTHER": "a b=c"}
    assert len(deployed.flow.images.requests) == built
    assert "Live: v2" in said.text


def test_an_unchanged_value_does_nothing(deployed):
    deployed.ok("config:set hello A=1")
    assert deployed.ok("config:set hello A=1").text == "Nothing changed.\n"
    assert live(deployed).version == 2


def test_no_restart_waits_for_the_next_release(deployed):
    deployed.ok("config:set --no-restart hello A=1")
    assert (live(deployed).version, stored(deployed)) == (1, {"A": "1"})
    assert deployed.ok("config:set --no-restart hello A=1").text == "Nothing changed.\n"
    deployed.ok("config:set hello A=1")
    assert (live(deployed).version, live(deployed).config["A"].reveal()) == (2, "1")


def test_a_failing_release_changes_nothing_and_says_so(deployed):
    deployed.ok("config:set hello A=old")
    running = deployed.flow.containers.running()
    deployed.flow.containers.behave("paas.release=3", Behaviour(exits=1, logs=["boom"]))
    said = deployed.run("config:set hello A=new")
    assert said.code == CheckFailed.exit_code
    assert "the old values and the old containers stay in force" in said.stderr
    assert stored(deployed) == {"A": "old"}
    assert deployed.flow.containers.running() == running
    assert live(deployed).version == 2


def test_values_stay_out_of_events_lists_and_messages(desk):
    secret = "s3cr3t-value"
    desk.ok(f"config:set hello TOKEN={secret}")
    desk.run(f"config:set hello TOKEN2={secret} {secret}")
    desk.run(f"config:set hello 'bad key={secret}'")
    desk.ok("config:import hello", stdin=f"OTHER={secret}\n".encode())
    desk.run("config:import hello", stdin=f"{secret}\n".encode())
    listed = desk.ok("config hello").text + desk.ok("config:keys hello --format json").text
    for text in (listed, repr(desk.flow.rt.store.events(limit=100)), desk.ok("events").all,
                 desk.run(f"config:set hello {secret}").all):
        assert secret not in text
    assert desk.events("config:set")[-1].detail["keys"] == "TOKEN"


def test_get(desk):
    desk.ok(["config:set", "hello", "A=it's\n"])
    assert desk.ok("config:get hello A").stdout == b"it's\n\n"
    assert desk.ok("config:get --quoted hello A").text == "'it'\"'\"'s\n'\n"
    assert desk.run("config:get hello B").code == 20


@pytest.mark.parametrize("words", ["TOKEN=-", "TOKEN --stdin"])
def test_a_value_on_standard_input(desk, words):
    desk.ok(f"config:set hello {words}", stdin=b"a\nb\n")
    assert stored(desk) == {"TOKEN": "a\nb"}


def test_encoded_values(desk):
    desk.ok(["config:set", "--encoded", "hello", f"A={base64.b64encode(NASTY['A'].encode()).decode()}"])
    assert stored(desk)["A"] == NASTY["A"]
    assert desk.run("config:set --encoded hello A=%%").code == 3
    assert desk.run(["config:set", "--encoded", "hello", "A=/w=="]).code == 3


@pytest.mark.parametrize(("words", "code"), [
    ("word", 2), ("A=- B=-", 2), ("A=1 --stdin", 2), ("A B --stdin", 2), ("1A=x", 3), ("PAAS_X=1", 3), ("=x", 3)])
def test_refused_words(desk, words, code):
    assert desk.run(f"config:set hello {words}").code == code
    assert stored(desk) == {}


def test_bytes_that_are_not_text(desk):
    assert desk.run("config:set hello A --stdin", stdin=b"\xff").code == 3
    assert desk.run("config:set hello A --stdin", stdin=b"a\0b").code == 3


@pytest.mark.parametrize(("words", "stdin"), [
    (["config:set", "hello", "A=a\ud800"], b""), (["config:set", "hello", "A=\udcff"], b""),
    (["config:set", "hello", "A=-"], b"\xff"), (["config:set", "--encoded", "hello", "A=7aCA"], b""),
    (["config:import", "hello", "--format", "json"], b'{"A": "\\ud800"}'), (["config:import", "hello"], b"A=\xff"),
])
def test_what_is_not_utf8_is_refused(deployed, words, stdin):
    said = deployed.run(words, stdin)
    assert (said.code, said.stdout) == (BadInput.exit_code, b"")
    assert said.stderr.startswith(" !     a config var holds UTF-8 text\n")
    assert (stored(deployed), live(deployed).version) == ({}, 1)


@pytest.mark.parametrize("format", ["envfile", "json"])
def test_export_and_import_round_trip(desk, format):
    desk.ok("config:import hello --format json", stdin=json.dumps(NASTY).encode())
    assert stored(desk) == NASTY
    text = desk.ok(f"config:export hello --format {format}").stdout
    desk.ok("apps:create copy")
    desk.ok(f"config:import copy --format {format}", stdin=text)
    assert desk.ok("config:export copy --format json").json == NASTY


def test_import_replaces_only_when_told(desk):
    desk.ok("config:set hello A=1 B=2")
    desk.ok("config:import hello", stdin=b"B=3\n")
    assert stored(desk) == {"A": "1", "B": "3"}
    desk.ok("config:import hello --replace -", stdin=b"C=4\n")
    assert stored(desk) == {"C": "4"}


def test_unset_and_clear(deployed):
    deployed.ok("config:set hello A=1 B=2 C=3")
    deployed.ok("config:unset hello A")
    assert sorted(live(deployed).config) == ["B", "C"]
    assert deployed.run("config:unset hello A B").code == 20
    assert sorted(stored(deployed)) == ["B", "C"]
    deployed.ok("config:clear hello")
    assert (stored(deployed), dict(live(deployed).config)) == ({}, {})


def test_show_escapes_control_characters(desk):
    desk.ok(["config:set", "hello", "A=x\x1b[2Jy\nz", "LONGER="])
    assert desk.ok("config:show hello").text == "A:       x\\x1b[2Jy\\nz\nLONGER:\n"
    assert desk.ok("config:show hello --format json").json == {"A": "x\x1b[2Jy\nz", "LONGER": ""}
