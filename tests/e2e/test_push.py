"""Section by section what a push does over real sshd, git, Docker and Caddy: receive, build, queue."""

import os
import signal
import subprocess
import threading
import time

import pytest

from tests.e2e.world import run, until
from tests.fixtures import apps


def versions(world, app):
    return [row["version"] for row in world.local("releases", app, "--format", "json", check=True).json]


# --- receive -----------------------------------------------------------------------------------------------------


def test_the_push_tells_its_story(world):
    repo = world.app_repo(apps.web("one"))
    output = repo.push().output
    for words in ("-----> Received", "-----> Building from Dockerfile (build 1)", "-----> Release v1: web=1",
                  "-----> Checks passed: 1 instance", "=====> Live: v1 in", f"v1 http://{repo.host}"):
        assert f"remote: {words}" in output or f"remote:        {words}" in output, output


def test_a_machine_reads_what_came_of_a_push(world):
    """The exit code, one last line with release and URL, JSON; no escape sequence where there is no terminal."""
    repo = world.app_repo(apps.web("one"))
    first, second = repo.push(), (repo.commit(apps.page("two")), repo.push())[1]
    for done, version in ((first, "v1"), (second, "v2")):
        last = [line.strip() for line in done.stderr.splitlines() if line.startswith("remote:")][-1]
        assert last.split() == ["remote:", version, f"http://{repo.host}:{world.settings.http_port}"]
        assert (done.returncode, "\x1b" in done.output) == (0, False)
    broken = repo.commit({"Dockerfile": "FROM busybox:latest\nRUN printf '\\033[31mred' && exit 7\n"})
    refused = repo.push(check=False)
    assert (refused.returncode, "\x1b" in refused.output) == (1, False)
    assert not [line for line in refused.stderr.splitlines() if "http://" in line]
    assert [(one["version"], one["state"]) for one in world.paas("releases", repo.app, "--format", "json").json] == [
        ("v2", "live"), ("v1", "retired")]
    build = world.paas("builds:list", repo.app, "--format", "json").json[0]
    assert (build["commit"], build["state"]) == (broken, "failed")


def test_a_command_that_deploys_says_under_quiet_nothing_but_its_exit_code(world):
    repo = world.app_repo(apps.web("one"))
    repo.push()
    done = world.paas("config:set", repo.app, "A=1", "--quiet", check=True)
    assert (done.stdout, done.stderr) == ("", "")
    told = world.paas("config:set", repo.app, "A=2", check=True)
    assert told.stdout.splitlines()[-1].split() == ["v3", f"http://{repo.host}:{world.settings.http_port}"]
    assert "\x1b" not in told.output


def test_another_branch_is_refused_with_the_reason(world):
    repo = world.app_repo(apps.web())
    repo.push()
    refused = repo.push("feature", check=False)
    assert refused.returncode != 0
    assert "deploys from the branch 'main', not from 'feature': nothing was deployed" in refused.output
    assert versions(world, repo.app) == ["v1"]


def test_any_branch_can_be_the_deploy_branch(world):
    repo = world.app_repo(apps.web("one"))
    world.paas("apps:create", repo.app, check=True)
    world.paas("git:set", repo.app, "deploy-branch", "release/2026", check=True)
    assert repo.push(check=False).returncode != 0
    repo.push("release/2026")
    assert world.get(repo.host).text == "one"


def test_master_where_it_is_pushed_first(world):
    repo = world.app_repo(apps.web("one"), branch="master")
    repo.push()
    assert world.get(repo.host).text == "one"
    assert repo.push("main", check=False).returncode != 0


def test_the_same_commit_again_is_already_live(world):
    repo = world.app_repo(apps.web())
    repo.push()
    assert "Everything up-to-date" in repo.push().output
    # A ref that went back by force, and the live commit pushed over it again.
    first = repo.git("rev-parse", "HEAD").stdout.strip()
    repo.git("update-ref", "refs/heads/side", first)
    again = repo.push(ref="side", force=True)
    assert again.returncode == 0
    assert versions(world, repo.app) == ["v1"]


def test_a_failed_push_can_be_pushed_again(world):
    repo = world.app_repo({**apps.web("one"), **apps.failing_build()})
    assert repo.push(check=False).returncode != 0
    assert repo.push(check=False).returncode != 0
    repo.commit(apps.web("two"))
    repo.push()
    assert world.get(repo.host).text == "two"


def test_a_force_push_deploys(world):
    repo = world.app_repo(apps.web("one"))
    repo.push()
    repo.git("commit", "--quiet", "--amend", "--allow-empty", "--message", "rewritten")
    assert repo.push(check=False).returncode != 0
    repo.push(force=True)
    assert versions(world, repo.app) == ["v2", "v1"]


def test_deletion_several_refs_and_tags_are_refused_before_any_build(world):
    repo = world.app_repo(apps.web())
    repo.push()
    url = world.remote(repo.app)
    assert "is not deleted by a push" in repo.git("push", url, ":refs/heads/main", check=False).output
    two = repo.git("push", url, "HEAD:refs/heads/main", "HEAD:refs/heads/other", check=False)
    assert two.returncode != 0
    repo.git("tag", "v1")
    tagged = repo.git("push", url, "v1", check=False)
    assert tagged.returncode != 0
    assert "is not a branch" in tagged.output
    assert versions(world, repo.app) == ["v1"]


