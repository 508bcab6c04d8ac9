"""One strict parser for what comes over SSH (attacks A01 to A07 of the threat list)."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas import client
from paas.daemon.protocol import GitRequest, check_words, git_request, parse_hello, parse_terminal, split_command
from paas.errors import PaasError, UsageError

text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40)


@given(st.lists(text, max_size=20))
def test_every_quoted_word_arrives_as_it_was(words):
    assert split_command(shlex.join(words).encode()) == words


@pytest.mark.parametrize("raw", [
    b"apps:list\napps:destroy beta --confirm beta", b"apps:list\r", b"apps:list\tx", b"a \x1b[2J", b"a \x7f",
    "a \u0085b".encode(), b"a \\\n b", b"a 'open", b'a "open', b"a \\", b"\xff\xfe",
])
def test_refused_as_a_whole(raw):
    with pytest.raises(UsageError):
        split_command(raw)


@pytest.mark.parametrize(("raw", "words"), [
    (b"config:set a K='x\ny'", ["config:set", "a", "K=x\ny"]),
    (b"a # b", ["a", "#", "b"]),
    (b"a $(id) `id` ;id; |x &y >z * ? ~ {a,b} !", ["a", "$(id)", "`id`", ";id;", "|x", "&y", ">z", "*", "?", "~",
                                                   "{a,b}", "!"]),
    (b"a $'b'", ["a", "$b"]),
    (b"a -- ''", ["a", "--", ""]),
    (b"", []),
])
def test_split_once_and_never_evaluated(raw, words):
    assert split_command(raw) == words


def test_too_long_and_too_many():
    with pytest.raises(UsageError, match="64 KB"):
        split_command(b"x" * (64 * 1024 + 1))
    with pytest.raises(UsageError, match="1,024 words"):
        split_command(b"x " * 1025)
    assert len(split_command(b"x " * 1024)) == 1024
    with pytest.raises(UsageError, match="UTF-8"):
        check_words(["\udcff"])


@pytest.mark.parametrize("command", [
    "git-receive-pack 'blog'", "git receive-pack 'blog'", "git-receive-pack blog.git", "git-receive-pack '/blog'",
    "git receive-pack '/blog.git'",
])
def test_the_forms_of_a_push(command):
    assert git_request(split_command(command.encode())) == GitRequest("receive-pack", "blog")


def test_a_clone():
    assert git_request(["git-upload-pack", "blog"]) == GitRequest("upload-pack", "blog")


@pytest.mark.parametrize("path", ["../beta.git", "alpha/../beta", "alpha.git/hooks", "~beta", "alpha%2f..%2fbeta",
                                  "ALPHA", "alpha.git1", "--help", "--timeout=1", "", "/", "//beta", "a" * 31, "1.git",
                                  "beta.git.git", "beta\n"])
def test_no_path_leads_anywhere_but_to_a_name(path):
    with pytest.raises(PaasError):
        git_request(["git-receive-pack", path])


@pytest.mark.parametrize("words", [
    ["git-upload-archive", "--exec=x"], ["git", "upload-archive", "beta"], ["git-shell"], ["git", "shell"],
    ["git-lfs-authenticate", "x", "upload"], ["scp", "-f", "/etc/passwd"], ["rsync", "--server", "."],
    ["internal-sftp"], ["bash"], ["git-receive-pack"], ["git-receive-pack", "--exec=x", "beta"],
])
def test_nothing_else_of_a_shell_account(words):
    with pytest.raises(UsageError):
        git_request(words)


@pytest.mark.parametrize("words", [[], ["apps:list"], ["git"], ["git:set", "beta"], ["git", "status"]])
def test_what_is_not_gits_goes_to_the_commands(words):
    assert git_request(words) is None


def test_hello_round_trip():
    pairs = [("protocol", "1"), ("kind", "push"), ("token", "t"), ("update", "a b refs/heads/x y"), ("word", "x=y"),
             ("alternates", "/a:/b"), ("tty", "80 24"), ("term", "xterm")]
    hello = parse_hello(client.fields(pairs))
    assert (hello.token, hello.updates, hello.words) == ("t", (("a", "b", "refs/heads/x y"),), ("x=y",))
    assert hello.alternates == ("/a", "/b")
    assert (hello.terminal.columns, hello.terminal.rows, hello.terminal.term) == (80, 24, "xterm")


@pytest.mark.parametrize("payload", [b"", b"\0", b"protocol=2", b"protocol=1\0kind=king", b"\xff" * 100,
                                     b"protocol=1\0kind=ssh\0key=-1", b"protocol=1\0kind=push\0update=x"])
def test_a_hello_without_sense(payload):
    with pytest.raises(UsageError):
        parse_hello(payload)


@given(st.binary(max_size=300))
def test_no_hello_crashes_the_parser(payload):
    with pytest.raises(UsageError):
        parse_hello(payload)


def test_terminal_sizes():
    assert parse_terminal("1 x") is parse_terminal("") is parse_terminal("-1 5") is None
    assert parse_terminal("9999999 1").columns == 10_000
    assert parse_terminal("80 24", "x\x1b").term == ""


@given(st.lists(st.tuples(st.sampled_from([b"o", b"x"]), st.binary(max_size=200))), st.integers(1, 50))
def test_frames_survive_any_cut(sent, size):
    stream = b"".join(client.frame(kind, payload) for kind, payload in sent)
    frames, got = client.Frames(), []
    for start in range(0, len(stream), size):
        got += frames.feed(stream[start:start + size])
    assert got == sent


def test_a_frame_beyond_the_limit():
    with pytest.raises(ValueError, match="too long"):
        client.Frames().feed(b"H" + (1024**3).to_bytes(4, "big"))
