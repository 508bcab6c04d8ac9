"""The flow over fakes: what a push does, and what it refuses."""

import pytest

from paas.errors import BuildFailed, CheckFailed
from paas.model.build import BuildState
from paas.model.release import InstanceState, ReleaseState
from paas.ops import apps, config, releases
from paas.ports import Listener, Page
from paas.testing.fake_containers import Behaviour
from tests.flow.over_fakes import ALICE, DOCKERFILE, ZERO


def live(flow, app="hello"):
    return flow.rt.store.live_release(flow.app(app).id)


def rows(flow, app="hello"):
    return flow.rt.store.instances(flow.app(app).id)


def test_a_first_push_is_live(flow):
    commit = flow.deploy()
    release = live(flow)
    assert (release.version, release.commit, release.state) == (1, commit, ReleaseState.LIVE)
    (row,) = rows(flow)
    assert row.state == InstanceState.HEALTHY
    assert flow.router.pointed(row.app_id) == (f"{row.address}:8080",)
    assert "=====> Live: v1" in flow.lines.text
    assert "http://hello.apps.example.com" in flow.lines.text
    assert flow.containers.running() == [f"paas-instance-{row.id}"]


def test_the_second_push_replaces_the_first(flow):
    flow.deploy("one")
    (old,) = rows(flow)
    flow.deploy("two")
    (new,) = rows(flow)
    assert new.id != old.id
    assert new.address != old.address
    assert flow.router.pointed(new.app_id) == (new.target,)
    assert [one.state for one in flow.rt.store.releases(new.app_id)] == [ReleaseState.LIVE, ReleaseState.RETIRED]
    assert (old.container_id, "SIGTERM") in flow.containers.signals


def test_the_release_knows_how_long_each_stage_took(flow):
    flow.deploy()
    assert set(live(flow).timings) == {"receive", "build", "release", "start", "check", "switch"}


def test_the_same_commit_again_is_already_live(flow):
    commit = flow.deploy()
    assert flow.push(commit, old=commit) == 0
    assert "Already live" in flow.lines.text
    assert live(flow).version == 1


def test_an_unchanged_tree_is_not_built_again(flow):
    flow.deploy("one")
    built = len(flow.images.requests)
    again = flow.repos.commit(flow.app().id, {"Dockerfile": DOCKERFILE, "index.html": b"one"}, subject="Other words")
    assert flow.push(again) == 0, flow.lines.text
    assert len(flow.images.requests) == built
    assert live(flow).version == 2


@pytest.mark.parametrize(("ref", "words"), [
    ("feature", "deploys from the branch 'main'"), ("$(id)", "deploys from the branch")])
def test_another_branch_is_refused_before_any_work(flow, ref, words):
    assert flow.push(flow.commit(), branch=ref) == 10
    assert words in flow.lines.text
    assert "repos.read" not in flow.faults.calls
    assert flow.rt.store.builds(flow.app().id) == []


def test_master_deploys_where_it_is_pushed_first_and_then_main_does_not(flow):
    assert flow.push(flow.commit(), branch="master") == 0
    flow.settle()
    assert flow.app().settings["git.deploy-branch"] == "master"
    assert flow.push(flow.commit({"x": b"2"}), branch="main") == 10


def test_a_deletion_is_refused(flow):
    commit = flow.deploy()
    assert flow.push(ZERO, old=commit) == 10
    assert live(flow).commit == commit


def test_a_push_overtaken_by_another_is_refused(flow):
    first = flow.deploy("one")
    flow.deploy("two")
    assert flow.push(flow.commit({"index.html": b"three"}), old=first) == 10
    assert "went live meanwhile" in flow.lines.text
    assert live(flow).version == 2


def test_a_failed_build_changes_nothing(flow):
    flow.deploy("one")
    before = live(flow), rows(flow), flow.router.pointed(flow.app().id)
    commit = flow.commit({"Dockerfile": b"FROM busybox\nRUN echo about to fail; exit 3\n"})
    assert flow.push(commit) == BuildFailed.exit_code
    assert "exit code 3" in flow.lines.text
    assert (live(flow), rows(flow), flow.router.pointed(flow.app().id)) == before
    (build, _) = flow.rt.store.builds(flow.app().id)
    assert build.state == BuildState.FAILED
    assert "exit code 3" in build.reason


def test_a_source_without_dockerfile_says_what_it_has(flow):
    app = flow.app()
    assert flow.push(flow.repos.commit(app.id, {"app.py": b"", "README": b""})) == 10
    assert "there is no Dockerfile in the source, and no buildpack fits: looked for app.fake" in flow.lines.text
    assert "README, app.py" in flow.lines.text