@pytest.mark.parametrize("before", [True, False], ids=["a later push", "the first push"])
def test_a_shallow_clone_pushes_as_actions_checkout_does(world, tmp_path, before):
    """With the words of the workflow in README.md; HEAD is detached, as it is for a tag or a run by hand."""
    repo = world.app_repo(apps.web("one"))
    for text in ("two", "three"):
        repo.commit(apps.page(text))
    if before:
        repo.push()
    repo.commit(apps.page("four"))
    shallow = tmp_path / "checkout"
    run(["git", "clone", "--quiet", "--depth", "1", f"file://{repo.path}", str(shallow)], check=True)
    run(["git", "-C", str(shallow), "checkout", "--quiet", "--detach"], check=True)
    pushed = run(["git", "push", "--force", world.remote(repo.app), "HEAD:refs/heads/main"], cwd=shallow,
                 env=world.git_environment())
    assert pushed.returncode == 0, pushed.output
    assert world.get(repo.host).text == "four"


@pytest.mark.parametrize(("name", "words"), [("Dockerfile", "regular file"), ("Procfile", "regular file"),
                                             ("app.json", "regular file")])
def test_files_that_matter_must_be_regular_files(world, name, words):
    repo = world.app_repo(apps.web())
    (repo.path / name).unlink(missing_ok=True)
    (repo.path / name).symlink_to("/etc/passwd")
    repo.commit({}, "a link")
    refused = repo.push(check=False)
    assert refused.returncode != 0
    assert words in refused.output
    assert "root:" not in refused.output


def test_submodules_and_lfs_get_a_clear_message(world):
    repo = world.app_repo(apps.web())
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    repo.git("commit", "--quiet", "--message", "a submodule")
    refused = repo.push(check=False)
    assert refused.returncode != 0
    assert "submodule" in refused.output
    assert "vendor/lib" in refused.output
    lfs = world.app_repo({**apps.web(), "big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:"
                          + "0" * 64 + "\nsize 123456\n"})
    refused = lfs.push(check=False)
    assert refused.returncode != 0
    assert "LFS" in refused.output


def test_creating_the_app_on_first_push_is_a_setting(own_world):
    own_world.local("server:set", "auto-create-apps", "false", check=True)
    repo = own_world.app_repo(apps.web())
    refused = repo.push(check=False)
    assert refused.returncode != 0
    assert f"paas apps:create {repo.app}" in refused.output
    created = own_world.paas("apps:create", repo.app, check=True)
    assert "git remote add production" in created.output
    repo.push()


# --- build -----------------------------------------------------------------------------------------------------------


def test_a_failed_build_shows_its_last_lines_and_leaves_the_old_release(world):
    repo = world.app_repo(apps.web("one"))
    repo.push()
    before = world.containers(repo.app)
    repo.commit(apps.failing_build("no such package: left-pad"))
    failed = repo.push(check=False)
    assert failed.returncode != 0
    assert "no such package: left-pad" in failed.output
    assert "exit code 7" in failed.output
    assert world.get(repo.host).text == "one"
    assert [c["Id"] for c in world.containers(repo.app)] == [c["Id"] for c in before]
    row = world.local("builds", repo.app, "--format", "json", check=True).json[0]
    assert row["state"] == "failed"
    replay = world.local("builds:log", repo.app, str(row["number"]), check=True).output
    assert "no such package: left-pad" in replay


def test_a_base_image_that_cannot_be_fetched_is_named(world):
    repo = world.app_repo({"Dockerfile": "FROM registry.invalid/no/such:1\nCMD [\"x\"]\n"})
    failed = repo.push(check=False)
    assert failed.returncode != 0
    assert "registry.invalid/no/such:1" in failed.output
    assert "could not be fetched" in failed.output


def test_a_syntax_line_that_cannot_be_fetched_is_named(world):
    repo = world.app_repo({"Dockerfile": "# syntax=docker.invalid/dockerfile:1\nFROM busybox:latest\nCMD [\"x\"]\n"})
    failed = repo.push(check=False)
    assert failed.returncode != 0
    assert "syntax" in failed.output


def test_an_unchanged_tree_is_not_built_again(world):
    repo = world.app_repo(apps.web("one"))
    repo.push()
    repo.commit({}, "only the message")
    assert "the source is unchanged" in repo.push().output
    assert versions(world, repo.app) == ["v2", "v1"]


def test_a_build_secret_is_in_no_layer_and_no_log(world):
    secret = "s3cr3t-kept-quiet"
    dockerfile = ("FROM busybox:latest\nRUN --mount=type=secret,id=TOKEN "
                  f"wc -c < /run/secrets/TOKEN; echo {time.time()}\n"
                  "COPY www /www\nCMD exec httpd -f -p $PORT -h /www\n")
    repo = world.app_repo({**apps.web("one"), "Dockerfile": dockerfile})
    world.paas("apps:create", repo.app, check=True)
    world.paas("config:set", "--no-restart", repo.app, f"TOKEN={secret}", check=True)
    world.paas("builder:secret", repo.app, "TOKEN", check=True)
    output = repo.push().output
    assert str(len(secret)) in output
    assert secret not in output
    image = world.containers(repo.app)[0]["Image"]
    shown = run(["docker", "history", "--no-trunc", image]).output + run(["docker", "image", "inspect", image]).output
    assert secret not in shown


