"""notify, incidents, heartbeat, uptime at the prompt."""

from dataclasses import replace

import pytest

from paas.model.access import Actor, Grant
from paas.model.incident import Kind
from paas.model.rights import Role
from paas.model.uptime import Checks
from paas.ops import uptime
from paas.ops.incidents import close_incident, open_incident
from paas.testing.fake_messengers import FakeMessengers
from tests.flow.over_fakes import EPOCH

HOOK = "https://hooks.example.com/T0SECRET"


@pytest.fixture
def messengers(desk):
    desk.flow.rt = replace(desk.flow.rt, messengers=FakeMessengers())
    return desk.flow.rt.messengers


def address(desk, name="ops"):
    return desk.flow.rt.store.channel(name).address


def test_the_url_as_a_word_or_on_standard_input_and_a_secret_after_it(desk):
    desk.ok(f"notify:add ops slack {HOOK}")
    desk.ok("notify:add dev webhook --url-stdin --secret-stdin", stdin=f"\n{HOOK}\n  key1 \n".encode())
    desk.ok(f"notify:add phone ntfy {HOOK} --secret-stdin", stdin=b"tk_1\n")
    assert address(desk).url.reveal() == HOOK
    assert (address(desk, "dev").url.reveal(), address(desk, "dev").secret.reveal()) == (HOOK, "key1")
    assert address(desk, "phone").secret.reveal() == "tk_1"
    shown = desk.ok("notify:list").all + desk.ok("notify:info dev").all + desk.ok("events").all
    assert "hooks.example.com" in shown
    assert "T0SECRET" not in shown
    assert "key1" not in shown
    assert [one.detail["channel"] for one in desk.events("notify:add")] == ["phone", "dev", "ops"]


def test_an_email_has_its_server(desk):
    desk.ok("notify:add mail email anna@example.com --smtp-host smtp.example.com --smtp-user anna@example.com "
            "--smtp-tls tls --secret-stdin", stdin=b"geheim\n")
    found = address(desk, "mail")
    assert (found.host, found.port, found.tls, found.user, found.sender) == (
        "smtp.example.com", 465, "tls", "anna@example.com", "anna@example.com")
    assert desk.ok("notify:list --format json").json[0]["host"] == "anna@example.com by smtp.example.com:465"


@pytest.mark.parametrize(("line", "stdin", "code"), [
    ("ops webhook", b"", 2), (f"ops webhook {HOOK} --url-stdin", HOOK.encode(), 2), (f"ops fax {HOOK}", b"", 2),
    ("ops webhook --url-stdin", b"", 3), ("ops webhook --url-stdin --secret-stdin", HOOK.encode(), 3),
    (f"Ops webhook {HOOK}", b"", 3), ("ops slack http://hooks.example.com/x", b"", 3),
    ("ops email anna@example.com", b"", 3), (f"ops webhook {HOOK} --kinds weather", b"", 3),
    (f"ops webhook {HOOK} --apps nobody", b"", 20)])
def test_what_is_refused_is_not_repeated(desk, line, stdin, code):
    said = desk.run(f"notify:add {line}", stdin)
    assert (said.code, desk.flow.rt.store.channels()) == (code, [])
    assert "T0SECRET" not in said.all


def test_a_name_is_taken_once(desk):
    desk.ok(f"notify:add ops slack {HOOK}")
    assert desk.run(f"notify:add ops slack {HOOK}").code == 4
    assert desk.run("notify:info nobody").code == 20


def test_a_test_prints_the_answer_or_fails(desk, messengers):
    desk.ok(f"notify:add ops slack {HOOK}")
    assert desk.ok("notify:test ops").text == "200 ok\n"
    messengers.down.add(HOOK)
    said = desk.run("notify:test ops")
    assert (said.code, "connection refused" in said.stderr) == (1, True)


def test_filters_are_set_and_taken_away(desk):
    desk.ok(f"notify:add ops slack {HOOK} --kinds app-down,disk --apps hello")
    found = desk.ok("notify:info ops --format json").json
    assert (found["kinds"], found["apps"]) == (["app-down", "disk"], ["hello"])
    assert desk.ok(["notify:set", "ops", "--apps", ""]).text == "ops is told of app-down, disk.\n"
    assert desk.ok(["notify:set", "ops", "--kinds", ""]).text == "ops is told of all kinds.\n"


def test_incidents_open_and_over(desk):
    rt = desk.flow.rt
    open_incident(rt, Kind.APP_DOWN, "hello", "hello is down", "paas logs hello")
    open_incident(rt, Kind.DISK, "disk of the state", "it is full")
    close_incident(rt, Kind.APP_DOWN, "hello", "it answers again")
    assert [one["kind"] for one in desk.ok("incidents --format json").json] == ["disk", "app-down"]
    (one,) = desk.ok("incidents --open --format json").json
    assert (one["object"], one["closed_at"]) == ("disk of the state", None)
    assert "paas incidents --open" in desk.ok(f"notify:add ops slack {HOOK}").text


def test_a_heartbeat(desk, messengers):
    assert desk.ok("heartbeat --format json").json["state"] == "off"
    desk.ok("heartbeat:set --url-stdin --every 5m", stdin=f"{HOOK}\n".encode())
    assert desk.ok("heartbeat --format json").json == {
        "state": "not sent yet", "host": "hooks.example.com", "every": 300, "last_sent": None, "error": ""}
    assert [desk.run(words).code for words in ("heartbeat:set", f"heartbeat:set {HOOK} --every 1s",
                                               f"heartbeat:set {HOOK} --url-stdin")] == [2, 3, 2]
    assert desk.ok("heartbeat:unset").text != desk.ok("heartbeat:unset").text
    assert "T0SECRET" not in str(desk.events("heartbeat:set"))


def test_uptime_of_one_app_and_of_all_that_one_sees(desk):
    rt, app = desk.flow.rt, desk.flow.app()
    other, slot = desk.flow.app("other"), uptime.slot_now(rt)
    made = Checks(app.id, slot)
    for number in range(3000):
        made = made.with_check(None if number == 0 else 0.03)
    rt.store.add_uptime([made, Checks(other.id, slot, 10, 5)])
    rows = desk.ok("uptime hello --format json").json
    assert [one["span"] for one in rows] == ["day", "week", "month"]
    assert (rows[0]["checks"], rows[0]["failures"], rows[0]["availability"]) == (3000, 1, 99.966)   # not rounded up
    assert 25 <= rows[0]["p50_ms"] <= 50
    assert [(one["app"], one["day"]) for one in desk.ok("uptime --format json").json] == [
        ("hello", 99.966), ("other", 50.0)]
    reads = Grant(1, "ann", Role.READ, other.id, None, EPOCH, "root")
    desk.actor = Actor("ann", 2, "192.0.2.1", "ann", grants=(reads,))
    assert [one["app"] for one in desk.ok("uptime --format json").json] == ["other"]
    assert desk.run("uptime hello").code == 20
    assert desk.run("uptime:set other interval 30").code == 6


def test_uptime_settings(desk):
    desk.ok("uptime:set hello path /healthz")
    desk.ok("uptime:set hello interval 30")
    found = {one["key"]: one["value"] for one in desk.ok("uptime:settings hello --format json").json}
    assert (found["path"], found["interval"], found["timeout"]) == ("/healthz", "30", "5")
    assert [desk.run(f"uptime:set hello {words}").code for words in ("interval 0", "path healthz", "status 600",
                                                                   "timeout 61")] == [3, 3, 3, 3]
