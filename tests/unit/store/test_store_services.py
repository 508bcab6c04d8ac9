"""Services, links, targets, backups and drills in the database."""

import pytest

from paas.errors import Conflict, NotFound
from paas.model.access import Actor
from paas.model.backup import BackupState, Target, Trigger
from paas.model.service import ServiceState
from paas.secret import Secret

ALICE = Actor("alice", 1)


def make(store, name="db", number=1, datastore="postgres"):
    return store.create_service(datastore, name, uid=f"uid{number}", version="17", image="sha256:1",
                                subnet=f"10.89.{number}.0/25", volume=f"paas-data-uid{number}", settings={},
                                secrets={"password": Secret("geheim")}, actor=ALICE)


def test_a_service_comes_back_as_it_was_made(store):
    made = make(store)
    assert store.service("postgres", "db") == made == store.service_by_id(made.id)
    assert made.state == ServiceState.CREATING
    assert made.secrets["password"].reveal() == "geheim"


def test_its_secrets_are_sealed(store):
    make(store)
    with store._db.read() as connection:
        assert b"geheim" not in bytes(connection.exec_driver_sql("SELECT secrets FROM services").scalar())


def test_two_of_one_name_only_in_two_datastores(store):
    make(store)
    make(store, number=2, datastore="redis")
    with pytest.raises(Conflict, match="exists already"):
        make(store, number=3)
    with pytest.raises(Conflict, match="network"):
        make(store, "other")
    assert [one.datastore for one in store.services()] == ["postgres", "redis"]


def test_updates_and_settings(store):
    made = make(store)
    store.update_service(made.id, state=ServiceState.RUNNING, container_id="c1")
    store.set_service_setting(made.id, "memory", "256m")
    store.set_service_secrets(made.id, {"password": Secret("neu")})
    found = store.service("postgres", "db")
    assert (found.state, found.container_id, found.settings) == (ServiceState.RUNNING, "c1", {"memory": "256m"})
    assert found.secrets == {"password": Secret("neu")}
    assert store.set_service_setting(made.id, "memory", None).settings == {}


def test_links_go_with_either_end(store):
    made, other = make(store), make(store, "other", 2)
    app, second = store.create_app("hello", "10.89.8.0/25", ALICE), store.create_app("two", "10.89.9.0/25", ALICE)
    for app_id in (app.id, second.id):
        store.put_link(made.id, app_id, "DATABASE")
    store.put_link(made.id, app.id, "BLUE")
    assert [link.alias for link in store.links(app_id=app.id)] == ["BLUE"]
    store.put_link(other.id, app.id, "DATABASE")
    store.delete_app(second.id)
    assert len(store.links(service_id=made.id)) == 1
    store.delete_service(made.id)
    assert store.links() == store.links(service_id=other.id)


def test_a_target_is_sealed_and_comes_back(store):
    target = Target("s3://bucket/x", "https://s3.example", "eu", "AK", Secret("SK"))
    store.set_backup_target("", target)
    assert store.backup_target("") == target
    assert store.backup_target("uid1") is None
    with store._db.read() as connection:
        assert b"SK" not in bytes(connection.exec_driver_sql("SELECT target FROM backup_targets").scalar())
    store.set_backup_target("", None)
    assert store.backup_target("") is None


def test_schedules_are_kept_once(store):
    assert store.add_backup_schedule("uid1", "@daily", ALICE)
    assert not store.add_backup_schedule("uid1", "@daily", ALICE)
    assert store.add_backup_schedule("uid1", "@hourly", ALICE)
    assert [one.schedule for one in store.backup_schedules("uid1")] == ["@daily", "@hourly"]
    assert store.remove_backup_schedules("uid1", "@daily") == 1
    assert store.remove_backup_schedules("uid1") == 1


def test_a_backup_and_its_drill(store):
    made = store.add_backup("20260101T000000Z-00000001", "uid1", "postgres", "db", trigger=Trigger.MANUAL,
                            target="file:///x")
    assert store.backup(made.id) == made
    store.move_backup(made.id, BackupState.READ_BACK, size=12, manifest="{}")
    found = store.backup(made.id)
    assert found.good
    assert found.finished_at
    number = store.begin_drill(found)
    assert store.drills("uid1")[0].passed is None
    store.end_drill(number, True, restore_seconds=1.5, data_age=60)
    assert store.drills()[0].restore_seconds == 1.5
    store.drop_drill(store.begin_drill(found))
    assert [one.id for one in store.drills()] == [number]
    assert store.move_backup(made.id, BackupState.DRILLED).finished_at == found.finished_at
    assert store.hold_backup(made.id, True).held
    assert store.backups("uid1", states=(BackupState.FAILED,)) == []
    with pytest.raises(NotFound):
        store.backup("20260101T000000Z-00000002")
