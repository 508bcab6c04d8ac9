"""What app.json's health checks make a push do, over fakes."""

from types import SimpleNamespace

import pytest

from paas.deploy import probes
from paas.deploy.work import Work
from paas.errors import CheckFailed, EngineError
from paas.model.release import Check, CheckKind, Process
from paas.ops import checks, config
from paas.ports import Answer, Listener
from paas.testing.fake_containers import Behaviour
from tests.flow.check_world import WORKER, Printed, Runs, asked, fails, passes, push
from tests.flow.over_fakes import ALICE

# Several checks


def test_every_check_of_a_process_type_must_pass(flow):
    flow.prober.pages[8080, "/db"] = Answer(503)
    said = fails(flow, {"path": "/up"}, {"name": "database", "path": "/db", "attempts": 1})
    assert "was not ready within 10 s: check 'database': GET /db answered 503" in said
    assert "/up" not in said


def test_a_check_that_has_passed_is_not_asked_again(flow):
    flow.prober.pages[8080, "/db"] = Answer(503)
    fails(flow, {"path": "/up"}, {"path": "/db"})
    assert asked(flow).count((8080, "/up")) == 1
    assert asked(flow).count((8080, "/db")) > 10


def test_each_failing_check_is_told_by_its_name(flow):
    flow.prober.default = Answer(500)
    said = fails(flow, {"name": "one", "path": "/1"}, {"path": "/2"})
    assert "check 'one': GET /1 answered 500; check 'GET /2': GET /2 answered 500" in said


def test_a_single_check_without_a_name_is_told_by_what_it_saw(flow):
    flow.prober.default = Answer(500)
    assert fails(flow, {"path": "/1"}).endswith("was not ready within 30 s: GET /1 answered 500")
    flow.lines.clear()
    assert "check 'one': GET /1 answered 500" in fails(flow, {"path": "/1", "name": "one"})


def test_each_check_has_its_own_time(flow):
    flow.prober.default = Answer(500)
    said = fails(flow, {"name": "long", "path": "/1", "attempts": 100},
                 {"name": "short", "path": "/2", "attempts": 1, "timeout": 2, "wait": 1})
    assert "within 3 s: check 'short'" in said
    assert "long" not in said


def test_an_instance_that_exits_fails_at_once_whatever_its_checks(flow):
    flow.containers.behave("paas.release=1", Behaviour(exits=4, looks=6))
    assert push(flow, {"command": "true", "initialDelay": 1000}, {"uptime": 2000}) == CheckFailed.exit_code
    assert "exited with exit code 4" in flow.lines.text
    assert flow.clock.passed < 100


# Requests


def test_path_port_headers_and_host_of_an_entry_are_asked(flow):
    headers = [{"name": "X-Forwarded-Proto", "value": "https"}, {"name": "Host", "value": "inner"}]
    passes(flow, {"path": "/up", "port": 9100, "httpHeaders": headers})
    assert (asked(flow), flow.prober.sent[0]) == (
        [(9100, "/up")], ({"X-Forwarded-Proto": "https", "Host": "inner"}, None))


def test_the_body_must_hold_the_content_and_a_megabyte_of_it_is_read(flow):
    flow.prober.default = Answer(200, body="…warming up".encode())
    said = fails(flow, {"path": "/up", "content": "réady"})
    assert "GET /up answered 200 without the text 'réady'" in said
    flow.prober.default = Answer(200, body=b"x" * 500_000 + "réady".encode())
    passes(flow, {"path": "/up", "content": "réady"})
    assert flow.prober.sent[-1][1] == 1024**2


def test_content_does_not_make_up_for_the_status(flow):
    flow.prober.default = Answer(500, body=b"ready")
    assert "answered 500" in fails(flow, {"path": "/up", "content": "ready"})


# HTTPS


def test_https_is_asked_on_a_port_beside_that_of_the_site(flow):
    flow.prober.secure.add(8443)
    passes(flow, {"path": "/up", "scheme": "https", "port": 8443})
    assert asked(flow) == [(8443, "/up")]
    assert "HTTPS" not in flow.lines.text


def test_a_check_over_https_fails_where_no_tls_is_spoken_and_says_so(flow):
    assert "GET /up over HTTPS: no TLS is spoken there" in fails(flow, {"path": "/up", "scheme": "https"})


def test_a_check_over_plain_http_fails_where_tls_is_spoken(flow):
    flow.prober.secure.add(8443)
    assert "GET /up: not an HTTP answer" in fails(flow, {"path": "/up", "port": 8443})


