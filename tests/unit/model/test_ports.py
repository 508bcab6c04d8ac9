"""Mappings of further public ports: read, stored, named in a removal, set against each other."""

import pytest

from paas.errors import BadInput
from paas.model import ports
from paas.model.ports import PublicPort


@pytest.mark.parametrize(("text", "port"), [
    ("http:8080:5000", PublicPort(8080, "http", 5000)), ("https:8443", PublicPort(8443, "https")),
    ("http:1024:1", PublicPort(1024, "http", 1)), ("http:65535:65535", PublicPort(65535, "http", 65535))])
def test_a_mapping_is_read_and_written_the_same(text, port):
    assert ports.parse(text) == port
    assert str(port) == text


@pytest.mark.parametrize("text", [
    "", "8080", "http", "http:", "http:8080:", "http:8080:5000:1", "tcp:8080:5000", "HTTP:8080", "http:80:5000",
    "https:443", "http:1023", "http:65536", "http:8080:0", "http:8080:65536", "http:８080", "http:-1", "http:8080 ",
    "http:8080\n", "http:{env.A}", "http:080800"])
def test_what_is_no_mapping(text):
    with pytest.raises(BadInput):
        ports.parse(text)


@pytest.mark.parametrize(("text", "main"), [
    ("5000", "5000"), ("http:80:5000", "5000"), ("https:443:5000", "5000"), ("http:443:5000", ""), ("http:80", ""),
    ("http:8080:5000", ""), ("x", "x")])
def test_what_is_about_the_site_itself(text, main):
    assert ports.main_port(text) == main


def test_stored_and_read_back():
    some = [PublicPort(8443, "https"), PublicPort(8080, "http", 5000)]
    assert ports.to_setting(some) == "http:8080:5000 https:8443"
    assert list(ports.of({ports.SETTING: "http:8080:5000 https:8443"})) == sorted(some)
    assert ports.to_setting([]) is None
    assert ports.of({}) == ()


@pytest.mark.parametrize("text", ["8080", "http:8080", "http:8080:5000"])
def test_a_removal_names_a_port_in_any_form(text):
    assert ports.meant([text], [PublicPort(8080, "http", 5000), PublicPort(8443, "https")]) == [
        PublicPort(8080, "http", 5000)]


@pytest.mark.parametrize("text", ["8081", "https:8080", "http:8080:5001", ""])
def test_a_removal_of_what_is_not_there(text):
    with pytest.raises(BadInput, match="none of the app's further ports"):
        ports.meant([text], [PublicPort(8080, "http", 5000)])


def test_a_public_port_has_one_scheme_and_an_app_has_it_once():
    schemes: dict[int, str] = {}
    assert ports.clash([PublicPort(8080, "http")], schemes) == ""
    assert ports.clash([PublicPort(8080, "http", 9000)], schemes) == ""
    assert "is http for another app" in ports.clash([PublicPort(8080, "https"), PublicPort(8443, "https")], schemes)
    assert schemes == {8080: "http"}
    assert "twice" in ports.clash([PublicPort(8443, "https"), PublicPort(8443, "https", 1)], schemes)


def test_requests_of_an_instance_are_those_of_its_address():
    serving = {"10.0.0.1:80": 1, "10.0.0.1:9000": 2, "10.0.0.11:80": 4}
    assert ports.requests_at(serving, "10.0.0.1:80") == 3
    assert ports.requests_at(serving, "10.0.0.2:80") == 0
