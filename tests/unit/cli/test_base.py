"""Dispatch, help, app arguments, events: the skeleton under every command."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

import paas
from paas import cli
from paas.cli import base, events, printer
from paas.cli.base import COMMANDS, Local, app_argument, command, confirm_option, format_option, take_app
from paas.errors import BadInput, Conflict, Locked
from paas.jobs import Jobs
from paas.model.access import Actor, Grant
from paas.model.rights import Role
from paas.secret import Secret
from paas.settings import Settings
from paas.testing.door import NOW, DoorHost, DoorOlder, DoorStore
from tests.flow import over_fakes

ROOT_USER = Actor("root")
ALICE = replace(over_fakes.ALICE, address="192.0.2.7")


class Screen:
    """A session that keeps what it is told."""

    def __init__(self, stdin: bytes = b"", tty=None) -> None:
        self.stdout, self.stderr, self.tty, self.patience, self.busy = b"", "", tty, 5.0, False
        self._stdin = stdin
        self.interrupt = None

    def out(self, data) -> None:
        self.stdout += data.encode() if isinstance(data, str) else data

    def err(self, data) -> None:
        self.stderr += data

    def read_stdin(self, limit: int) -> bytes:
        if len(self._stdin) > limit:
            raise BadInput("too long")
        return self._stdin

    def read_line(self, limit: int = 1000) -> str:
        return self._stdin.decode().partition("\n")[0]

    def on_interrupt(self, callback) -> None:
        self.interrupt = callback


@pytest.fixture
def world(tmp_path):
    before = dict(cli.load_commands())
    rt = SimpleNamespace(store=DoorStore(), jobs=Jobs(tmp_path), settings=Settings(), host=DoorHost(),
                         older=DoorOlder())
    for name in ("blog", "shop"):
        rt.store.create_app(name)

    @command("thing")
    @app_argument
    @format_option
    def bare(call, app, format):
        """Show the thing of an app."""
        call.rows(("name", "created_at"), [(app.name, app.created_at)], format)

    @command("thing:set", mutates=True, lock="app")
    @app_argument
    @click.argument("pairs", nargs=-1, required=True)
    @click.option("--hard", is_flag=True)
    def set_(call, app, pairs, hard):
        """Set things."""
        call.note(version="v2")
        call.output.stage(f"{app.name}: {' '.join(pairs)}{' hard' if hard else ''}")

    @command("thing:secret", mutates=True, secret=True)
    @app_argument
    @click.argument("value")
    def secret(call, app, value):
        if value.startswith("bad"):
            raise BadInput(f"{value} is wrong")

    @command("thing:run", passthrough=True)
    @app_argument
    @click.argument("words", nargs=-1, required=True)
    @click.option("-t", "--tty", is_flag=True)
    def run(call, app, words, tty):
        call.put(f"{app.name}|{'|'.join(words)}|{tty}")

    @command("thing:fail", mutates=True)
    @click.argument("how")
    def fail(call, how):
        if how == "lock":
            raise Locked("the app is locked", "Unlock it.")
        if how == "code":
            return 7
        raise RuntimeError("a bug with /a/path")

    @command("thing:destroy", mutates=True, lock="app")
    @app_argument
    @confirm_option
    def destroy(call, app, confirm):
        call.confirm(app.name, confirm)
        call.say(f"gone: {app.name}")

    @command("thing:purge", mutates=True)
    def purge(call):
        call.say("purged")

    @command("thing:hidden", hidden=True)
    def hidden(call):
        call.put("here")

    yield World(rt)
    COMMANDS.clear()
    COMMANDS.update(before)


class World:
    def __init__(self, rt) -> None:
        self.rt = rt
        self.events = rt.store.recorded

    def __call__(self, *words, actor=ROOT_USER, local=None, **screen):
        session = Screen(**screen)
        session.code = cli.dispatch(self.rt, session, actor, words, local)
        session.text = session.stdout.decode()
        return session


# --- finding the command ------------------------------------------------------------------------------------


def test_unknown_command_suggests(world):
    said = world("thing:sett")
    assert (said.code, said.text) == (2, "")
    assert "'thing:sett' is not a command" in said.stderr
    assert "Did you mean thing:set" in said.stderr
    assert "thing:hidden" not in world("thing:hiddn").stderr
    assert "\x1b" not in world("\x1b[2J").stderr


def test_usage_error_is_one_line_and_the_way_to_help(world):
    said = world("thing:set", "blog")
    assert said.code == 2
    assert said.stderr == " !     Missing argument 'PAIRS...'.\n       See: paas help thing:set\n"
    assert world("thing", "blog", "--what").code == 2
    assert world("thing", "blog", "extra").code == 2
    assert world.events == []


def test_help_everywhere(world):
    everything = world("help").text
    assert everything == world("--help").text
    assert "\nthing\n" in everything
    assert "thing:set" in everything
    assert "thing:hidden" not in everything
    for asked in (("help", "thing:set"), ("thing:set", "--help"), ("thing:set", "blog", "--help")):
        text = world(*asked).text
        assert "Usage: paas thing:set [OPTIONS] APP PAIRS..." in text
        assert "Set things." in text
        assert "--app" in text
    assert "Commands of ssh-keys" in world("ssh-keys").text
    assert "thing:set" in world("help", "thing").text
    assert world("help", "nothing").code == 2


def test_every_command_has_help_and_a_summary(world):
    for name, known in COMMANDS.items():
        if not known.hidden and not name.startswith("thing"):
            assert known.help, name
            assert len(world("help", name).text) > 40


def test_who_am_i(world):
    assert world(actor=ALICE).text.startswith("You are alice.\n")


def test_version_is_the_projects(world):
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f'version = "{paas.__version__}"' in text
    assert world("version").text == world("--version").text == f"paas {paas.__version__}\n"


# --- the app ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    ("thing:set", "blog", "A=1", "--hard"), ("thing:set", "--app", "blog", "A=1", "--hard"),
    ("--app", "blog", "thing:set", "A=1", "--hard"), ("thing:set", "A=1", "--hard", "--app=blog"),
    ("--app=blog", "thing:set", "--hard", "--", "A=1"),
])
def test_the_ways_to_name_an_app(world, words):
    assert world(*words).text == "-----> blog: A=1 hard\n"


def test_the_callers_environment_names_the_app_where_the_words_do_not(world):
    here = Local(app="blog")
    assert world("thing:set", "A=1", local=here).text == "-----> blog: A=1\n"
    assert world("thing:set", "shop", "A=1", local=here).text == "-----> shop: A=1\n"
    assert world("thing", local=here).text.endswith("blog  2026-01-02 03:04:05\n")
    assert world("thing", "--format", "json", local=here).code == 0
    assert world("thing:set", "--app", "shop", "A=1", local=here).text == "-----> shop: A=1\n"
    assert world("thing", "shp", local=here).code == 20


@pytest.mark.parametrize(("words", "said"), [
    (("thing:set", "A=1"), "-----> blog: A=1\n"), (("thing:set", "blog", "A=1"), "-----> blog: A=1\n"),
    (("thing:set", "--app", "shop", "A=1"), "-----> shop: A=1\n"),
    (("thing:run", "-t", "ls", "-l"), "blog|ls|-l|True\n"),
    (("--app", "shop", "thing:run", "ls"), "shop|ls|False\n"), (("thing:run", "blog", "ls"), "blog|ls|False\n"),
    (("thing:purge",), "purged\n"), (("thing:destroy", "--confirm", "shop", "shop"), "gone: shop\n"),
    (("--quiet", "thing:purge"), ""),
])
def test_a_laptop_says_which_app_it_stands_in(world, words, said):
    assert world("--default-app", "blog", *words).text == said
    assert world("--default-app", "blog", "thing").text.endswith("blog  2026-01-02 03:04:05\n")


def test_a_guess_that_could_change_the_wrong_app_is_not_made(world):
    for words in (("thing:set", "shop", "A=1"), ("thing:run", "shop", "ls")):
        said = world("--default-app", "blog", *words)
        assert (said.code, said.text) == (2, "")
        assert "'shop' is an app, too: say --app shop or --app blog" in said.stderr


def test_what_a_stranger_may_not_see_is_no_guess_either(world):
    blog = next(app for app in world.rt.store.apps() if app.name == "blog")
    grant = Grant(1, "eve", Role.OPERATE, blog.id, None, NOW, "root")
    eve = Actor("eve", 9, "192.0.2.9", user="eve", grants=(grant,))
    said = [world("--default-app", "blog", "thing:run", name, "ls", actor=eve) for name in ("shop", "nope")]
    assert {one.code for one in said} == {said[0].code}
    assert said[0].stderr.replace("shop", "nope") == said[1].stderr


def test_words_that_make_no_sense_either_way(world):
    assert world("--default-app", "blog", "thing:set").code == 2
    assert world("--default-app", "blog", "thing", "a", "b").code == 2
    assert world("--default-app", "gone", "thing").code == 20
    assert world("--default-app").code == 2


def test_words_for_the_container_are_not_ours(world):
    assert world("thing:run", "blog", "ls", "--help", "--app", "x", "-t").text == "blog|ls|--help|--app|x|-t|False\n"
    assert world("thing:run", "--app", "blog", "-t", "ls", "-l").text == "blog|ls|-l|True\n"


def test_take_app_stops_at_the_end_of_options():
    assert take_app(["--app", "a", "--", "--app", "b"]) == ("a", ["--", "--app", "b"])
    with pytest.raises(click.UsageError):
        take_app(["--app"])


def test_an_absent_app(world):
    said = world("thing", "nope")
    assert said.code == 20
    assert said.stderr == " !     there is no app 'nope'\n       List them with: apps:list\n"


def test_nobody_else_may_do_anything(world):
    said = world("thing", "blog", actor=Actor("stranger"))
    assert (said.code, said.text) == (20, "")
    assert world("thing:set", "blog", "A=1", actor=Actor("stranger")).code == 20
    assert world.events[-1].result == "refused"


# --- events -------------------------------------------------------------------------------------------------


def test_one_event_for_each_change(world):
    world("thing", "blog")
    assert world.events == []
    world("thing:set", "blog", "A=\n1", actor=ALICE)
    event, = world.events
    assert (event.actor, event.verb, event.app, event.result) == ("alice", "thing:set", "blog", "ok")
    assert event.detail == {"version": "v2", "address": "192.0.2.7", "user": "alice", "words": "blog A=\\n1"}


def test_a_change_without_words_has_no_empty_ones_in_its_event(world):
    world("thing:purge")
    assert world.events[-1].verb == "thing:purge"
    assert "words" not in world.events[-1].detail


def test_an_empty_word_of_an_older_event_is_not_shown():
    assert events.words({"words": "", "a": "1"}) == "a=1"


@pytest.mark.parametrize(("words", "result", "code"), [
    (("thing:fail", "lock"), "refused", 5), (("thing:fail", "code"), "failed", 7), (("thing:fail", "bug"), "failed", 1),
    (("thing:set", "nope", "A=1"), "failed", 20),
])
def test_what_came_of_it(world, words, result, code):
    assert world(*words).code == code
    assert [event.result for event in world.events] == [result]


def test_no_secret_in_an_event(world):
    world("thing:secret", "blog", "hunter2")
    said = world("thing:secret", "blog", "bad-hunter2")
    assert said.code == 3
    assert [event.result for event in world.events] == ["ok", "failed"]
    assert "hunter2" not in repr(world.events)


def test_a_lost_event_is_told_but_the_change_stands(world):
    def full(*_):
        raise OSError("disk full")
    world.rt.store.add_event = full
    said = world("thing:set", "blog", "A=1")
    assert said.code == 0
    assert "could not be recorded" in said.stderr


def test_a_bug_shows_a_number_and_no_more(world, caplog):
    said = world("thing:fail", "bug")
    assert said.code == 1
    assert "internal error" in said.stderr
    assert "/a/path" not in said.stderr
    assert "/a/path" in caplog.text
    assert said.stderr.split()[3] in caplog.text


def test_a_change_tells_how_to_follow_it_at_an_interrupt(world):
    said = world("thing:set", "blog", "A=1")
    assert said.busy
    said.interrupt()
    assert "goes on in the server" in said.stderr
    quiet = world("thing", "blog")
    assert (quiet.interrupt, quiet.busy, quiet.patience) == (None, False, cli.PATIENCE)


def test_a_command_with_a_lock_waits_for_no_deploy(world):
    held = world.rt.jobs.try_turn(2, "push of 1234abcd by alice")
    said = world("thing:set", "shop", "A=1")
    assert said.code == Conflict.exit_code
    assert "push of 1234abcd by alice" in said.stderr
    assert world("thing", "shop").code == 0
    world.rt.jobs.leave(held)
    assert world("thing:set", "shop", "A=1").code == 0
    assert world.rt.jobs.running(2) is None
    with pytest.raises(ValueError, match="unknown lock"):
        command("thing:bad", lock="server")


# --- confirming, input, files -------------------------------------------------------------------------------


def test_confirming(world):
    assert world("thing:destroy", "blog").code == 2
    assert world("thing:destroy", "blog", stdin=b"blog\n").code == 2          # `yes |` is no person
    assert world("thing:destroy", "blog", "--confirm", "shop").code == 2
    assert world("thing:destroy", "blog", "--confirm", "blog").text == "gone: blog\n"
    terminal = SimpleNamespace(columns=80, rows=24)
    assert world("thing:destroy", "blog", tty=terminal, stdin=b"blog\n").code == 0
    assert world("thing:destroy", "blog", tty=terminal, stdin=b"y\n").code == 2
    assert world("--quiet", "thing:destroy", "blog", "--confirm", "blog").text == ""
    assert world("thing:destroy", "blog", "--confirm", "blog", "--quiet").text == ""


def test_files_are_read_for_root_on_the_server_only(tmp_path):
    (tmp_path / "f").write_bytes(b"content")

    def call(actor, local):
        return base.Call(None, actor, Screen(), local)
    assert call(ROOT_USER, Local(str(tmp_path))).local_file("f") == b"content"
    assert call(ROOT_USER, Local("/")).local_file(str(tmp_path / "f")) == b"content"
    for wrong in ("g", "..", "f\0"):
        with pytest.raises(BadInput):
            call(ROOT_USER, Local(str(tmp_path))).local_file(wrong)
    with pytest.raises(BadInput):
        call(ROOT_USER, Local(str(tmp_path))).local_file("f", 3)
    for actor, local in ((ALICE, None), (ALICE, Local("/")), (ROOT_USER, None)):
        with pytest.raises(base.Forbidden):
            call(actor, local).local_file(str(tmp_path / "f"))


# --- printing -----------------------------------------------------------------------------------------------


def test_rows_as_table_and_as_json(world):
    assert world("thing", "blog").text == "NAME  CREATED AT\nblog  2026-01-02 03:04:05\n"
    assert world("--quiet", "thing", "blog").text == "blog  2026-01-02 03:04:05\n"
    assert json.loads(world("thing", "blog", "--format", "json").text) == [
        {"name": "blog", "created_at": NOW.isoformat()}]
    assert world("thing", "blog", "--format", "xml").code == 2


@pytest.mark.parametrize(("foreign", "shown"), [
    ("plain ünï", "plain ünï"), ("\x1b[32mgreen\x1b[0m", "green"), ("\x1b[2J", "\\x1b[2J"), ("a\tb", "a       b"),
    ("10%\r50%\r", "50%"), ("a\u202eb", "a\\u202eb"), ("\x9b31m", "\\x9b31m"), ("\ud800", "\\ud800"),
])
def test_foreign_text_is_harmless(foreign, shown):
    assert printer.escape(foreign) == shown


def test_output_lines(world):
    screen = Screen()
    output = printer.SessionOutput(screen)
    output.stage("one")
    output.heading("two")
    output.detail("three\nfour \x07")
    output.warn("five")
    output.error(Conflict("six", "seven"))
    assert screen.stdout.decode() == "-----> one\n=====> two\n       three\n       four \\x07\n"
    assert screen.stderr == " !     five\n !     six\n       seven\n"


def test_values_for_json_and_tables():
    value = {"a": Secret("s"), "t": datetime(2026, 1, 1, tzinfo=UTC), "l": ("x", 1), "n": None, "b": True}
    assert json.loads(printer.to_json(value)) == {
        "a": "[redacted]", "t": "2026-01-01T00:00:00+00:00", "l": ["x", 1], "n": None, "b": True}
    assert printer.record(value).splitlines()[0] == "a:  [redacted]"
    assert [printer.cell(item) for item in (True, None, "", ["a", "b"], "x\ny")] == ["yes", "-", "-", "a b", "x\\ny"]
    assert printer.table(("a", "b"), [("long value", 1), ("x", 22)]) == (
        "A           B\nlong value  1\nx           22\n")


# --- completion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "answers"), [
    (["thing:s"], ["thing:secret", "thing:set"]), (["thing:set", ""], ["blog", "shop"]),
    (["thing:set", "s"], ["shop"]), (["thing:set", "shop", ""], []), (["thing", "--f"], ["--format"]),
    (["thing:set", "--app", "b"], ["blog"]), (["help", "thing:d"], ["thing:destroy"]), (["nothing", ""], []),
])
def test_completion(world, words, answers):
    assert world(":complete", "--", *words).text.split() == answers


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(world, shell):
    assert "paas :complete" in world("completion", shell).text


def test_two_commands_of_one_name(world):
    with pytest.raises(ValueError, match="two commands"):
        command("thing")(lambda call: None)
