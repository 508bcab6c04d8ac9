"""Log drains over fakes of the engine, to real receivers: forms, order, outages, restarts."""

import json
import ssl
import threading
import time
from dataclasses import replace

import pytest

from paas.adapters.log_sinks import Sinks
from paas.errors import BadInput, PaasError
from paas.model.drain import Drain, DrainLine, Format, checked_headers, checked_url, shown
from paas.ops import drain_forward, drains
from paas.ops.drain_forward import Forwarder, Forwarders, Waiting
from paas.secret import Secret
from tests.contract.pems import self_signed
from tests.fixtures import log_servers
from tests.flow.over_fakes import ALICE, EPOCH


@pytest.fixture
def served(flow, monkeypatch):
    """hello web.1 prints; whatever is forwarded ends with the test."""
    monkeypatch.setattr(drain_forward, "LINGER_SECONDS", 0.02)
    flow.deploy()
    yield flow
    flow.rt.drains.end()
    wait(lambda: not [one for one in threading.enumerate() if one.name.startswith("drain-")])


def wait(true, what="it comes"):
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.01)


def say(flow, *texts, stream="stdout"):
    for row in flow.rt.store.instances(1):
        for text in texts:
            flow.containers.say(row.container_id, text, stream)


def drained(flow, url, app="hello", **given):
    made = drains.add(flow.rt, ALICE, flow.app(app) if app else None, url, **given)
    flow.rt.drains.supervise(flow.rt)
    return made


def state(flow, made):
    return next(one for one in drains.listed(flow.rt) if one.id == made.id)


# --- forms -----------------------------------------------------------------------------------------------------------


def test_syslog_over_udp(served):
    with log_servers.udp() as there:
        drained(served, f"syslog+udp://127.0.0.1:{there.port}")
        say(served, "hello world")
        say(served, "oh no", stream="stderr")
        wait(lambda: "oh no" in there)
    first, second = there.got[-2:]
    assert first.startswith(b"<14>1 2026-01-01T00:00:")
    assert first.split(b" ", 3)[3].startswith(b"hello web.1 - - ")
    assert first.endswith(b" hello world")
    assert second.startswith(b"<11>1 ")


def test_syslog_over_tcp_and_after_the_receiver_was_away(served):
    with log_servers.tcp() as there:
        made = drained(served, f"syslog+tcp://127.0.0.1:{there.port}")
        say(served, "one", "two")
        wait(lambda: "two" in there)
    assert there.got[-1].endswith(b"hello web.1 - - two")
    say(served, "three")
    wait(lambda: state(served, made).state == "failing")
    assert state(served, made).to == f"syslog+tcp://127.0.0.1:{there.port}"
    with log_servers.tcp(there.port) as back:
        say(served, "four")
        wait(lambda: "four" in back)
        assert "three" in back
        wait(lambda: state(served, made).state == "ok")


def test_syslog_over_tls_needs_a_certificate_that_is_trusted(served, tmp_path, monkeypatch):
    certificate, key = self_signed("localhost")
    (tmp_path / "both.pem").write_text(certificate + key.reveal())
    (tmp_path / "ca.pem").write_text(certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "both.pem")
    with log_servers.tcp(tls=tls) as there:
        made = drained(served, f"syslog+tls://localhost:{there.port}")
        say(served, "one")
        wait(lambda: "not trusted" in state(served, made).error)
        assert there.got == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        wait(lambda: "one" in there)


def test_json_lines_with_headers(served):
    with log_servers.http_server() as there:
        drained(served, f"http://127.0.0.1:{there.port}/in?source=paas",
                headers="Authorization: Bearer abc\nX-Org: 7\n")
        say(served, "naïve \x1b[31m")
        wait(lambda: there.objects)
    found = there.objects[-1]
    assert {key: found[key] for key in ("app", "process", "instance", "stream", "message")} == {
        "app": "hello", "process": "web", "instance": "web.1", "stream": "stdout", "message": "naïve \x1b[31m"}
    assert found["timestamp"].startswith("2026-01-01T")
    sent = there.headers[0]
    assert (sent["Authorization"], sent["X-Org"], sent["path"]) == ("Bearer abc", "7", "/in?source=paas")
    assert sent["Content-Type"] == "application/x-ndjson"


def test_loki(served):
    with log_servers.http_server() as there:
        drained(served, f"http://127.0.0.1:{there.port}/loki/api/v1/push", app=None, format="loki")
        say(served, "one")
        wait(lambda: there.got)
    (stream,) = json.loads(there.got[-1])["streams"]
    assert stream["stream"].items() >= {"job": "paas", "app": "hello", "process": "web", "stream": "stdout"}.items()
    (stamp, text) = stream["values"][0]
    assert text == "one"
    assert len(stamp) == len("1767225600000000000")


