"""Manifests: one form, read strictly, and any changed byte is noticed."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.errors import BadInput, Forged
from paas.model.backup import Contents, Manifest, StoredPart, Table, Trigger
from paas.model.backup_layout import Layout, fingerprint, is_id, new_id, place_of, time_of, wrapped_identity_key
from paas.model.backup_mac import LIMIT, MacKey, canonical, hkdf, identity_key
from paas.model.backup_manifest import (
    DRILL,
    MANIFEST,
    DrillRecord,
    expect_at,
    read_drill,
    read_manifest,
    write_drill,
    write_manifest,
)
from paas.secret import Secret
from tests.unit.model.backup_examples import IDENTITY, OTHER, PLACE, SERVER, START, manifest

NAMES = st.text(min_size=0, max_size=12)
COUNTS = st.integers(0, 2**63 - 1)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
FACTS = st.dictionaries(NAMES, NAMES, max_size=3)


def tuples(strategy):
    return st.lists(strategy, max_size=3).map(tuple)


MANIFESTS = st.builds(
    Manifest, id=st.builds(new_id, MOMENTS.filter(lambda moment: moment.year >= 1000), st.integers(0, 2**32)),
    kind=NAMES, datastore=NAMES, service=NAMES, service_uid=NAMES, trigger=st.sampled_from(Trigger), started_at=MOMENTS,
    finished_at=MOMENTS, image=NAMES, image_digest=NAMES, version=NAMES,
    parts=tuples(st.builds(StoredPart, NAMES, COUNTS, HEX, COUNTS, HEX)),
    contents=st.builds(Contents, tuples(st.builds(Table, NAMES, COUNTS, NAMES)), FACTS, NAMES),
    recipients=tuples(NAMES), data_size=COUNTS, program=NAMES, previous=NAMES,
    dumped_in=st.floats(0, 1e9), warnings=tuples(NAMES), details=FACTS)


@settings(max_examples=200, deadline=None)
@given(MANIFESTS)
def test_what_was_written_is_read(made):
    data = write_manifest(made, IDENTITY)
    opened = read_manifest(data, [OTHER, IDENTITY])
    assert (opened.manifest, opened.proven, opened.mac_key) == (made, True, IDENTITY.name)
    assert data.isascii()
    assert write_manifest(opened.manifest, IDENTITY) == data


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(data):
    good = write_manifest(manifest(), IDENTITY)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1:]
    try:
        opened = read_manifest(bad, [IDENTITY])
    except Forged:
        return
    assert not opened.proven                 # the name of the key was hit
    assert opened.mac_key != IDENTITY.name


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_cut_manifest(length):
    with pytest.raises(Forged):
        read_manifest(write_manifest(manifest(), IDENTITY)[:length], [IDENTITY])


def remade(change, key=IDENTITY, purpose=MANIFEST):
    """A manifest changed by somebody who has the key: only the strict reader is left to notice."""
    document = json.loads(write_manifest(manifest(), key))
    del document["mac"]
    change(document)
    return canonical({**document, "mac": key.mac(canonical(document), purpose)})


FIELDS = sorted(set(json.loads(write_manifest(manifest(), IDENTITY))) - {"mac", "mac_key"})


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_must_be_there_and_of_its_type(name):
    assert read_manifest(remade(lambda document: None), [IDENTITY]).proven
    for wrong in (None, True, {"a": 1}, [1], -1, 1.5 if name != "dumped_in" else "1.5"):
        with pytest.raises(Forged, match=f"field '{name}"):
            read_manifest(remade(lambda document, wrong=wrong: document.update({name: wrong})), [IDENTITY])
    with pytest.raises(Forged, match=f"field '{name}"):
        read_manifest(remade(lambda document: document.pop(name)), [IDENTITY])


@pytest.mark.parametrize(("path", "wrong", "named"), [
    (("parts", 0, "size"), -1, "parts[0].size"), (("parts", 0, "sha256"), "abc", "parts[0].sha256"),
    (("parts", 0, "size"), 2**63, "parts[0].size"), (("parts", 0, "plain_sha256"), "A" * 64, "parts[0].plain_sha256"),
    (("contents", "tables", 1, "rows"), "3", "contents.tables[1].rows"),
    (("contents", "tables", 1), None, "contents.tables[1]"), (("contents", "facts"), [], "contents.facts"),
    (("details", "lsn"), 1, "details"), (("recipients", 0), 1, "recipients"), (("trigger",), "whim", "trigger"),
    (("started_at",), "2026-11-20T16:00:00+01:00", "started_at"),
    (("started_at",), "2026-13-20T16:00:00Z", "started_at"),
    (("started_at",), "20261120T160000Z", "started_at"), (("id",), "../x", "id"), (("dumped_in",), -0.5, "dumped_in"),
    (("dumped_in",), 10**400, "dumped_in")])
def test_a_wrong_field_is_named(path, wrong, named):
    def change(document):
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = wrong
    with pytest.raises(Forged) as error:
        read_manifest(remade(change), [IDENTITY])
    assert f"'{named}'" in error.value.what


def test_another_format_is_refused_and_says_update():
    with pytest.raises(Forged, match="format 2") as error:
        read_manifest(remade(lambda document: document.update(format=2)), [IDENTITY])
    assert "update" in error.value.hint


def test_fields_of_a_later_version_are_ignored_but_authenticated():
    later = remade(lambda document: document.update(mood="fine"))
    assert read_manifest(later, [IDENTITY]).manifest == manifest()
    with pytest.raises(Forged, match="MAC"):
        read_manifest(later.replace(b"fine", b"evil"), [IDENTITY])


@pytest.mark.parametrize("data", [
    b"", b"\n", b"[]\n", b"null\n", b"{", b"{}\n", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000,
    b'{"a":NaN}\n', b'{"a":1e999}\n', b"\xef\xbb\xbf{}\n", b"x" * (LIMIT + 1), '{"a":1}\n'.encode("utf-16")])
def test_what_is_no_document(data):
    with pytest.raises(Forged):
        read_manifest(data, [IDENTITY])


def test_another_form_of_the_same_document_is_refused():
    data = write_manifest(manifest(), IDENTITY)
    for other in (data.replace(b'"format":1', b'"format": 1'), data + b"\n", b'{"kind":"x",' + data[1:],
                  json.dumps(json.loads(data), sort_keys=True).encode()):
        with pytest.raises(Forged, match="form that paas writes"):
            read_manifest(other, [IDENTITY])


def test_a_manifest_too_long_is_not_written():
    with pytest.raises(BadInput, match="longer"):
        write_manifest(manifest(warnings=("x" * LIMIT,)), IDENTITY)


def test_times_are_utc_and_one_without_zone_is_a_mistake():
    berlin = manifest(started_at=START.astimezone(timezone(timedelta(hours=1))))
    assert write_manifest(berlin, IDENTITY) == write_manifest(manifest(), IDENTITY)
    with pytest.raises(ValueError, match="zone"):
        write_manifest(manifest(started_at=datetime(2026, 1, 1)), IDENTITY)


# Keys


def test_who_made_the_mac():
    for key in (IDENTITY, SERVER):
        data = write_manifest(manifest(), key)
        assert read_manifest(data, [IDENTITY, OTHER, SERVER]).proven
        unknown = read_manifest(data, [OTHER])
        assert (unknown.proven, unknown.mac_key) == (False, key.name)
        assert not read_manifest(data, []).proven


def test_a_key_that_calls_itself_another_proves_nothing():
    impostor = MacKey(IDENTITY.name, OTHER.secret)
    with pytest.raises(Forged, match="MAC"):
        read_manifest(write_manifest(manifest(), impostor), [IDENTITY])
    renamed = write_manifest(manifest(), SERVER).replace(SERVER.name.encode(), IDENTITY.name.encode())
    with pytest.raises(Forged, match="MAC"):
        read_manifest(renamed, [IDENTITY, SERVER])


def test_names_of_keys_tell_no_secret():
    assert identity_key(Secret(" AGE-SECRET-KEY-1EXAMPLE\n"), "age1example") == IDENTITY
    assert IDENTITY.name == f"age:{fingerprint('age1example')}"
    assert "EXAMPLE" not in repr(IDENTITY)
    assert "EXAMPLE" not in IDENTITY.secret.reveal()


def test_hkdf_is_that_of_rfc_5869():
    okm = ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    made = hkdf(b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42, salt=bytes(range(13)))
    assert made.hex() == okm
    no_salt = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert hkdf(b"\x0b" * 22, b"", 42).hex() == no_salt


# Drills


def drill(**changed):
    return DrillRecord(**{"backup_id": manifest().id, "service_uid": "uid1", "at": START, "passed": True, "took": 12.5,
                    "data_age": 3600.0, "problems": (), "checks": ("rows of 2 tables",), "program": "0.1.0", **changed})


def test_a_drill_is_read_as_written_and_a_manifest_is_none():
    assert read_drill(write_drill(drill(), IDENTITY), [IDENTITY]) == (drill(), True)
    assert read_drill(write_drill(drill(), IDENTITY), [SERVER]) == (drill(), False)
    with pytest.raises(Forged, match="MAC"):
        read_drill(write_manifest(manifest(), IDENTITY), [IDENTITY])
    with pytest.raises(Forged, match="MAC"):
        read_manifest(remade(lambda document: None, purpose=DRILL), [IDENTITY])
    failed = write_drill(drill(passed=False), IDENTITY)
    with pytest.raises(Forged, match="MAC"):
        read_drill(failed.replace(b'"passed":false', b'"passed":true'), [IDENTITY])


# Places


def test_a_manifest_at_the_place_of_another():
    made = manifest()
    expect_at(made, PLACE, made.id)
    for layout, backup_id in [(PLACE, manifest(1).id), (replace(PLACE, uid="uid2"), made.id),
                              (replace(PLACE, datastore="redis"), made.id)]:
        with pytest.raises(Forged, match="another backup"):
            expect_at(made, layout, backup_id)


@pytest.mark.parametrize("key", ["v1/srv1/data/postgres/uid2/x/y", "v1/srv2/data/postgres/uid1/x/y", "/etc/passwd",
                                 "v1/srv1/data/postgres/uid1/../uid2/y", "v1/srv1/data/postgres/uid1/x//y",
                                 "v1/srv1/catalog/postgres/uid1/x/manifest.json", ""])
def test_data_of_somebody_else_is_not_ours(key):
    made = manifest(parts=(StoredPart(key, 1, "0" * 64, 1, "0" * 64),))
    with pytest.raises(Forged, match="somebody else"):
        expect_at(made, PLACE, made.id)


def test_ids_sort_by_time_and_are_read_back():
    backup_id = new_id(START, 0x11A2B3C4D)
    assert backup_id == "20261120T160000Z-1a2b3c4d"
    assert time_of(backup_id) == START
    assert new_id(START + timedelta(seconds=1), 0) > new_id(START, 0xFFFFFFFF)
    with pytest.raises(ValueError, match="zone"):
        new_id(datetime(2026, 1, 1), 0)


@pytest.mark.parametrize("back", [timedelta(), timedelta(milliseconds=1), timedelta(hours=1), timedelta(days=9000)])
def test_an_id_follows_the_newest_one_when_the_clock_was_set_back(back):
    newest = new_id(START, 0xFFFFFFFF)
    assert new_id(START - back, 0, after=newest) == "20261120T160001Z-00000000"
    assert new_id(START + timedelta(hours=1), 0, after=newest) == "20261120T170000Z-00000000"


@pytest.mark.parametrize("text", ["", "latest", "20261120T160000Z", "20261120T160000Z-1A2B3C4D",
                                  "20261320T160000Z-1a2b3c4d",
                                  "20261120T160000Z-1a2b3c4d\n", "../20261120T160000Z-1a2b3c4d"])
def test_what_is_no_id(text):
    assert not is_id(text)
    with pytest.raises(BadInput, match="no id"):
        time_of(text)
    with pytest.raises(BadInput):
        PLACE.manifest(text)


def test_keys():
    backup_id = new_id(START, 1)
    assert PLACE.manifest(backup_id) == f"v1/srv1/catalog/postgres/uid1/{backup_id}/manifest.json"
    assert PLACE.drill(backup_id, START, 2) == (
        f"v1/srv1/catalog/postgres/uid1/{backup_id}/verify-20261120T160000Z-00000002.json")
    assert PLACE.object(backup_id, "dump.000.zst.age") == f"v1/srv1/data/postgres/uid1/{backup_id}/dump.000.zst.age"
    assert PLACE.pitr("e1") == "v1/srv1/pitr/postgres/uid1/e1/"
    assert wrapped_identity_key("srv1", "age1example") == f"v1/srv1/keys/{fingerprint('age1example')}.age"
    found = place_of(PLACE.manifest(backup_id))
    assert (found.layout, found.kind, found.backup_id, found.name) == (PLACE, "catalog", backup_id, "manifest.json")
    assert place_of(PLACE.object(backup_id, "x")).kind == "data"


@pytest.mark.parametrize("key", ["", "v1/srv1/instance.json",
                                 "v2/s/catalog/p/u/20261120T160000Z-1a2b3c4d/manifest.json",
                                 "v1/s/catalog/p/u/x/manifest.json", "v1/s/pitr/p/u/20261120T160000Z-1a2b3c4d/x",
                                 "v1/s/catalog/../u/20261120T160000Z-1a2b3c4d/manifest.json",
                                 "v1/s/catalog/p/u/20261120T160000Z-1a2b3c4d/x/manifest.json"])
def test_keys_of_strangers_have_no_place(key):
    assert place_of(key) is None


@pytest.mark.parametrize("wrong", ["", "..", "a/b", ".a", "-a", "a b", "ä", "a" * 129, "a\n"])
def test_ids_in_keys_have_no_other_characters(wrong):
    with pytest.raises(BadInput):
        Layout(wrong, "postgres", "uid1")
    with pytest.raises(BadInput):
        Layout("s", "postgres", wrong)
    with pytest.raises(BadInput):
        PLACE.object(new_id(START, 1), wrong)
