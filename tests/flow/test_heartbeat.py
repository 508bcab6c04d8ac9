"""A sign of life to the outside: only while all that apps need answers."""

from dataclasses import replace

import pytest

from paas.errors import BadInput, EngineError
from paas.ops import doctor, heartbeat
from paas.testing.fake_messengers import FakeMessengers

URL = "https://hc.example.com:8443/ping/0b0d3c50"


@pytest.fixture
def beating(flow):
    flow.rt = replace(flow.rt, messengers=FakeMessengers())
    heartbeat.configure(flow.rt, URL, "60s")
    return flow


def pass_seconds(flow, seconds):
    for _ in range(seconds):
        heartbeat.tick(flow.rt)
        flow.clock.passed += 1


def pings(flow):
    return len(flow.rt.messengers.pings)


def problems(flow):
    return [one.id for one in doctor.examine(flow.rt) if one.id == "heartbeat-failing"]


def test_at_once_and_then_every_minute(beating):
    pass_seconds(beating, 1)
    assert pings(beating) == 1
    pass_seconds(beating, 600)
    assert pings(beating) == 11
    assert set(beating.rt.messengers.pings) == {URL}
    assert problems(beating) == []


@pytest.mark.parametrize("fault", ["proxy", "engine"])
def test_not_while_what_apps_need_is_down(beating, fault):
    pass_seconds(beating, 1)
    beating.router.up = fault != "proxy"
    for nth in range(1, 20):
        if fault == "engine":
            beating.faults.fail_on("containers.version", nth, EngineError("Docker does not answer"))
    pass_seconds(beating, 120)
    assert pings(beating) == 1
    assert heartbeat.report(beating.rt)["state"] == "failing"
    beating.router.up = True
    beating.faults.clear()
    pass_seconds(beating, 16)                              # it is looked at more often meanwhile
    assert pings(beating) == 2


def test_a_watcher_that_does_not_answer_is_a_finding(beating):
    beating.rt.messengers.down.add(URL)
    pass_seconds(beating, 1)
    assert problems(beating) == ["heartbeat-failing"]
    found = heartbeat.report(beating.rt)
    assert (found["state"], found["host"], found["last_sent"]) == ("failing", "hc.example.com:8443", None)
    beating.rt.messengers.down.clear()
    pass_seconds(beating, 20)
    assert (pings(beating), problems(beating)) == (1, [])


def test_the_url_is_sealed_and_never_shown(beating):
    assert "0b0d3c50" not in str(heartbeat.report(beating.rt)) + str(beating.rt.store.settings())


def test_unset(beating):
    pass_seconds(beating, 1)
    assert heartbeat.unset(beating.rt)
    assert not heartbeat.unset(beating.rt)
    pass_seconds(beating, 120)
    assert pings(beating) == 1
    assert heartbeat.report(beating.rt) == {"state": "off", "host": "", "every": None, "last_sent":
                                            heartbeat.report(beating.rt)["last_sent"], "error": ""}


@pytest.mark.parametrize(("every", "seconds"), [("10s", 10), ("90", 90), ("5m", 300), ("24h", 86400)])
def test_how_often(flow, every, seconds):
    assert heartbeat.configure(flow.rt, URL, every) == seconds


@pytest.mark.parametrize(("url", "every"), [("ftp://x", "60s"), (URL, "9s"), (URL, "25h"), (URL, "1d"), (URL, ""),
                                            (URL, "-60s"), (URL, "60 s")])
def test_what_is_refused(flow, url, every):
    with pytest.raises(BadInput):
        heartbeat.configure(flow.rt, url, every)
    assert flow.rt.store.sealed_setting(heartbeat.URL) is None