# --- what is read ----------------------------------------------------------------------------------------------------


def test_only_what_came_after_the_drain_and_of_every_later_release(served):
    say(served, "before")
    served.clock.passed = 3600
    with log_servers.http_server() as there:
        made = drains.add(served.rt, ALICE, served.app(), f"http://127.0.0.1:{there.port}/")
        early = replace(made, created_at=EPOCH)
        assert made.created_at > early.created_at
        served.rt.drains.supervise(served.rt)
        served.containers._ticks = iter(range(4000, 100_000))
        say(served, "after")
        wait(lambda: "after" in there)
        served.deploy("two")
        served.rt.drains.supervise(served.rt)
        say(served, "of the second")
        wait(lambda: "of the second" in there)
    assert [one["message"] for one in there.objects] == ["after", "of the second"]


def test_an_app_of_its_own_and_all_apps(served):
    served.deploy(app="other")
    with log_servers.http_server() as own, log_servers.http_server() as all_apps:
        drained(served, f"http://127.0.0.1:{own.port}/")
        drained(served, f"http://127.0.0.1:{all_apps.port}/", app=None)
        served.containers.say(served.rt.store.instances(2)[0].container_id, "from the other")
        say(served, "from hello")
        wait(lambda: "from the other" in all_apps and "from hello" in all_apps and "from hello" in own)
        assert "from the other" not in own


def test_a_drain_that_was_removed_gets_nothing_more(served):
    with log_servers.http_server() as there:
        made = drained(served, f"http://127.0.0.1:{there.port}/")
        say(served, "one")
        wait(lambda: "one" in there)
        drains.remove(served.rt, made.id)
        served.rt.drains.supervise(served.rt)
        wait(lambda: not [one for one in threading.enumerate() if one.name.startswith("drain-")])
        say(served, "two")
        assert "two" not in there


# --- outages ---------------------------------------------------------------------------------------------------------


def test_nothing_is_lost_over_a_restart_of_the_daemon(served):
    with log_servers.http_server() as there:
        made = drained(served, f"http://127.0.0.1:{there.port}/")
        say(served, "one")
        wait(lambda: "one" in there)
        served.rt.drains.end()
        assert served.rt.store.drain_positions(made.id)
        say(served, "while it was away")
        again = replace(served, rt=replace(served.rt, drains=Forwarders()))
        again.rt.drains.supervise(again.rt)
        wait(lambda: "while it was away" in there)
        again.rt.drains.end()
    said = [one["message"] for one in there.objects]
    assert sorted(set(said)) == ["one", "while it was away"]
    assert len(said) <= 3                # the line where it was cut may come twice


def test_containers_that_are_gone_are_not_remembered(served, monkeypatch):
    monkeypatch.setattr(drain_forward, "SAVE_SECONDS", 0.01)
    store = served.rt.store
    with log_servers.udp() as there:
        made = drains.add(served.rt, ALICE, None, f"syslog+udp://127.0.0.1:{there.port}")
        store.put_drain_positions(made.id, {"long gone": EPOCH})
        served.rt.drains.supervise(served.rt)
        say(served, "one")
        wait(lambda: list(store.drain_positions(made.id)) == [store.instances(1)[0].container_id])


def test_all_are_told_to_stop_before_one_is_waited_for(served, monkeypatch):
    """A receiver that does not answer is waited for at the daemon's end, but not one after the other."""
    with log_servers.udp() as there:
        for port in (there.port, 9):
            drained(served, f"syslog+udp://127.0.0.1:{port}")
    all_of, told = list(served.rt.drains._all.values()), []
    end = Forwarder.end

    def noted(one, seconds):
        told.append([each.stop.is_set() for each in all_of])
        end(one, seconds)

    monkeypatch.setattr(Forwarder, "end", noted)
    served.rt.drains.end()
    assert told == [[True, True]] * 2


def test_a_drain_that_is_down_drops_the_oldest_and_says_how_many(served, monkeypatch):
    monkeypatch.setattr(drain_forward, "QUEUE_BYTES", 3000)
    monkeypatch.setattr(Waiting.__init__, "__defaults__", (3000,))
    monkeypatch.setattr(drain_forward, "MOST_PAUSE", 0.2)
    with log_servers.http_server() as there:
        there.status, there.answer = 503, b"no \x1b room"
        made = drained(served, f"http://127.0.0.1:{there.port}/")
        say(served, "first")
        wait(lambda: state(served, made).state == "failing")
        assert state(served, made).error == "the drain answered with status 503: no \\x1b room"
        say(served, *(f"line {number}" for number in range(100)))
        wait(lambda: state(served, made).dropped)
        wait(lambda: state(served, made).dropped + state(served, made).waiting == 100)
        dropped = state(served, made).dropped
        there.status = 200
        wait(lambda: "line 99" in there)
    said = [one["message"] for one in there.objects]
    assert said[0] == "first"
    assert said[1] == f"paas: {dropped} lines were dropped here: the drain did not take them in time"
    assert said[2:] == [f"line {number}" for number in range(dropped, 100)]


