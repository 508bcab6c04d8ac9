"""Builds, releases and their states, instances and their addresses."""

import ipaddress
import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from paas.errors import Conflict, NotFound
from paas.model.build import BUILD_MOVES, BuildState
from paas.model.release import RELEASE_MOVES, Check, CheckKind, InstanceState, Process, ReleaseState
from paas.secret import Secret
from paas.store.tables import releases

# builds


def new_build(store, app, anna, tree="t1"):
    return store.create_build(app.id, commit="c" * 40, tree=tree, subject="Say hello", actor=anna)


def built(store, app, anna, tree="t1", image="sha256:1"):
    build = new_build(store, app, anna, tree)
    store.move_build(build.id, BuildState.BUILDING)
    return store.move_build(build.id, BuildState.BUILT, image=image)


def test_builds_are_numbered_per_app(store, app, other, anna, time):
    assert [new_build(store, app, anna).number for _ in range(3)] == [1, 2, 3]
    assert new_build(store, other, anna).number == 1
    build = store.build(app.id, 2)
    assert (build.state, build.subject, build.created_by, build.created_at) == (
        BuildState.QUEUED, "Say hello", "anna", time.now)
    with pytest.raises(NotFound):
        store.build(app.id, 4)


def test_builds_are_listed_newest_first(store, app, other, anna):
    made = [new_build(store, one, anna) for one in (app, other, app)]
    store.move_build(made[0].id, BuildState.BUILDING)
    assert [one.id for one in store.builds()] == [made[2].id, made[1].id, made[0].id]
    assert [one.id for one in store.builds(app.id)] == [made[2].id, made[0].id]
    assert [one.id for one in store.builds(app.id, limit=1)] == [made[2].id]
    assert [one.id for one in store.builds(states=[BuildState.BUILDING])] == [made[0].id]
    assert len(store.builds(states=[BuildState.BUILDING, BuildState.QUEUED])) == 3


def test_a_finished_build_has_its_time_and_cause(store, app, anna, time):
    build = new_build(store, app, anna)
    assert store.move_build(build.id, BuildState.BUILDING).finished_at is None
    time.now += time.second
    failed = store.move_build(build.id, BuildState.FAILED, reason="no space")
    assert (failed.finished_at, failed.reason) == (time.now, "no space")
    with pytest.raises(NotFound):
        store.move_build(99, BuildState.FAILED)


def bring_build(store, build, state):
    if state not in (BuildState.QUEUED, BuildState.CANCELLED):
        store.move_build(build.id, BuildState.BUILDING)
    if state not in (BuildState.QUEUED, BuildState.BUILDING):
        store.move_build(build.id, state)


@pytest.mark.parametrize("start", BuildState)
def test_builds_move_by_the_table(store, app, anna, start):
    for target in BuildState:
        build = new_build(store, app, anna)
        bring_build(store, build, start)
        if target in BUILD_MOVES[start]:
            assert store.move_build(build.id, target).state == target
        else:
            with pytest.raises(AssertionError):
                store.move_build(build.id, target)
            assert store.build(app.id, build.number).state == start


def test_the_newest_image_of_a_tree(store, app, other, anna):
    built(store, app, anna, image="sha256:1")
    second = built(store, app, anna, image="sha256:2")
    built(store, app, anna, tree="t2", image="sha256:3")
    built(store, other, anna, image="sha256:2")
    new_build(store, app, anna)
    assert store.find_build_of_tree(app.id, "t1") == second
    store.forget_image(app.id, "sha256:2")
    assert store.find_build_of_tree(app.id, "t1").image == "sha256:1"
    assert store.find_build_of_tree(other.id, "t1").image == "sha256:2"
    assert store.find_build_of_tree(app.id, "none") is None


# releases

FORMATION = (
    Process("web", ("/bin/sh", "-c", "exec ünï \x01 \"q\" '\n"), 3, 512 * 1024**2, 0.1 + 0.2, 100, 7,
            Check(CheckKind.HTTP, "/up", "200-299", "a.example", 12.5, 0.1, 0.0), Check(CheckKind.UPTIME)),
    Process("worker"),
)