def test_https_only_on_the_port_of_the_site_is_warned_of_once(flow):
    flow.prober.secure.add(8080)
    passes(flow, {"path": "/up", "scheme": "https"}, {"path": "/too", "scheme": "https"}, {"uptime": 1})
    assert flow.lines.text.count(
        "web.1 passes 'GET /up over HTTPS' on port 8080 over HTTPS only, but the proxy asks there by plain HTTP") == 1
    assert asked(flow) == [(8080, "/up"), (8080, "/too"), (8080, "/up")]


def test_a_site_that_answers_both_is_not_warned_of(flow):
    get = flow.prober.get
    flow.prober.get = lambda *words: get(*words[:7], False)
    passes(flow, {"path": "/up", "scheme": "https"})
    assert asked(flow) == [(8080, "/up")] * 2
    assert "HTTPS only" not in flow.lines.text


# Ports


def test_listening_asks_for_an_open_port_and_nothing_there(flow):
    flow.containers.behave("paas.release=1", Behaviour(listens=[Listener("0.0.0.0", 8080), Listener("::", 9000)]))
    passes(flow, {"listening": True}, {"listening": True, "port": 9000})
    assert flow.prober.asked == []


@pytest.mark.parametrize(("second", "words"), [
    ([], "nothing listens on port 9000"), ([Listener("127.0.0.1", 9000)], "only 127.0.0.1 listens on port 9000")])
def test_a_port_that_is_not_open_fails(flow, second, words):
    flow.containers.behave("paas.release=1", Behaviour(listens=[Listener("0.0.0.0", 8080), *second]))
    assert f"check 'metrics': {words}" in fails(flow, {"name": "metrics", "listening": True, "port": 9000})


# Other process types


def test_a_worker_is_asked_where_its_entry_says(flow):
    flow.rt.store.set_scale(flow.app().id, {"worker": 1})
    flow.prober.pages[9100, "/live"] = Answer(500)
    worker = [{"path": "/live", "port": 9100, "attempts": 1}]
    assert "worker.1 was not ready within 10 s: GET /live answered 500" in fails(flow, worker=worker, files=WORKER)
    flow.prober.pages.clear()
    passes(flow, worker=worker, files=WORKER)


def test_a_worker_is_asked_where_web_would_listen_if_its_entry_does_not_say(flow):
    flow.rt.store.set_scale(flow.app().id, {"worker": 1})
    passes(flow, {"uptime": 1}, worker=[{"path": "/live"}], files=WORKER)
    assert asked(flow) == [(8080, "/live")]


def test_a_worker_that_an_older_release_checks_like_web_must_stay_up(flow):
    worker = SimpleNamespace(clock=flow.clock, process=Process("worker"), elapsed=lambda: 3)
    assert probes.Probe(worker, Check(CheckKind.LISTEN)).passes(0)
    assert not probes.Probe(worker, Check(CheckKind.LISTEN, uptime=4)).passes(0)


def test_a_worker_whose_entry_says_nothing_must_stay_up(flow):
    flow.rt.store.set_scale(flow.app().id, {"worker": 1})
    flow.prober.default = Answer(500)
    passes(flow, {"uptime": 1}, worker=[{"name": "alive"}], files=WORKER)
    assert flow.prober.asked == []


# Time


def test_uptime_is_waited_for_longer_than_any_attempts(flow):
    passes(flow, {"uptime": 500})
    assert 500 <= flow.clock.passed < 560


def test_the_initial_delay_passes_before_the_first_attempt(flow):
    passes(flow, {"path": "/up", "initialDelay": 50})
    assert flow.clock.passed >= 50
    assert len(flow.prober.asked) == 1


def test_there_is_one_attempt_however_short_the_time_is_set(flow):
    """checks:set timeout is under app.json's initialDelay."""
    flow.rt.store.set_app_setting(flow.app().id, "checks.timeout", "1")
    passes(flow, {"path": "/up", "initialDelay": 50})


def test_the_port_may_open_as_late_as_the_first_attempt(flow):
    flow.rt.store.set_app_setting(flow.app().id, "checks.timeout", "1")
    flow.containers.behave("paas.release=1", Behaviour(looks=400))
    passes(flow, {"path": "/up", "initialDelay": 50})


# Warnings


