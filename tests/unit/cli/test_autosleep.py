"""ps:autosleep, ps:sleep, ps:wake, over the flow with fakes."""

import pytest

from paas.model import sleep as rules


def state(desk):
    return desk.ok("ps hello --format json").json[0]["state"]


def test_it_is_set_shown_and_turned_off(deployed):
    assert deployed.ok("ps:autosleep hello --after 15m").text == "hello: stored.\n"
    assert deployed.ok("ps:autosleep hello --after 900s").text == "Nothing changed.\n"
    shown = deployed.ok("ps:autosleep hello --format json").json
    assert (shown["after"], shown["asleep"], shown["kept_awake_by"]) == (900, False, "")
    assert "UptimeRobot" in shown["ignored_agents"]
    assert "/.env*" in shown["ignored_paths"]
    assert deployed.ok("ps:report hello --format json").json["sleeps_after"] == 900
    deployed.ok("ps:autosleep hello --off")
    assert deployed.ok("ps:autosleep hello --off").text == "Nothing changed.\n"
    assert deployed.ok("ps:report hello --format json").json["sleeps_after"] == 0


def test_it_sleeps_and_wakes_when_told(deployed):
    assert deployed.ok("ps:sleep hello").text == "hello sleeps.\n"
    assert deployed.ok("ps:sleep hello").text == "Nothing changed: it sleeps.\n"
    assert state(deployed) == "asleep"
    assert deployed.ok("apps:info hello --format json").json["state"] == "asleep"
    assert deployed.ok("status --format json").json["apps_asleep"] == 1
    report = deployed.ok("ps:report hello --format json").json
    assert (report["asleep"], report["running"], report["not_running"]) == (True, 0, ["web.1 (asleep)"])
    assert deployed.ok("ps:wake hello").text == "hello is awake.\n"
    assert deployed.ok("ps:wake hello").text == "Nothing changed: it is awake.\n"
    assert state(deployed) == "healthy"


def test_off_wakes_what_was_put_to_sleep_by_hand(deployed):
    deployed.ok("ps:sleep hello")
    assert deployed.ok("ps:autosleep hello --off").text == "hello: stored.\n"
    assert state(deployed) == "healthy"


def test_what_does_not_wake_it_is_chosen_and_goes_back(deployed):
    deployed.ok("ps:autosleep hello --ignore-paths '/a*,*.x' --ignore-agents none")
    shown = deployed.ok("ps:autosleep hello --format json").json
    assert (shown["ignored_paths"], shown["ignored_agents"], shown["after"]) == (["/a*", "*.x"], [], 0)
    deployed.ok("ps:autosleep hello --ignore-paths default --ignore-agents default")
    shown = deployed.ok("ps:autosleep hello --format json").json
    assert (shown["ignored_paths"], shown["ignored_agents"]) == (list(rules.SCANS), list(rules.PROBES))


@pytest.mark.parametrize(("line", "code"), [
    ("--after 9s", 3), ("--after 8d", 3), ("--after 0", 3), ("--after soon", 3), ("--after ''", 0),
    ("--after 1h --off", 2), ("--ignore-paths env", 3), ("--ignore-paths /*/*/*/*/*", 3), ("--ignore-agents ,", 3)])
def test_what_makes_no_sense_is_refused(deployed, line, code):
    assert deployed.run(f"ps:autosleep hello {line}").code == code
    assert deployed.ok("ps:autosleep hello --format json").json["after"] == 0


def test_an_app_that_cannot_sleep_says_why(desk):
    desk.ok("domains:clear hello")
    refused = desk.run("ps:autosleep hello --after 15m")
    assert (refused.code, "no domain" in refused.stderr) == (3, True)
    refused = desk.run("ps:sleep hello")
    assert (refused.code, "stays awake" in refused.stderr) == (3, True)


def test_one_that_has_never_been_deployed_may_sleep_later(desk):
    desk.ok("ps:autosleep hello --after 15m")
    assert desk.run("ps:sleep hello").code == 3
    desk.flow.deploy()
    desk.ok("ps:sleep hello")