def test_a_release_comes_back_as_it_was_recorded(store, app, anna, new_release, time):
    build = built(store, app, anna)
    made = new_release(app, {"B": Secret("2"), "A": Secret("1")}, FORMATION, build_id=build.id)
    assert made.formation == FORMATION
    assert [type(p.check.kind) for p in made.formation] == [CheckKind, CheckKind]
    assert made.config == {"A": Secret("1"), "B": Secret("2")}
    assert (made.version, made.state, made.exposed, made.healthcheck) == (1, ReleaseState.CREATED, (5000,), True)
    assert (made.build_id, made.subject, made.reason, made.created_by) == (build.id, "First", "git push", "anna")
    assert (made.created_at, made.live_at, made.failure, made.timings) == (time.now, None, "", {})
    assert store.release(app.id, 1) == store.release_by_id(made.id) == store.releases(app.id)[0] == made
    assert "1" not in repr(made.config)


def test_versions_count_per_app(store, app, other, new_release):
    assert [new_release(one).version for one in (app, app, other)] == [1, 2, 1]
    assert [one.version for one in store.releases(app.id)] == [2, 1]
    assert [one.version for one in store.releases(app.id, limit=1)] == [2]
    for ask in (lambda: store.release(app.id, 3), lambda: store.release_by_id(99), lambda: store.commit_live(99, {})):
        with pytest.raises(NotFound):
            ask()


def bring_release(store, release, state, go_live):
    if state in (ReleaseState.LIVE, ReleaseState.RETIRED):
        go_live(release)
    elif state == ReleaseState.FAILED:
        store.move_release(release.id, state, failure="why")
    elif state != ReleaseState.CREATED:
        store.move_release(release.id, ReleaseState.CHECKING)
        if state == ReleaseState.SWITCHING:
            store.move_release(release.id, state)
    if state == ReleaseState.RETIRED:
        store.move_release(release.id, state)


@pytest.mark.parametrize("start", ReleaseState)
def test_releases_move_by_the_table(store, anna, new_release, go_live, start):
    for number, target in enumerate(ReleaseState):
        app = store.create_app(f"app{number}", f"10.89.{number}.0/25", anna)
        release = new_release(app)
        bring_release(store, release, start, go_live)

        def move(release=release, target=target):
            live = target == ReleaseState.LIVE
            return store.commit_live(release.id, {}) if live else store.move_release(release.id, target, failure="x")
        restart = start == target == ReleaseState.LIVE
        if target in RELEASE_MOVES[start] or restart:
            assert move().state == target
        else:
            with pytest.raises(AssertionError):
                move()
            assert store.release_by_id(release.id).state == start


def test_live_is_reached_by_commit_live_alone(store, app, new_release):
    release = new_release(app)
    store.move_release(release.id, ReleaseState.CHECKING)
    store.move_release(release.id, ReleaseState.SWITCHING)
    with pytest.raises(AssertionError):
        store.move_release(release.id, ReleaseState.LIVE)


def test_the_point_of_no_return_turns_everything_at_once(store, app, other, new_release, go_live, time):
    old = new_release(app)
    old_row = store.reserve_instance(app.id, old.id, "web", 1)
    go_live(old)
    foreign = new_release(other)
    foreign_row = store.reserve_instance(other.id, foreign.id, "web", 1)
    new = new_release(app)
    new_row = store.reserve_instance(app.id, new.id, "web", 1)
    time.now += time.second
    live = go_live(new, {"build": 1.25})
    assert (live.state, live.live_at, live.timings) == (ReleaseState.LIVE, time.now, {"build": 1.25})
    assert store.live_release(app.id) == live
    assert store.live_release(other.id) is None
    assert store.release_by_id(old.id).state == ReleaseState.RETIRED
    states = {row.id: row.state for row in store.instances()}
    assert states == {old_row.id: InstanceState.DRAINING, new_row.id: InstanceState.HEALTHY,
                      foreign_row.id: InstanceState.STARTING}
    assert [one.id for one in store.unfinished_releases()] == [foreign.id]
    store.record_timings(live.id, {"build": 1.25, "drain": 0.5})
    assert store.release_by_id(live.id).timings == {"build": 1.25, "drain": 0.5}


