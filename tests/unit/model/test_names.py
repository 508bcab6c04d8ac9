"""Names: what matches is kept as it is, everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import BadInput
from paas.model import names

HOSTILE = ["", ".", "..", "-x", "a..b", "a.", "_a", "A", "é", "xn--…", "a" * 31,
           "x;id", "$(id)", "`id`", "a b", "a\nb", "a/../b",
           "a%2f", "*", "?", "~", "{a,b}", "a\\b", "a'b", 'a"b', "a#b", "a--b", "a-", "9a",
           "host", "none", "paas"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_app_names_are_refused(text):
    with pytest.raises(BadInput):
        names.app_name(text)


@pytest.mark.parametrize("text", ["a", "hello", "a1", "my-app-2", "a" * 30])
def test_app_names(text):
    assert names.app_name(text) == text


@given(st.text(max_size=40))
def test_an_accepted_app_name_is_safe_everywhere(text):
    try:
        names.app_name(text)
    except BadInput:
        return
    assert text.isascii()
    assert text.replace("-", "").isalnum()
    assert text == text.lower()
    assert not text.startswith("-")


@pytest.mark.parametrize(("text", "app"), [
    ("hello", "hello"), ("paas@host.example.com:hello", "hello"), ("ssh://paas@10.0.0.1:2222/hello.git", "hello"),
    ("ssh://paas@host/hello", "hello"), ("a/../b", "a/../b"), ("paas@host:a/../b", "paas@host:a/../b"),
    ("paas@host:", "paas@host:"), ("http://host/hello", "http://host/hello")])
def test_an_app_may_be_named_by_its_git_remote(text, app):
    assert names.app_of(text) == app


@pytest.mark.parametrize("text", [
    "a.com; location /pwn{}", "a.com {", '"', "a\nb.com", "_", "*", "*.com", "1.2.3.4", "a.com:8080", "http://a.com",
    "a..com", "localhost", "a." * 127 + "com", "-a.com", "a-.com", "{env.HOME}.com", "a.com/", "é.com", "a b.com"])
def test_hostile_domains_are_refused(text):
    with pytest.raises(BadInput):
        names.domain(text)


@pytest.mark.parametrize(("text", "canonical"), [
    ("Example.COM", "example.com"), ("a.example.com.", "a.example.com"), ("*.example.com", "*.example.com"),
    ("hello.localhost", "hello.localhost"), ("xn--bcher-kva.example", "xn--bcher-kva.example")])
def test_domains(text, canonical):
    assert names.domain(text) == canonical


@pytest.mark.parametrize("text", ["A B", "A=B", "1A", "A\n", "a", "A" * 129, "", "PAAS_X", "A-B"])
def test_config_keys_are_refused(text):
    with pytest.raises(BadInput):
        names.config_key(text)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=2000))
def test_config_values_are_kept(text):
    assert names.config_value(text) == text


def test_config_value_limits():
    with pytest.raises(BadInput):
        names.config_value("a\0b")
    for text in ("\ud800", "a\udcff", "\ud83d\ude00"):
        with pytest.raises(BadInput, match="UTF-8"):
            names.config_value(text)
    assert names.config_value("x" * 65536)
    with pytest.raises(BadInput):
        names.config_value("x" * 65537)


@given(st.text(max_size=300))
def test_printable_is_printable_and_short(text):
    shown = names.printable(text)
    assert shown.isprintable()
    assert len(shown) <= 80


@pytest.mark.parametrize("text", ["-x", "a..b", "a b", "$(id)", "a;b", "a/.b", "x.lock", "a//b", "", "a" * 101])
def test_branches_are_refused(text):
    with pytest.raises(BadInput):
        names.branch(text)
