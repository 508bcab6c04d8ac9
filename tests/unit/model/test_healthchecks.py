"""app.json's `healthchecks`, as Dokku reads them, and what `checks:set` says over them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import PushRefused
from paas.model import appjson
from paas.model.healthchecks import (
    CONNECTION_FIELDS,
    KNOWN,
    MAX_COMMAND,
    MAX_CONTENT,
    MAX_ENTRIES,
    MAX_HEADER,
    MAX_HEADERS,
    MAX_NAME,
    label,
    with_settings,
)
from paas.model.release import Check, CheckKind


def read(*entries: object, process: str = "web") -> appjson.AppJson:
    return appjson.parse(json.dumps({"healthchecks": {process: list(entries)}}).encode())


def one(process: str = "web", **entry: object) -> Check:
    """The check of an entry of which nothing is left unread."""
    found = read(entry, process=process)
    assert found.ignored == ()
    return found.checks[process]


def ignored(**entry: object) -> tuple[str, ...]:
    return tuple(key.removeprefix("healthchecks.web[0].") for key in read(entry).ignored)


# Which check it is


@pytest.mark.parametrize(("entry", "kind"), [
    ({"path": "/up"}, CheckKind.HTTP), ({"listening": True}, CheckKind.PORT), ({"uptime": 3}, CheckKind.UPTIME),
    ({"uptime": 0}, CheckKind.UPTIME), ({"command": ["true"]}, CheckKind.COMMAND), ({}, CheckKind.LISTEN),
    ({"path": "/up", "uptime": 0, "listening": False, "command": []}, CheckKind.HTTP)])
def test_one_key_says_what_is_done(entry, kind):
    assert read(entry).checks["web"].kind == kind


def test_an_entry_that_says_nothing_is_the_default_of_its_process_type():
    assert one("web", name="x").kind == CheckKind.LISTEN
    assert (one("worker", name="x").kind, one("worker", name="x").uptime) == (CheckKind.UPTIME, 2)


def test_several_entries_are_kept_in_order():
    found = read({"path": "/a"}, {"listening": True, "port": 9000}, {"command": "true"}).checks["web"]
    assert [check.kind for check in found.all] == [CheckKind.HTTP, CheckKind.PORT, CheckKind.COMMAND]
    assert all(check.also == () for check in found.also)


def test_other_types_than_startup_are_named_and_not_run():
    found = read({"type": "liveness", "path": "/l"}, {"type": "startup", "path": "/s"}, {"type": "readiness"},
                 {"type": "", "listening": True})
    assert [check.kind for check in found.checks["web"].all] == [CheckKind.HTTP, CheckKind.PORT]
    assert found.checks["web"].path == "/s"
    assert found.ignored == ("healthchecks.web[0] (type liveness)", "healthchecks.web[2] (type readiness)")


def test_without_a_startup_entry_the_default_remains():
    assert read({"type": "readiness", "path": "/x"}).checks == {}
    assert read().checks == {}


# Values


def test_values_of_a_request():
    check = one(name="main", path="/up", port=8080, scheme="HTTP", content="ré\nady", status=204, host="A.example.com",
                httpHeaders=[{"name": "X-Forwarded-Proto", "value": "https"}, {"name": "Host", "value": "b.example:81"},
                             {"name": "X-Empty"}], warn=True, description="mine")
    assert (check.name, check.path, check.port, check.content) == ("main", "/up", 8080, "ré\nady")
    assert (check.status, check.host, check.warn) == ("204", "a.example.com", True)
    assert check.headers == (("X-Forwarded-Proto", "https"), ("Host", "b.example:81"), ("X-Empty", ""))


@pytest.mark.parametrize(("entry", "total", "attempt", "wait"), [
    ({}, 3 * (5 + 5), 5, 5),
    ({"timeout": 3, "attempts": 4, "wait": 2}, 20, 3, 2),
    ({"timeout": 3, "attempts": 4, "wait": 2, "initialDelay": 7}, 27, 3, 2),
    ({"timeout": 0, "attempts": 0, "wait": 0}, 30, 5, 5),            # as unset, like Dokku
    ({"timeout": 0.01, "attempts": 1, "wait": 0.01}, 1, 0.1, 0.01)])
def test_attempts_become_a_time(entry, total, attempt, wait):
    check = one(path="/", **entry)
    assert (check.timeout, check.attempt_timeout, check.wait) == (total, attempt, wait)
    assert check.delay == entry.get("initialDelay", 0)


def test_a_command_is_a_list_or_a_line_for_the_shell():
    assert one(command=["./ready", "--now", " "]).command == ("./ready", "--now", " ")
    assert one(command=" ./ready --now ").command == ("/bin/sh", "-c", "exec ./ready --now")
    assert one(command="").kind == one(command=[]).kind == CheckKind.LISTEN
    assert one(command="a && b").command == ("/bin/sh", "-c", "a && b")


# What is not read is named


def test_unknown_keys_are_named():
    assert ignored(path="/", listening=False, uptime=0, command=[], odd=False) == ("odd",)
    assert ignored(path="/", retries=3) == ("retries",)
    assert ignored(path="/", httpHeaders=[{"name": "A", "value": "1", "secret": True}]) == ("httpHeaders[0].secret",)


@pytest.mark.parametrize("kind", [{"path": "/"}, {"uptime": 3}, {"listening": True}, {"command": "true"}, {}])
def test_a_command_on_failure_is_a_list_or_a_line_for_the_shell(kind):
    assert one(**kind, onFailure={"command": ["./report", "--now"]}).on_failure == ("./report", "--now")
    assert one(**kind, onFailure={"command": "./report $APP"}).on_failure == ("/bin/sh", "-c", "exec ./report $APP")
    for nothing in (None, {}, {"command": []}, {"url": ""}):
        assert one(**kind, onFailure=nothing).on_failure == ()


def test_what_is_not_done_on_failure_is_named_and_why():
    found = {"command": ["./report"], "url": "http://169.254.169.254/", "retries": 1}
    assert ignored(path="/", onFailure=found) == (
        "onFailure.url (the server sends no request to an address from a push)", "onFailure.retries")
    assert read({"path": "/", "onFailure": found}).checks["web"].on_failure == ("./report",)


def test_https_is_asked_where_something_is_asked():
    assert (one(path="/", scheme="HTTPS").https, one(scheme="https").https) == (True, True)
    assert (one(path="/", scheme="http").https, one(path="/", scheme="").https, one(path="/").https) == (False,) * 3


@pytest.mark.parametrize("kind", [{"uptime": 3}, {"listening": True}, {"command": "true"}])
def test_a_key_that_does_nothing_there_is_named_and_has_no_effect(kind):
    request = {"content": "x", "httpHeaders": [{"name": "A", "value": "1"}], "status": "200", "host": "a.example",
               "scheme": "https"}
    assert set(ignored(**kind, **request)) == set(request)
    check = read({**kind, **request}).checks["web"]
    assert (check.content, check.headers, check.status, check.host, check.https) == ("", (), "", "", False)


def test_a_port_does_nothing_for_a_command():
    assert ignored(command="true", port=80) == ("port",)
    assert read({"command": "true", "port": 80}).checks["web"].port == 0


# Bad shapes


def refused(*entries: object) -> str:
    with pytest.raises(PushRefused) as caught:
        read(*entries)
    return caught.value.what


@pytest.mark.parametrize("entry", [
    "x", None, [],
    {"type": "exec"}, {"type": []}, {"type": None}, {"scheme": []}, {"type": ["startup"]}, {"type": 1},
    {"path": "up"}, {"path": 5}, {"path": "/a b"}, {"path": "/a\r\nX: y"}, {"path": "/é"}, {"path": ["/"]},
    {"path": "/", "port": 0.5}, {"path": "/", "port": "80"}, {"path": "/", "port": 65536}, {"path": "/", "port": -1},
    {"path": "/", "port": True},
    {"path": "/", "scheme": "ftp"}, {"path": "/", "scheme": 1},
    {"path": "/", "timeout": "5"}, {"path": "/", "timeout": -1}, {"path": "/", "wait": True}, {"path": "/", "wait": {}},
    {"path": "/", "attempts": 2.5}, {"path": "/", "attempts": 3601}, {"path": "/", "initialDelay": None},
    {"path": "/", "timeout": float("nan")}, {"path": "/", "timeout": float("inf")},
    {"path": "/", "attempts": 400},                                   # 400 × 10 s is over an hour
    {"uptime": "3"}, {"uptime": 4000}, {"listening": "yes"}, {"listening": 1}, {"path": "/", "warn": "no"},
    {"path": "/", "status": "ok"}, {"path": "/", "status": 99}, {"path": "/", "status": True},
    {"path": "/", "host": "a b"}, {"path": "/", "host": 1.5},
    {"path": "/", "content": 5}, {"path": "/", "content": "x" * (MAX_CONTENT + 1)}, {"path": "/", "content": "\ud800"},
    {"path": "/", "name": "a\nb"}, {"path": "/", "name": "x" * (MAX_NAME + 1)}, {"path": "/", "name": 5},
    {"command": [""]}, {"command": [1]}, {"command": {}}, {"command": "a\0b"}, {"command": "  "}, {"command": [" "]},
    {"command": "\ud800"}, {"command": ["x" * MAX_COMMAND, "y"]},
    {"path": "/", "onFailure": "x"}, {"path": "/", "onFailure": ["x"]}, {"path": "/", "onFailure": False},
    {"path": "/", "onFailure": {"command": [1]}}, {"path": "/", "onFailure": {"command": {}}},
    {"path": "/", "onFailure": {"command": ["x" * (MAX_COMMAND + 1)]}}, {"path": "/", "onFailure": {"command": " "}},
    {"path": "/", "httpHeaders": {}}, {"path": "/", "httpHeaders": ["A: 1"]},
    {"path": "/", "httpHeaders": [{"name": f"A{n}", "value": ""} for n in range(MAX_HEADERS + 1)]},
    {"path": "/", "httpHeaders": [{"name": "A", "value": "1"}, {"name": "a", "value": "2"}]},
])
def test_another_shape_is_refused(entry):
    assert "healthchecks" in refused(entry)


@pytest.mark.parametrize(("first", "second"), [
    ({"command": "true"}, {"path": "/"}), ({"command": "true"}, {"uptime": 1}),
    ({"command": "true"}, {"listening": True}), ({"path": "/"}, {"uptime": 1}),
    ({"path": "/"}, {"listening": True}), ({"uptime": 1}, {"listening": True})])
def test_two_checks_in_one_entry_are_refused_as_by_dokku(first, second):
    assert "are two checks" in refused({**first, **second})


def test_which_entry_is_wrong_is_said():
    assert refused({"path": "/"}, {"path": "x"}).startswith("app.json: healthchecks.web[1]: 'path'")


def test_the_number_of_entries_is_bounded():
    assert len(read(*[{"path": "/"}] * MAX_ENTRIES).checks["web"].all) == MAX_ENTRIES
    assert f"more than {MAX_ENTRIES}" in refused(*[{"path": "/"}] * (MAX_ENTRIES + 1))


# Headers


def header(name: object, value: object) -> tuple[tuple[str, str], ...]:
    return one(path="/", httpHeaders=[{"name": name, "value": value}]).headers


@pytest.mark.parametrize("name", ["", "A B", "A:", "A\r\nB", "A\n", "É", "A\t", " A", None, 5, "x" * 257,
                                  *(name.title() for name in sorted(CONNECTION_FIELDS))])
def test_a_name_that_is_no_token_or_the_connections_own_is_refused(name):
    with pytest.raises(PushRefused):
        header(name, "1")


@pytest.mark.parametrize("value", ["1\r\nB: 2", "1\n", "\r", "\0", "\x7f", "é", " 1", "1 ", "\t1", None, 5, ["1"],
                                   "x" * (MAX_HEADER + 1)])
def test_a_value_that_would_not_stay_one_field_is_refused(value):
    with pytest.raises(PushRefused):
        header("A", value)


@pytest.mark.parametrize("value", ["", "1", "a b\tc", "!~", "x" * MAX_HEADER])
def test_values_that_stand(value):
    assert header("X-!#$%&'*+.^_`|~9", value) == (("X-!#$%&'*+.^_`|~9", value),)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a,b", "a:x", "user@a", "a:123456"])
def test_a_host_header_must_be_a_host(host):
    with pytest.raises(PushRefused):
        header("host", host)


@pytest.mark.parametrize("host", ["localhost", "a.example:8080", "127.0.0.1", "[::1]:80"])
def test_hosts_that_stand(host):
    assert header("Host", host) == (("Host", host),)


@given(name=st.text(max_size=8), value=st.text(max_size=8))
def test_no_header_ever_ends_a_line(name, value):
    try:
        found = header(name, value)
    except PushRefused:
        return
    assert not set("".join(found[0])) & set("\r\n\0")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))
SOME_KEY = st.sampled_from(["type", "name", "path", "port", "scheme", "attempts", "timeout", "wait", "initialDelay",
                            "warn", "listening", "uptime", "content", "httpHeaders", "command", "onFailure", "status",
                            "host"])


@given(st.dictionaries(SOME_KEY, JSON, max_size=4))
def test_reading_never_breaks(entry):
    try:
        found = read(entry)
    except PushRefused:
        return
    assert found.checks or "(type " in found.ignored[0]


# Settings over them


def test_a_path_set_goes_over_the_first_check_that_asks():
    base = read({"command": "true"}, {"path": "/a", "content": "yes"}, {"path": "/b"}).checks["web"]
    over = with_settings(base, {"path": "/set"}, web=True)
    assert [(check.kind, check.path) for check in over.all] == [
        (CheckKind.COMMAND, "/"), (CheckKind.HTTP, "/set"), (CheckKind.HTTP, "/b")]
    assert over.also[0].content == "yes"


def test_a_path_set_makes_the_default_check_ask_it():
    assert with_settings(Check(), {"path": "/set"}, web=True) == Check(CheckKind.HTTP, "/set")


def test_a_path_set_is_one_more_check_where_none_asks():
    over = with_settings(one(command="true"), {"path": "/set"}, web=True)
    assert [(check.kind, check.path) for check in over.all] == [(CheckKind.HTTP, "/set"), (CheckKind.COMMAND, "/")]


def test_a_path_set_is_for_web_only():
    base = one("worker", path="/a", port=9000)
    assert with_settings(base, {"path": "/set"}, web=False) == base


def test_the_other_settings_go_over_every_check():
    base = read({"path": "/a", "httpHeaders": [{"name": "host", "value": "old"}, {"name": "A", "value": "1"}]},
                {"path": "/b"}, {"uptime": 9}).checks["web"]
    own = {"timeout": "50", "attempt-timeout": "4", "uptime": "7", "status": "200", "host": "set.example"}
    over = with_settings(base, own, web=True)
    assert {(check.timeout, check.attempt_timeout, check.uptime, check.status, check.host) for check in over.all} == {
        (50.0, 4.0, 7.0, "200", "set.example")}
    assert over.headers == (("A", "1"),)


def test_no_settings_change_nothing():
    base = read({"path": "/a", "warn": True}, {"command": ["x"]}).checks["web"]
    assert with_settings(base, {}, web=True) == base


# Names


@pytest.mark.parametrize(("entry", "words"), [
    ({"name": "db", "path": "/"}, "db"), ({"path": "/up"}, "GET /up"),
    ({"path": "/up", "port": 81}, "GET /up on port 81"),
    ({"path": "/up", "port": 81, "scheme": "https"}, "GET /up over HTTPS on port 81"),
    ({}, "GET /"), ({"listening": True}, "listening"), ({"listening": True, "port": 9}, "listening on port 9"),
    ({"uptime": 3}, "up for 3 s"), ({"command": ["./ready", "-x"]}, "./ready -x")])
def test_each_has_a_name(entry, words):
    assert label(one(**entry)) == words


# The page about them


def page() -> str:
    return (Path(__file__).parents[3] / "docs/checks.md").read_text()


def test_the_example_of_the_page_is_read_whole():
    found = appjson.parse(re.search(r"```json\n(.*?)```", page(), re.S)[1].encode())
    assert found.ignored == ()
    assert [check.kind for check in found.checks["web"].all] == ["http", "port", "command", "command"]


def test_every_key_is_on_the_page():
    assert {key for key in KNOWN if f"`{key}`" not in page() and f"`{key}: " not in page()} == set()