@pytest.mark.parametrize(("behaviour", "words"), [
    (Behaviour(exits=1, logs=["Traceback: no module named app"]), "exited with exit code 1"),
    (Behaviour(exits=0, looks=3, logs=["Traceback: no module named app"]), "exited with exit code 0"),
    (Behaviour(exits=137, oom=True, logs=["Traceback: no module named app"]), "ran out of memory"),
    (Behaviour(listens=[], logs=["Traceback: no module named app"]), "nothing listens on port 8080 (EXPOSE)"),
    (Behaviour(listens=[Listener("0.0.0.0", 9000)], logs=["Traceback: no module named app"]),
     "listens on port 9000, not on 8080 (EXPOSE)"),
    (Behaviour(listens=[Listener("127.0.0.1", 8080)], logs=["Traceback: no module named app"]),
     "listens on 127.0.0.1:8080 only"),
])
def test_a_release_that_does_not_come_up_is_undone(flow, behaviour, words):
    flow.deploy("one")
    before = live(flow), rows(flow), flow.router.pointed(flow.app().id), flow.containers.running()
    flow.containers.behave("paas.release=2", behaviour)
    assert flow.push(flow.commit({"index.html": b"two"})) == CheckFailed.exit_code
    flow.settle()
    assert words in flow.lines.text
    assert "Traceback: no module named app" in flow.lines.text
    assert (live(flow), rows(flow), flow.router.pointed(flow.app().id), flow.containers.running()) == before
    failed = flow.rt.store.release(flow.app().id, 2)
    assert failed.state == ReleaseState.FAILED
    assert words in failed.failure


def test_loopback_gets_its_advice_also_where_the_time_is_short(flow):
    flow.rt.store.set_app_setting(flow.app().id, "checks.timeout", "1")
    flow.containers.behave("paas.release=1", Behaviour(listens=[Listener("127.0.0.1", 8080)]))
    assert flow.push(flow.commit()) == CheckFailed.exit_code
    assert "listens on 127.0.0.1:8080 only" in flow.lines.text
    assert "Bind to 0.0.0.0" in flow.lines.text


def test_no_port_is_named_and_one_other_listens(flow):
    flow.containers.behave("paas.release=1", Behaviour(listens=[Listener("::", 3000)]))
    commit = flow.commit({"Dockerfile": b'FROM busybox\nCMD ["node"]\n'})
    assert flow.push(commit) == 0, flow.lines.text
    assert "listens on port 3000 (not on $PORT): routing there" in flow.lines.text
    assert rows(flow)[0].port == 3000


def test_all_process_types_pass_before_anything_is_switched(flow):
    flow.deploy("one")
    before = flow.router.pointed(flow.app().id)
    flow.rt.store.set_scale(flow.app().id, {"worker": 1})
    flow.containers.behave("paas.process=worker", Behaviour(exits=1, logs=["no redis"]))
    commit = flow.commit({"Procfile": b"web: httpd\nworker: work\n"})
    assert flow.push(commit) == CheckFailed.exit_code
    assert "no redis" in flow.lines.text
    assert flow.router.pointed(flow.app().id) == before


def test_config_set_makes_a_release_without_a_build(flow):
    flow.deploy("one")
    built = len(flow.images.requests)
    assert config.set_vars(flow.rt, flow.app(), ALICE, {"GREETING": "hi\n$x"}, restart=True, say=flow.lines.append)
    flow.settle()
    release = live(flow)
    assert release.version == 2
    assert release.config["GREETING"].reveal() == "hi\n$x"
    assert len(flow.images.requests) == built
    (row,) = rows(flow)
    assert flow.containers.spec(row.container_id).environment["GREETING"].reveal() == "hi\n$x"


def test_an_unchanged_value_does_nothing(flow):
    flow.deploy("one")
    config.set_vars(flow.rt, flow.app(), ALICE, {"A": "1"}, restart=True, say=flow.lines.append)
    assert not config.set_vars(flow.rt, flow.app(), ALICE, {"A": "1"}, restart=True, say=flow.lines.append)
    assert live(flow).version == 2


def test_a_failing_config_change_leaves_the_old_value_and_the_old_containers(flow):
    flow.deploy("one")
    before = live(flow), rows(flow)
    flow.containers.behave("paas.release=2", Behaviour(exits=1))
    with pytest.raises(CheckFailed):
        config.set_vars(flow.rt, flow.app(), ALICE, {"BAD": "1"}, restart=True, say=flow.lines.append)
    flow.settle()
    assert "BAD" not in flow.rt.store.config(flow.app().id)
    assert (live(flow), rows(flow)) == before


