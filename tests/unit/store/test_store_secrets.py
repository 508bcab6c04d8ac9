"""Config vars, snapshots and private keys: exact, and never in the clear on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from paas.adapters.sealing import Sealer
from paas.errors import StateError
from paas.model.access import Actor, Certificate
from paas.model.build import Image
from paas.model.release import Process
from paas.secret import Secret
from paas.store import open_store

# Any str at all, lone surrogates and NUL too; with bytes as a command line gives them (PEP 383).
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.binary().map(
    lambda raw: raw.decode("utf-8", "surrogateescape"))
CONFIGS = st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True), ANY_TEXT, max_size=5)


@pytest.fixture(scope="module")
def one():
    store = open_store(None, Sealer(bytes(32)))
    return store, store.create_app("blog", "10.89.0.0/25", Actor("anna"))


@given(values=CONFIGS)
def test_any_config_comes_back_exactly(one, values):
    store, app = one
    config = {key: Secret(value) for key, value in values.items()}
    store.replace_config(app.id, config)
    found = store.config(app.id)
    assert {key: secret.reveal() for key, secret in found.items()} == values
    assert list(found) == sorted(values)
    release = store.create_release(app.id, image=Image("sha256:1"), build_id=None, commit="c", tree="t", subject="s",
                                   config=config, formation=(), actor=Actor("anna"), reason="r")
    stored = store.release_by_id(release.id).config
    assert {key: secret.reveal() for key, secret in stored.items()} == values


COMMANDS = st.lists(st.text(st.characters(exclude_categories=("Cs",)) | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=("Cs",))), max_size=4)


@given(command=COMMANDS, cpus=st.floats(0, 1024), memory=st.integers(0, 2**60))
def test_any_formation_comes_back_exactly(one, command, cpus, memory):
    store, app = one
    formation = (Process("web", tuple(command), memory=memory, cpus=cpus),)
    release = store.create_release(app.id, image=Image("sha256:1"), build_id=None, commit="c", tree="t", subject="s",
                                   config={}, formation=formation, actor=Actor("anna"), reason="r")
    assert store.release_by_id(release.id).formation == formation


def two_lone_surrogates():
    """What looks like the UTF-16 pair of one character, yet is two code points of a str."""
    return chr(0xD83D) + chr(0xDE00)


@pytest.mark.parametrize("value", ["", "x" * 65536, "\n'\"$`\\\r\x00", "\udcc3\udca9", "\N{GRINNING FACE}",
                                   two_lone_surrogates()], ids=range(6))
def test_hard_values(store, app, new_release, value):
    store.replace_config(app.id, {"A": Secret(value)})
    assert store.config(app.id)["A"].reveal() == value
    assert new_release(app, {"A": Secret(value)}).config["A"].reveal() == value


def test_replace_leaves_no_old_var_and_lets_other_apps_alone(store, app, other):
    store.replace_config(other.id, {"A": Secret("theirs")})
    store.replace_config(app.id, {"A": Secret("1"), "B": Secret("2")})
    store.replace_config(app.id, {"C": Secret("3")})
    assert store.config(app.id) == {"C": Secret("3")}
    store.replace_config(app.id, {})
    assert store.config(app.id) == {}
    assert store.config(other.id) == {"A": Secret("theirs")}


def test_the_change_of_config_alters_no_release(store, app, new_release):
    store.replace_config(app.id, {"A": Secret("1")})
    release = new_release(app, store.config(app.id))
    store.replace_config(app.id, {"A": Secret("2")})
    assert store.release_by_id(release.id).config == {"A": Secret("1")}


def test_no_secret_is_on_disk_in_the_clear(tmp_path, sealer, anna):
    store = open_store(tmp_path / "paas.db", sealer)
    app = store.create_app("findable-name", "10.89.0.0/25", anna)
    config = {"PASSWORD": Secret("hunter2-config")}
    store.replace_config(app.id, config)
    store.replace_config(app.id, {"PASSWORD": Secret("hunter2-second")})
    store.create_release(app.id, image=Image("sha256:1"), build_id=None, commit="c", tree="t", subject="s",
                         config={"PASSWORD": Secret("hunter2-release")}, formation=(), actor=anna, reason="r")
    certificate = Certificate(app.id, "chain", ("a",), "i", app.created_at, "f")
    store.put_certificate(certificate, Secret("hunter2-private"))
    while_open = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert (tmp_path / "paas.db-wal").stat().st_size > 0
    store.close()
    closed = (tmp_path / "paas.db").read_bytes()
    for data in (while_open, closed):
        assert b"findable-name" in data
        assert b"hunter2" not in data


SWAPS = {
    "config of another key": "UPDATE config SET value = (SELECT value FROM config WHERE key = 'B')",
    "config of another app": "UPDATE config SET app_id = 2",
    "damaged": "UPDATE config SET value = CAST(substr(value, 1, 13) || zeroblob(length(value) - 13) AS BLOB)",
    "cut": "UPDATE config SET value = x'01'",
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_sealed_value_opens_only_where_it_was_put(store, app, other, swap):
    store.replace_config(app.id, {"A": Secret("1"), "B": Secret("2")})
    with store._db.write() as connection:
        connection.execute(text(SWAPS[swap]))
    for owner in (app, other):
        if (owner == app) != (swap == "config of another app"):
            with pytest.raises(StateError):
                store.config(owner.id)
        else:
            assert store.config(owner.id) == {}
