"""What wakes an app that sleeps, and what does not; spans; the pause after failures."""

import pytest

from paas.errors import BadInput
from paas.model.sleep import (
    PHP_SCANS,
    PROBES,
    SCANS,
    Call,
    Rules,
    backoff,
    checked_paths,
    checked_seconds,
    checked_words,
    read_after,
    words,
)

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.mark.parametrize("path", [
    "/", "/index.html", "/?next=/.env", "/api/v1/users?path=/wp-login.php", "/environment", "/.well-known/security.txt",
    "/gitlab", "/wpa", "/blog/wp", "/robots.txt", "/favicon.ico", "/health", "/phpinfo"])
def test_a_visitor_wakes_it(path):
    assert Rules().judge()(path, BROWSER) is Call.WAKE


@pytest.mark.parametrize("path", [
    "/.env", "/.ENV", "/.env.production", "/.git/config", "/.aws/credentials", "/wp-login.php", "/wp-admin/setup.php",
    "/blog/wp-includes/wlwmanifest.xml", "/index.php?x=1", "/a/b/c.php", "/phpMyAdmin/index", "/cgi-bin/luci",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/actuator/health", "/backup.sql", "/shell.aspx"])
def test_a_scanner_does_not(path):
    assert Rules().judge()(path, BROWSER) is Call.SCAN


@pytest.mark.parametrize("path", ["/index.php", "/wp-login.php", "/blog/wp-admin/", "/xmlrpc.php"])
def test_what_an_app_in_php_is_asked_for(path):
    assert Rules(PROBES, SCANS).judge()(path, BROWSER) is Call.WAKE


@pytest.mark.parametrize("agent", [
    "kube-probe/1.29", "ELB-HealthChecker/2.0", "GoogleHC/1.0", "Mozilla/5.0+(compatible; UptimeRobot/2.0)",
    "Pingdom.com_bot_version_1.4", "Better Uptime Bot", "better stack", "paas-check"])
def test_a_probe_does_not(agent):
    assert Rules().judge()("/", agent) is Call.PROBE


def test_without_rules_only_the_platforms_own_requests_do_not():
    judge = Rules((), ()).judge()
    assert (judge("/.env", "UptimeRobot"), judge("/", "")) == (Call.WAKE, Call.WAKE)
    assert judge("/", "paas-check") is Call.PROBE


def test_the_lists_stand_the_checks_of_ones_own():
    assert words(checked_words(", ".join(PROBES))) == PROBES
    assert words(checked_paths(", ".join(SCANS + PHP_SCANS))) == SCANS + PHP_SCANS
    assert words("none") == ()


def test_patterns_take_no_time():
    """At most four stars, and a path of the proxy's whole header."""
    judge = Rules((), ("/*a*a*a",)).judge()
    assert judge("/" + "a" * 60_000, "") is Call.SCAN
    judge("/" + "b" * 60_000, "")


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("90s", 90), ("15m", 900), ("2h", 7200), ("1w", 604_800)])
def test_spans(text, seconds):
    assert read_after(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "9s", "15", "m", "-1m", "8d", "1y", "10 m", "1h30m", "9999999s", "٣m"])
def test_what_is_no_span(text):
    with pytest.raises(BadInput):
        read_after(text)


def test_zero_is_a_setting():
    assert checked_seconds("0") == "0"


@pytest.mark.parametrize("text", ["", ",", "a\nb", "x," * 2001, ",".join(["a"] * 101)])
def test_what_is_no_list(text):
    with pytest.raises(BadInput):
        checked_words(text)


def test_the_pause_grows_to_a_minute():
    assert [backoff(number) for number in (0, 1, 2, 3, 6, 7, 8, 1000)] == [0, 1, 2, 4, 32, 60, 60, 60]