def test_a_batch_that_will_never_be_taken_does_not_hold_up_the_next(served):
    with log_servers.http_server() as there:
        there.status, there.answer = 400, b"entry too far behind"
        made = drained(served, f"http://127.0.0.1:{there.port}/")
        say(served, "too old")
        wait(lambda: state(served, made).dropped == 1)
        there.status = 200
        say(served, "new")
        wait(lambda: "new" in there)
        assert "too old" not in there


def test_doctor_names_a_drain_that_fails_for_a_minute(served):
    from paas.ops import doctor

    made = drained(served, "http://127.0.0.1:9/")
    say(served, "one")
    wait(lambda: state(served, made).state == "failing")
    assert "drain-failing" not in {one.id for one in doctor.examine(served.rt)}
    served.clock.passed += 120
    (found,) = [one for one in doctor.examine(served.rt) if one.id == "drain-failing"]
    assert found.object == f"drain {made.id}"


# --- the queue -------------------------------------------------------------------------------------------------------


def line(text):
    return DrainLine(EPOCH, "hello", "web.1", "stdout", text, "c1")


def test_a_batch_is_bounded_and_in_order():
    waiting = Waiting()
    for number in range(1200):
        waiting.put(line(str(number).encode()))
    sizes = [len(batch) for batch in iter(lambda: waiting.take(0), [])]
    assert sizes == [500, 500, 200]
    for _ in range(5):
        waiting.put(line(b"x" * 200_000))
    assert len(waiting.take(0)) == 3


def test_one_line_larger_than_the_queue_is_kept():
    waiting = Waiting(100)
    waiting.put(line(b"x" * 1000))
    waiting.put(line(b"y" * 1000))
    assert [one.text[:5] for one in waiting.take(0)] == [b"paas:", b"yyyyy"]
    assert waiting.dropped == 1


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [
    "", "logs.example", "ftp://x/", "syslog://x", "syslog+udp://", "syslog+tcp://x/path", "syslog+tcp://x:99999",
    "https://user:pw@x/", "https://x/ y", "https://x/#f", "syslog+udp://x:0", "cloudwatch://x/y",
    "cloudwatch://eu-west-1/", "cloudwatch://eu-west-1/a b", "https://x/" + "y" * 2000, "https://é/", "javascript:x"])
def test_urls_that_are_none(bad):
    with pytest.raises(BadInput):
        checked_url(bad)


@pytest.mark.parametrize("bad", ["", "x", "A: b\nc", "A b: c", "A: b\x00", "Host: x", "content-length: 1",
                                 "\n".join(f"A{n}: x" for n in range(11))])
def test_headers_that_are_none(bad):
    with pytest.raises(BadInput):
        checked_headers(bad)


def test_what_is_shown_of_a_url():
    assert shown("https://in.example:8443/v1/0123456789abcdef?token=x") == "https://in.example:8443/v1/0123…?…"
    assert shown("cloudwatch://eu-west-1/a-rather-long-group") == "cloudwatch://eu-west-1/a-rather-long-group"


def test_a_format_or_headers_of_syslog(flow):
    for given in ({"format": "loki"}, {"headers": "A: b"}):
        with pytest.raises(BadInput):
            drains.add(flow.rt, ALICE, None, "syslog+udp://x", **given)


def test_one_drain_to_cloudwatch_for_a_container(flow):
    app = flow.app()
    drains.add(flow.rt, ALICE, None, "cloudwatch://eu-west-1/all")
    assert drains.cloudwatch(flow.rt, app.id) == "eu-west-1 all"
    drains.add(flow.rt, ALICE, app, "cloudwatch://us-east-2/own")
    assert drains.cloudwatch(flow.rt, app.id) == "us-east-2 own"
    with pytest.raises(PaasError, match="already"):
        drains.add(flow.rt, ALICE, app, "cloudwatch://us-east-2/two")
    flow.deploy()
    label = flow.containers.list({"paas.app": "1"})[0].labels["paas.cloudwatch"]
    assert label == "us-east-2 own hello/web.1/1"


def test_udp_cuts_a_long_line():
    with log_servers.udp() as there:
        sink = Sinks().open(Drain(1, None, Secret(f"syslog+udp://127.0.0.1:{there.port}"), Format.JSON, {}, EPOCH, ""),
                            "box")
        sink.send([line(b"x" * 20_000)])
        wait(lambda: there.got)
        assert len(there.got[0]) == 8192
