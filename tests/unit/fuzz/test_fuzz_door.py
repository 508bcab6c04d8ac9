"""The front door: SSH commands, git's requests, hellos, frames, ref updates, whole command lines."""

import shlex
import socket
import string
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from paas import client
from paas.cli import dispatch, load_commands
from paas.cli.base import COMMANDS
from paas.daemon import protocol, server
from paas.model import names
from paas.ops import pushes
from tests.flow.over_fakes import make_flow
from tests.unit.cli.desk import ROOT, Screen
from tests.unit.fuzz.bounds import answer, small, soon

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
SHELL = st.text(st.sampled_from("ab '\"\\\t\n;|&$`(){}<>*?#!~/.-=:,\0\x7f\u202e\u2028é\ud800"), max_size=60)
GIT = st.sampled_from(["git", "git-receive-pack", "git-upload-pack", "receive-pack", "git-upload-archive", "'app'",
                       "'/app.git'", "'../../x'", "--help", "-c", "core.sshCommand=id", "", "app", "''"])
load_commands()


@QUIET
@given(st.one_of(st.binary(max_size=200), SHELL.map(lambda text: text.encode("utf-8", "surrogatepass"))))
@example(b"git-receive-pack 'a\nb'")
@example(b"'" * 3)
def test_an_ssh_command_is_split_or_refused(raw):
    words = answer(protocol.split_command, raw)
    if words is not None:
        assert len(words) <= protocol.MAX_WORDS
        request = answer(protocol.git_request, words)
        assert request is None or names.APP.fullmatch(request.app)


@QUIET
@given(st.lists(GIT, max_size=5))
def test_words_of_git(words):
    request = answer(protocol.git_request, words)
    assert request is None or (request.service in ("receive-pack", "upload-pack") and "/" not in request.app)


@QUIET
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20), max_size=20))
def test_words_that_were_quoted_arrive_as_they_were(words):
    assert protocol.split_command(shlex.join(words).encode()) == words