def test_a_check_that_warns_does_not_fail_the_push(flow):
    flow.prober.pages[8080, "/cache"] = Answer(503)
    passes(flow, {"path": "/up"}, {"name": "cache", "path": "/cache", "warn": True})
    assert "web.1 goes on without the check 'cache': GET /cache answered 503" in flow.lines.text
    assert "was not ready" not in flow.lines.text


def test_a_check_that_warns_and_passes_says_nothing(flow):
    passes(flow, {"name": "cache", "path": "/cache", "warn": True})
    assert "goes on without" not in flow.lines.text


def test_a_web_instance_without_a_port_fails_even_if_all_checks_warn(flow):
    flow.containers.behave("paas.release=1", Behaviour(listens=[]))
    assert "nothing listens on port 8080" in fails(flow, {"path": "/", "warn": True})


# Commands


COMMAND = {"command": ["./ready", "--now"], "attempts": 2, "timeout": 3, "wait": 4}      # 14 s


def test_a_command_is_run_in_the_instance_until_it_ends_with_0(flow):
    runs = Runs(flow, 1, 1, 0)
    passes(flow, COMMAND)
    assert [command for _, command in runs.began] == [("./ready", "--now")] * 3
    assert runs.open == set()


def test_a_command_runs_again_after_a_second_at_most(flow):
    runs = Runs(flow, 1)
    fails(flow, COMMAND)
    times = [time for time, _ in runs.began]
    assert min(later - earlier for earlier, later in zip(times, times[1:], strict=False)) >= 1
    assert 10 <= len(times) <= 15
    runs = Runs(flow, 1)
    fails(flow, {**COMMAND, "wait": 0.3, "attempts": 1})
    assert len(runs.began) >= 5


def test_a_failing_command_is_told_with_its_output(flow):
    Runs(flow, 7, says=b"no table users\n\xff\n")
    said = fails(flow, {**COMMAND, "name": "schema"})
    assert "within 14 s: check 'schema': the command './ready --now' exited with exit code 7" in said
    shown = [line.strip() for line in flow.lines]
    at = shown.index("=====> Output of the check 'schema' in web.1")
    assert shown[at + 1:at + 3] == ["no table users", "\ufffd"]


def test_long_output_is_cut_to_its_end(flow):
    Runs(flow, 7, says=b"x\n" * 100_000 + b"last\n")
    fails(flow, COMMAND)
    shown = [line.strip() for line in flow.lines]
    at = shown.index("=====> Output of the check './ready --now' in web.1")
    assert shown[at + 1:at + 31] == ["x"] * 29 + ["last"]


def test_a_command_that_hangs_fails_and_no_more_of_them_are_started_than_attempts(flow):
    runs = Runs(flow, None)
    said = fails(flow, COMMAND)
    assert "the command './ready --now' was not over within 3 s" in said
    assert len(runs.began) == 2
    assert runs.open == set()


def test_a_hanging_command_does_not_hold_up_a_cancelled_push(flow, monkeypatch):
    Runs(flow, None)
    original = Work.stop_if_cancelled

    def cancel_after_a_while(work):
        if flow.clock.passed > 20:
            work.job.cancel()
        original(work)

    monkeypatch.setattr(Work, "stop_if_cancelled", cancel_after_a_while)
    assert push(flow, {**COMMAND, "timeout": 3000, "attempts": 1}) != 0
    assert "the deploy was cancelled" in flow.lines.text
    assert flow.clock.passed < 100


def test_a_command_that_cannot_be_run_is_told(flow):
    for nth in range(1, 100):
        flow.faults.fail_on("containers.exec", nth, EngineError("there is no program ./ready"))
    said = fails(flow, COMMAND)
    assert "the command './ready --now' did not run: there is no program ./ready" in said


def test_a_command_has_no_longer_than_the_whole_check(flow):
    flow.rt.store.set_app_setting(flow.app().id, "checks.timeout", "2")
    Runs(flow, None)
    assert "was not over within 2 s" in fails(flow, {**COMMAND, "timeout": 1000})


def test_a_command_that_ends_the_instance_is_told_as_its_end(flow):
    """Also when its time is over by then."""
    flow.rt.store.set_app_setting(flow.app().id, "checks.timeout", "1")
    runs = Runs(flow, None)

    def end(container_id, command, tty, environment):
        flow.containers.crash(container_id, 9)
        return Runs.exec(runs, container_id, command, tty, environment)

    runs.exec = end
    assert push(flow, COMMAND) == CheckFailed.exit_code
    assert "exited with exit code 9" in flow.lines.text
    assert "was not ready" not in flow.lines.text