def test_a_commit_that_breaks_off_changes_nothing(store, app, new_release, go_live, monkeypatch):
    old = new_release(app)
    row = store.reserve_instance(app.id, old.id, "web", 1)
    old = go_live(old)
    new = new_release(app, {"A": Secret("2")})
    store.replace_config(app.id, {"A": Secret("1")})
    seen = []

    def cut(connection, release, **_):
        seen.append(tuple(row.state for row in connection.execute(select(releases).order_by(releases.c.id))))
        raise RuntimeError("cut")
    monkeypatch.setattr("paas.store.releases.turn_instances", cut)
    with pytest.raises(RuntimeError):
        go_live(new)
    assert seen == [(ReleaseState.RETIRED, ReleaseState.LIVE)]
    assert store.live_release(app.id) == old
    assert store.release_by_id(new.id).state == ReleaseState.SWITCHING
    assert [(one.id, one.state) for one in store.instances(app.id)] == [(row.id, InstanceState.HEALTHY)]
    assert store.config(app.id) == {"A": Secret("1")}


def test_what_goes_live_is_what_is_wanted(store, app, new_release, go_live):
    store.replace_config(app.id, {"OLD": Secret("1")})
    store.set_scale(app.id, {"web": 9, "other": 2})
    failed = new_release(app, {"BAD": Secret("1")}, (Process("web", quantity=5),))
    store.move_release(failed.id, ReleaseState.FAILED)
    assert (store.config(app.id), store.scale(app.id)) == ({"OLD": Secret("1")}, {"web": 9, "other": 2})
    go_live(new_release(app, {"NEW": Secret("1")}, (Process("web", quantity=3, scaled=True),)))
    assert (store.config(app.id), store.scale(app.id)) == ({"NEW": Secret("1")}, {"web": 3, "other": 2})
    go_live(new_release(app, {}, (Process("web", quantity=1),)))             # by app.json or the default
    assert store.scale(app.id) == {"other": 2}


def test_a_restart_turns_the_instances_and_leaves_what_waits_alone(store, app, new_release, go_live, time):
    release = new_release(app, {"A": Secret("1")})
    old = store.reserve_instance(app.id, release.id, "web", 1)
    live = go_live(release, {"build": 1.0})
    store.replace_config(app.id, {"A": Secret("2")})
    store.set_scale(app.id, {"web": 4})
    new = store.reserve_instance(app.id, release.id, "web", 1)
    time.now += time.second
    assert store.commit_live(release.id, {}) == live
    assert {row.id: row.state for row in store.instances()} == {
        old.id: InstanceState.DRAINING, new.id: InstanceState.HEALTHY}
    assert (store.config(app.id), store.scale(app.id)) == ({"A": Secret("2")}, {"web": 4})


def test_a_restart_of_one_process_type(store, app, other, new_release, go_live):
    release, foreign = new_release(app), new_release(other)
    rows = [store.reserve_instance(app.id, release.id, kind, 1) for kind in ("web", "worker")]
    alien = store.reserve_instance(other.id, foreign.id, "worker", 1)
    go_live(release)
    new = [store.reserve_instance(app.id, release.id, kind, 1) for kind in ("web", "worker")]
    store.turn_instances(release.id, "worker")
    assert {row.id: row.state for row in store.instances()} == {
        rows[0].id: InstanceState.HEALTHY, rows[1].id: InstanceState.DRAINING, alien.id: InstanceState.STARTING,
        new[0].id: InstanceState.STARTING, new[1].id: InstanceState.HEALTHY}
    with pytest.raises(NotFound):
        store.turn_instances(99, "web")


FIXED = ["id", "app_id", "version", "image", "build_id", '"commit"', "tree", "subject", "config", "formation",
         "exposed", "healthcheck", "created_at", "created_by", "reason"]