@pytest.mark.parametrize("raw", [
    b"'" * client.MAX_COMMAND, b"\\" * client.MAX_COMMAND, b"a " * (client.MAX_COMMAND // 2),
    b"\"\\" * (client.MAX_COMMAND // 2), b"a" * (client.MAX_COMMAND + 1), b"''" * (client.MAX_COMMAND // 2)])
def test_the_largest_commands(raw):
    with small():
        answer(protocol.split_command, raw)


FIELDS = st.sampled_from(["protocol", "kind", "word", "update", "key", "command", "address", "tty", "term", "objects",
                          "alternates", "git-dir", "token", "cwd", "app", "", "\udcff"])
VALUES = st.one_of(st.sampled_from([str(client.PROTOCOL), "local", "ssh", "push", "0", "9" * 11, "9" * 5000, "-1", "²",
                                    "80 24", "٣ ٣", "a b c", ":" * 50, "../..", "=" * 9]), st.text(max_size=20))
HELLOS = st.lists(st.tuples(FIELDS, VALUES), max_size=12).map(
    lambda pairs: b"\0".join(f"{name}={value}".encode("utf-8", "surrogatepass") for name, value in pairs))


@QUIET
@given(st.one_of(HELLOS, HELLOS.map(lambda rest: b"protocol=%d\0kind=push\0" % client.PROTOCOL + rest),
                 st.binary(max_size=200)))
def test_a_hello_is_read_or_refused(payload):
    hello = answer(protocol.parse_hello, payload)
    assert hello is None or isinstance(hello.kind, protocol.Kind)


@QUIET
@given(st.lists(st.binary(max_size=100), max_size=20))
def test_a_stream_is_cut_into_frames_or_ended(pieces):
    frames, whole = client.Frames(), []
    for piece in pieces:
        try:
            with soon():
                whole += frames.feed(piece)
        except ValueError:
            return
    assert sum(len(payload) + 5 for _, payload in whole) <= sum(map(len, pieces))


@QUIET
@given(st.binary(max_size=300))
def test_whoever_speaks_first_is_understood_or_refused(data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        found = answer(server._first_frame, ours)
        if found is not None:
            answer(protocol.parse_hello, found[1][1])


def test_a_frame_that_never_ends_is_bounded():
    frames = client.Frames()
    with small(4 * client.MAX_FRAME + 8 * 1024**2):
        frames.feed(b"i" + client.MAX_FRAME.to_bytes(4, "big"))
        assert sum(len(frames.feed(bytes(1024))) for _ in range(client.MAX_FRAME // 1024)) == 1
    for endless in (b"i\xff\xff\xff\xff", b"\xff" * 10):
        with pytest.raises(ValueError, match="too long"):
            client.Frames().feed(endless)


PATHS = st.one_of(st.sampled_from([".", "..", "objects", "objects/tmp_objdir-incoming-x", "loop", "/etc", "~",
                                   "a" * 5000, "/" * 5000, "objects/../..", "\udcff"]),
                  st.text(st.characters(exclude_characters="\0:", exclude_categories=["Cs"]), max_size=30))


@QUIET
@given(st.builds(protocol.Hello, kind=st.just(protocol.Kind.PUSH), git_dir=PATHS, objects=PATHS,
                 alternates=st.lists(PATHS, max_size=3).map(tuple)))
def test_a_quarantine_is_inside_the_repository_or_refused(tmp_path, hello):
    home = tmp_path / "1.git"
    if not home.exists():
        (home / "objects").mkdir(parents=True)
        (home / "objects" / "loop").symlink_to("loop")
        (home / "loop").symlink_to("loop")
    found = answer(server.quarantine_of, hello, home)
    assert found is None or found.objects.is_relative_to(home / "objects")


IDS = st.one_of(st.sampled_from(["0" * 40, "1" * 40, "", "-", "g" * 40]), st.text(max_size=45))
REFS = st.one_of(st.text(max_size=40), st.text(max_size=40).map("refs/heads/{}".format),
                 st.sampled_from(["refs/heads/main", "refs/tags/v1", "refs/heads/", "HEAD", "refs/heads/../../x",
                                  "refs/heads/-x", "refs/heads/a\udcff", "refs/heads/" + "a" * 5000]))


@QUIET
@given(st.lists(st.tuples(IDS, IDS, REFS), max_size=3), st.sampled_from(["", "main", "production"]))
def test_updates_of_refs_are_one_branch_or_refused(updates, branch):
    app = SimpleNamespace(name="app", settings={"git.deploy-branch": branch} if branch else {})
    push = answer(pushes.accept, None, app, updates, None)
    assert push is None or push.branch in ("main", "master", "production")


WORDS = st.one_of(
    st.sampled_from(["hello", "--app", "--format", "json", "--", "-", "-n", "9" * 30, "-1", "web=1", "A=b", "web", "v1",
                     "--help", "--quiet", "postgres", "db", "", "a" * 300, "example.com", "../../etc", "1h"]),
    st.text(string.printable, max_size=12))
# They do by design what a fuzzer cannot stop: follow, wait, end the door.
LEFT_OUT = {"logs", "events", "run", "run:attach"}


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    made = make_flow(tmp_path_factory.mktemp("fuzz"))
    made.app()
    made.rt.store.set_setting("server-id", "0123456789abcdef")      # as the daemon does when it starts
    return made


@settings(QUIET, max_examples=max(60, settings.default.max_examples))
@given(st.sampled_from(sorted(set(COMMANDS) - LEFT_OUT)), st.lists(WORDS, max_size=6), st.binary(max_size=20))
def test_any_words_after_a_command_end_with_an_exit_code(flow, name, words, stdin):
    assume(not {"-f", "--follow"} & set(words))
    screen = Screen(stdin)
    with soon(20):
        code = dispatch(flow.rt, screen, ROOT, [name, *words], None)
    assert 0 <= code <= 255
    assert "internal error" not in screen.stderr.lower(), screen.stderr
    assert "Traceback" not in screen.stderr
