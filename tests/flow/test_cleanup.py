"""What the daemon clears away every hour, over fakes."""

from paas.daemon import background
from paas.errors import StateError
from paas.ops import apps, cleanup
from paas.ports import Page


def logs(flow):
    return sorted(path.name for path in flow.rt.jobs.build_log(0).parent.glob("*.log"))


def test_logs_of_older_builds_and_of_destroyed_apps_go(flow, monkeypatch):
    monkeypatch.setattr(cleanup, "LOGS", 2)
    for number in range(4):
        flow.deploy(f"text {number}")
    flow.deploy("other", app="other")
    apps.destroy(flow.rt, flow.app("other"), print)
    assert logs(flow) == ["1.log", "2.log", "3.log", "4.log", "5.log"]
    background.clean_once(flow.rt)
    assert logs(flow) == ["3.log", "4.log"]
    background.clean_once(flow.rt)
    assert logs(flow) == ["3.log", "4.log"]


def test_what_cannot_be_cleared_keeps_nothing_else_waiting(flow, monkeypatch):
    for name in ("hello", "other"):
        flow.deploy("one", app=name)
    swept, done = [], []

    def damaged(app_id, older_than):
        swept.append(app_id)
        raise StateError("the packs of a repository could not be rolled together")

    monkeypatch.setattr(flow.repos, "sweep", damaged)
    monkeypatch.setattr(background.pitr, "hourly", done.append)
    background.clean_once(flow.rt)
    assert (swept, done) == ([1, 2], [flow.rt])


def test_images_of_the_kept_releases_stay(flow):
    flow.rt.store.set_setting("keep-releases", "2")
    for number in range(4):
        flow.deploy(f"text {number}")
    background.clean_once(flow.rt)
    app = flow.app()
    kept = {image.digest for image in flow.images.list({"paas.app": str(app.id)})}
    assert kept == {release.image for release in flow.rt.store.releases(app.id, limit=2)}
    assert flow.router.pointed(app.id) != Page.NO_RELEASE