@pytest.mark.parametrize("column", FIXED)
def test_the_database_itself_refuses_to_alter_a_release(store, app, new_release, column):
    new_release(app)
    with pytest.raises(IntegrityError, match="never altered"), store._db.write() as connection:
        connection.execute(text(f"UPDATE releases SET {column} = {column}"))


def test_the_database_itself_refuses_what_history_forbids(store, app, anna, new_release, go_live):
    go_live(new_release(app))
    store.add_event(anna, "deploy", "blog", "ok", {})
    new_release(app)
    for statement, why in (("DELETE FROM releases", "only with its app"), ("UPDATE events SET verb = 'x'", "never"),
                           ("DELETE FROM events", "by its age"), ("UPDATE releases SET state = 'live'", "UNIQUE")):
        with pytest.raises(IntegrityError, match=why), store._db.write() as connection:
            connection.execute(text(statement))
    assert len(store.releases(app.id)) == 2
    assert len(store.events()) == 1


# instances


def test_an_instance_gets_the_lowest_free_address(store, app, other, new_release):
    release, foreign = new_release(app), new_release(other)
    rows = [store.reserve_instance(app.id, release.id, "web", n) for n in (1, 2, 3)]
    assert [row.address for row in rows] == ["10.89.0.2", "10.89.0.3", "10.89.0.4"]
    assert store.reserve_instance(other.id, foreign.id, "web", 1).address == "10.89.0.130"
    store.delete_instance(rows[1].id)
    store.delete_instance(rows[1].id)
    assert store.reserve_instance(app.id, release.id, "worker", 1).address == "10.89.0.3"
    assert rows[0].state == InstanceState.STARTING


def test_the_lower_half_of_the_network_holds_62(store, app, new_release):
    release = new_release(app)
    rows = [store.reserve_instance(app.id, release.id, "web", n) for n in range(62)]
    half = next(ipaddress.ip_network(app.subnet).subnets(1))
    assert {row.address for row in rows} == {str(one) for one in half if one not in (half[0], half[1])}
    with pytest.raises(Conflict, match="too many instances"):
        store.reserve_instance(app.id, release.id, "web", 99)


def test_instances_change_and_are_listed(store, app, other, new_release):
    first, second, foreign = new_release(app), new_release(app), new_release(other)
    worker = store.reserve_instance(app.id, first.id, "worker", 1)
    web = store.reserve_instance(app.id, first.id, "web", 1)
    later = store.reserve_instance(app.id, second.id, "web", 1)
    alien = store.reserve_instance(other.id, foreign.id, "web", 1)
    changed = store.update_instance(web.id, container_id="abc", port=5000)
    assert (changed.container_id, changed.port, changed.state) == ("abc", 5000, InstanceState.STARTING)
    assert store.update_instance(web.id, state=InstanceState.HEALTHY).target == "10.89.0.3:5000"
    assert store.update_instance(web.id).state == InstanceState.HEALTHY
    assert [row.id for row in store.instances(app.id)] == [web.id, worker.id, later.id]
    assert [row.id for row in store.instances(app.id, release_id=second.id)] == [later.id]
    assert [row.id for row in store.instances(release_id=foreign.id)] == [alien.id]
    assert len(store.instances()) == 4
    with pytest.raises(NotFound):
        store.update_instance(99, port=1)


def test_twenty_threads_reserve_at_once(store, app, new_release):
    release = new_release(app)
    start, found, failed = threading.Barrier(20), [], []

    def reserve(ordinal):
        start.wait(10)
        try:
            found.extend(store.reserve_instance(app.id, release.id, "web", ordinal * 3 + n).address for n in range(3))
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=reserve, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert sorted(map(ipaddress.ip_address, found)) == [ipaddress.ip_address(f"10.89.0.{n}") for n in range(2, 62)]
    assert len(store.instances(app.id)) == 60


def test_an_instance_of_a_vanished_app_or_release(store, app, new_release):
    release = new_release(app)
    with pytest.raises(NotFound):
        store.reserve_instance(app.id, release.id + 1, "web", 1)
    store.delete_app(app.id)
    with pytest.raises(NotFound):
        store.reserve_instance(app.id, release.id, "web", 1)