def test_no_restart_waits_for_the_next_release(flow):
    flow.deploy("one")
    config.set_vars(flow.rt, flow.app(), ALICE, {"A": "1"}, restart=False, say=flow.lines.append)
    assert live(flow).version == 1
    flow.deploy("two")
    assert live(flow).config["A"].reveal() == "1"


def test_rollback_brings_image_config_and_formation_back(flow):
    flow.deploy("one")
    config.set_vars(flow.rt, flow.app(), ALICE, {"A": "1"}, restart=True, say=flow.lines.append)
    flow.deploy("two")
    told = []
    releases.rollback(flow.rt, flow.app(), ALICE, 1, flow.lines.append, told.append)
    flow.settle()
    first, now = flow.rt.store.release(flow.app().id, 1), live(flow)
    assert now.version == 4
    for what in ("image", "config", "formation", "commit"):
        assert getattr(now, what) == getattr(first, what)
    assert any(line.startswith("config    - A") for line in told)
    assert any(line.startswith("image") for line in told)
    assert flow.rt.store.config(flow.app().id) == {}
    assert flow.repos.ref(flow.app().id, "main") == first.commit


def test_a_worker_only_app_needs_no_route(flow):
    flow.rt.store.set_scale(flow.app().id, {"worker": 1})
    assert flow.push(flow.commit({"Procfile": b"worker: work\n"})) == 0, flow.lines.text
    flow.settle()
    assert flow.router.pointed(flow.app().id) == Page.STOPPED


def test_images_of_the_last_releases_are_kept(flow):
    flow.rt.store.set_setting("keep-releases", "2")
    for text in ("one", "two", "three", "four"):
        flow.deploy(text)
    kept = {one.digest for one in flow.images.list({"paas.app": str(flow.app().id)})}
    served = flow.rt.store.releases(flow.app().id)
    assert kept == {served[0].image, served[1].image}


def test_a_locked_app_refuses(flow):
    flow.deploy("one")
    flow.rt.store.update_app(flow.app().id, locked="freeze")
    assert flow.push(flow.commit({"x": b"y"})) == 5
    assert "locked: freeze" in flow.lines.text


def test_app_json_sets_quantities_until_somebody_scales(flow):
    def formation(quantity):
        return {"Procfile": b"web: httpd\nworker: work\n",
                "app.json": b'{"formation": {"worker": {"quantity": %d}}}' % quantity}

    def workers():
        flow.settle()
        return sum(row.process_type == "worker" for row in rows(flow))

    assert flow.push(flow.commit(formation(1))) == 0, flow.lines.text
    assert workers() == 1
    assert flow.push(flow.commit(formation(2))) == 0
    assert workers() == 2
    flow.rt.store.set_scale(flow.app().id, {"worker": 3})
    assert flow.push(flow.commit(formation(1))) == 0
    assert workers() == 3


def test_too_little_free_disk_stops_a_push_before_the_build(flow):
    flow.deploy("one")
    flow.images.free = 10**9
    assert flow.push(flow.commit({"index.html": b"two"})) == 32
    assert "only 1.0 GB of disk are free" in flow.lines.text
    assert len(flow.rt.store.builds(flow.app().id)) == 1


def test_a_build_over_its_time_is_stopped(flow):
    flow.rt.store.set_setting("build-timeout", "10")
    flow.clock.step = 1.0
    assert flow.push(flow.commit({"Dockerfile": b"FROM busybox\nRUN sleep 600\n"})) == BuildFailed.exit_code
    assert "longer than 10 s" in flow.lines.text


def test_an_oversized_image_is_refused_and_removed(flow):
    flow.rt.store.set_setting("image-size-limit", "1")
    assert flow.push(flow.commit()) == BuildFailed.exit_code
    assert flow.images.list({}) == []


def test_build_output_has_a_limit(flow):
    flow.rt.store.set_setting("build-output-limit", "10000")
    noisy = b"FROM busybox\nRUN echo " + b"x" * 1500 + b"\n"
    assert flow.push(flow.commit({"Dockerfile": noisy + noisy[13:] * 20 + b'EXPOSE 80\nCMD ["x"]\n'})) == 0
    assert "limit is reached" in flow.lines.text
    assert len(flow.lines.text) < 14_000


def test_destroy_leaves_nothing(flow):
    flow.deploy("one")
    app = flow.app()
    apps.destroy(flow.rt, app, flow.lines.append)
    assert flow.containers.list({}) == []
    assert flow.containers.networks() == {}
    assert flow.images.list({}) == []
    assert flow.router.known() == []
    assert flow.rt.store.find_app("hello") is None