def test_a_build_can_be_cancelled(world):
    repo = world.app_repo({"Dockerfile": "FROM busybox:latest\nRUN echo started && sleep 300\nCMD [\"x\"]\n"})
    world.paas("apps:create", repo.app, check=True)
    result = {}
    pusher = threading.Thread(target=lambda: result.update(push=repo.push(check=False)))
    pusher.start()
    until(lambda: any(row["state"] == "building" for row in
                      world.local("builds", repo.app, "--format", "json").json), "the build runs")
    world.paas("builds:cancel", repo.app, check=True)
    pusher.join(30)
    assert result["push"].returncode != 0
    assert "cancel" in result["push"].output
    assert world.local("builds", repo.app, "--format", "json").json[0]["state"] == "cancelled"


def test_a_dockerignore_is_obeyed(world):
    fresh = apps.web(f"one of {world.root.name}")        # a cached step would say nothing
    repo = world.app_repo({**fresh, ".dockerignore": "secrets/\n*.log\n", "secrets/key": "x", "a.log": "y",
                           "Dockerfile": "FROM busybox:latest\nCOPY . /www\nRUN find /www -type f | sort\n"
                                         "CMD exec httpd -f -p $PORT -h /www/www\n"})
    output = repo.push().output
    assert "/www/www/index.html" in output
    assert "secrets/key" not in output
    assert "a.log" not in output


# --- the job belongs to the daemon -------------------------------------------------------------------------------


def slow_build(text, seconds):
    return {**apps.web(text), "Dockerfile": f"FROM busybox:latest\nRUN echo building {text} && sleep {seconds}\n"
            "COPY www /www\nCMD exec httpd -f -p $PORT -h /www\n"}


def start_push(repo, *options):
    argv = ["git", "push", *options, repo.world.remote(repo.app), "HEAD:refs/heads/main"]
    return subprocess.Popen(argv, cwd=repo.path,
                            env=repo.world.git_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True)


def test_a_killed_client_does_not_stop_the_deploy(world):
    repo = world.app_repo(slow_build("one", 2))
    world.paas("apps:create", repo.app, check=True)
    push = start_push(repo)
    until(lambda: any(row["state"] == "building" for row in
                      world.local("builds", repo.app, "--format", "json").json), "the build runs")
    os.killpg(push.pid, signal.SIGKILL)
    push.wait()
    push.stdout.close()
    until(lambda: world.get(repo.host).status == 200, "the release is live")
    head = repo.git("rev-parse", "HEAD").stdout.strip()
    until(lambda: repo.git("ls-remote", world.remote(repo.app), "refs/heads/main").stdout.startswith(head),
          "the ref is the live commit")
    repo.commit(apps.page("two"))
    repo.push()
    assert world.get(repo.host).text == "two"


def test_a_second_push_queues_and_says_its_place_and_the_loser_deploys_nothing(world):
    repo = world.app_repo(slow_build("one", 0))
    repo.push()
    base = repo.git("rev-parse", "HEAD").stdout.strip()
    repo.commit(slow_build("two", 10))
    first = start_push(repo)
    until(lambda: any(row["state"] == "building" for row in
                      world.local("builds", repo.app, "--format", "json").json), "the first builds")
    other = world.app_repo(apps.web("other"))
    other.git("fetch", "--quiet", str(repo.path), "main")
    other.git("reset", "--quiet", "--hard", base)
    other.commit(apps.page("three"))
    second = other.push(remote_app=repo.app, check=False)
    assert first.wait(60) == 0, first.stdout.read()
    first.stdout.close()
    assert "Waiting: 1 ahead of this one" in second.output
    assert second.returncode != 0
    assert "went live meanwhile" in second.output
    assert world.get(repo.host).text == "two"


def test_pushes_to_several_apps_at_once(world):
    repos = [world.app_repo(apps.web(f"app {n}")) for n in range(8)]
    pushes = [start_push(repo) for repo in repos]
    for push, repo in zip(pushes, repos, strict=True):
        output = push.communicate(timeout=100)[0].decode()
        assert push.returncode == 0, output
        assert world.get(repo.host).text == f"app {repos.index(repo)}"


def test_ctrl_c_of_the_pusher_is_no_cancel(world):
    repo = world.app_repo(slow_build("one", 2))
    world.paas("apps:create", repo.app, check=True)
    push = start_push(repo)
    until(lambda: any(row["state"] == "building" for row in
                      world.local("builds", repo.app, "--format", "json").json), "the build runs")
    os.killpg(push.pid, signal.SIGINT)
    push.wait()
    push.stdout.close()
    until(lambda: world.get(repo.host).status == 200, "the release is live")
    time.sleep(0.1)
    assert versions(world, repo.app) == ["v1"]
