"""A reboot of a server with many apps, a service and an app that was stopped (X25, Q17): each serves its own release
again, until then 503 with Retry-After, and never another app's. ``PAAS_REBOOT_APPS``: how many apps (8; 20 by hand)."""

import os
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.recovery import settle
from tests.e2e.test_reboot import make_run_dirs, proxy_answers
from tests.e2e.world import DOMAIN, World, run, until

APPS = int(os.environ.get("PAAS_REBOOT_APPS", "8"))
TELLS = {
    "Dockerfile": 'FROM busybox:latest\nCMD mkdir -p /www && echo "$PAAS_APP $PAAS_RELEASE" > /www/index.html '
                  '&& exec httpd -f -p $PORT -h /www\n',
}


class Asked:
    """One app, asked again and again; every answer is kept, once."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.seen, self.since = world, name, set(), 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self.stop.is_set():
            try:
                answer = self.world.get(f"{self.name}.{DOMAIN}", timeout=90)
            except OSError as error:
                self.seen.add((0, repr(error), False))
                continue
            text = answer.text.strip() if answer.status == 200 else ""
            self.seen.add((answer.status, text, "Retry-After" in answer.headers))
            if answer.status == 200:
                self.since = self.since or time.monotonic()
                self.stop.wait(0.2)


@pytest.mark.timeout(300)
def test_every_app_serves_its_own_release_again(mine):
    names = [f"fleet-{number}" for number in range(APPS)]
    repo = mine.app_repo(TELLS, names[0])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: repo.push(remote_app=name), names))
    mine.paas("config:set", names[1], "AGAIN=1", check=True)             # v2
    mine.paas("ps:stop", names[-1], check=True)
    mine.paas("redis:create", "cache", check=True)
    own = {name: f"{name} {2 if name == names[1] else 1}" for name in names[:-1]}
    assert {name: mine.get(f"{name}.{DOMAIN}").text.strip().replace(" v", " ") for name in own} == own
    power_off(mine)
    asked = [Asked(mine, name) for name in own]
    mine.proxy.start()
    until(lambda: proxy_answers(mine), "Caddy listens")
    for one in asked:
        one.thread.start()
    try:
        stopped = mine.get(f"{names[-1]}.{DOMAIN}")
        assert (stopped.status, "Retry-After" in stopped.headers) == (503, True)
        began = time.monotonic()
        mine.start_daemon()
        until(lambda: all(one.since for one in asked), "every app serves", 120)
        print(f"{APPS - 1} apps serve {max(one.since for one in asked) - began:.1f} s after the daemon was started")
    finally:
        for one in asked:
            one.stop.set()
        for one in asked:
            one.thread.join()
    for one in asked:
        texts = {text.replace(" v", " ") for status, text, _ in one.seen if status == 200}
        assert texts == {own[one.name]}
        assert {(status, again) for status, _, again in one.seen if status != 200} <= {(503, True)}, one.seen
    settle(mine)
    assert mine.get(f"{names[-1]}.{DOMAIN}").status == 503
    assert mine.paas("redis:info", "cache", "--format", "json", check=True).json["state"] == "running"


def power_off(world: World) -> None:
    """Nothing runs any more; then the engine is up again, and has started some in an order of its own."""
    world.kill_daemon()
    world.proxy.stop(signal.SIGKILL)
    found = [(one["Id"], one["Config"]["Labels"]) for one in world.containers()]
    run(["docker", "stop", "--time", "0", *(name for name, _ in found)], check=True)
    shutil.rmtree(world.settings.run_dir / "proxy")
    world.settings.socket.unlink()
    make_run_dirs(world)
    some = [name for name, labels in found if labels["paas.kind"] == "service"] + [
        name for name, labels in found if labels["paas.kind"] == "instance"][:2]
    run(["docker", "start", *random.sample(some, len(some))], check=True)