def test_output_that_never_ends_does_not_hold_up_a_command_that_has(flow, monkeypatch):
    """A child in the background that keeps the pipe."""
    monkeypatch.setattr(probes, "LINGER", 0.05)
    runs = Runs(flow, 0, says=b"started\n")
    monkeypatch.setattr(Printed, "frames", lambda self: iter(lambda: self.closed.wait(30) and None, None))
    passes(flow, COMMAND)
    assert runs.open == set()


# Settings, and what is kept


def test_checks_set_goes_over_app_json(flow):
    for key, value in (("path", "/set"), ("host", "set.example")):
        flow.rt.store.set_app_setting(flow.app().id, f"checks.{key}", value)
    passes(flow, {"listening": True}, {"path": "/app-json", "httpHeaders": [{"name": "Host", "value": "x"}]})
    assert [(path, host) for _, _, path, host in flow.prober.asked] == [("/set", "set.example")]
    assert flow.prober.sent == [({}, None)]


def test_checks_disabled_runs_none_of_them(flow):
    flow.rt.store.set_app_setting(flow.app().id, "checks.enabled", "false")
    flow.prober.default = Answer(500)
    runs = Runs(flow, 1)
    passes(flow, {"path": "/up"}, {"command": "false"}, {"listening": True, "port": 1})
    assert (flow.prober.asked, runs.began) == ([], [])
    assert flow.rt.store.live_release(flow.app().id).timings["check"] < 1


def test_checks_disabled_leaves_the_time_to_listen(flow):
    for key, value in (("enabled", "false"), ("timeout", "7")):
        flow.rt.store.set_app_setting(flow.app().id, f"checks.{key}", value)
    flow.containers.behave("paas.release=1", Behaviour(listens=[]))
    assert "within 7 s: nothing listens on port 8080" in fails(flow, {"path": "/up"}, {"command": "true"})


def test_the_checks_of_a_release_are_kept_and_asked_again_when_its_config_changes(flow):
    entries = ({"name": "up", "path": "/up", "httpHeaders": [{"name": "A", "value": "1"}], "content": ""},
               {"command": ["true"], "warn": True}, {"listening": True})
    passes(flow, *entries)
    (first,) = flow.rt.store.live_release(flow.app().id).formation
    assert len(first.check.all) == 3
    flow.prober.asked.clear()
    config.set_vars(flow.rt, flow.app(), ALICE, {"A": "1"}, restart=True, say=flow.lines.append)
    flow.settle()
    (second,) = flow.rt.store.live_release(flow.app().id).formation
    assert (second.check, second.declared) == (first.check, first.declared)
    assert asked(flow) == [(8080, "/up")]


def test_the_report_has_a_row_for_each_check(flow):
    passes(flow, {"name": "up", "path": "/up", "port": 81, "warn": True}, {"command": ["true"], "timeout": 4})
    rows = [dict(zip(checks.COLUMNS, row, strict=True)) for row in checks.effective(flow.rt, flow.app())]
    assert [(row["process"], row["check"], row["kind"], row["port"], row["warn"]) for row in rows] == [
        ("web", "up", "http", 81, True), ("web", "true", "command", None, False)]
    assert [(row["path"], row["attempt_timeout"]) for row in rows] == [("/up", 5), ("", 4)]
    assert [row["waiting"] for row in rows] == [False, False]
    flow.rt.store.set_app_setting(flow.app().id, "checks.timeout", "7")
    assert [row[-1] for row in checks.effective(flow.rt, flow.app())] == [True, True]


def test_a_bad_shape_refuses_the_push_before_any_build(flow):
    assert push(flow, {"path": "/", "httpHeaders": [{"name": "A", "value": "1\r\nB: 2"}]}) == 10
    assert "app.json: healthchecks.web[0]: the value of the header A" in flow.lines.text
    assert flow.images.requests == []


def test_what_is_not_run_is_named_in_the_push(flow):
    passes(flow, {"path": "/", "onFailure": {"url": "http://10.0.0.1/"}, "retries": 2},
           {"type": "liveness", "path": "/l"})
    no_request = "onFailure.url (the server sends no request to an address from a push)"
    for key in (f"[0].{no_request}", "[0].retries", "[1] (type liveness)"):
        assert f"app.json: 'healthchecks.web{key}' is not read by this version" in flow.lines.text
    assert asked(flow) == [(8080, "/")]
