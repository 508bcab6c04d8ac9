"""The floor of a deploy on this machine: the same steps by the plainest means, without any of the platform.

Raw push over the world's own sshd as its service user to a bare repository with a no-op hook; the build by one raw
BuildKit request; create and start by raw requests, in a user-defined network at a fixed address; the first 200; one
file renamed; the first 200 through a Caddy of its own with one static route.
"""

import ipaddress
import json
import os
import pwd
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode

from common import Engine, until_answer

from tests.e2e.world import Process, World, free_pool, free_port, listens, run, until

PORT = 5000
LABELS = {"paas.server": "bench-floor"}      # so that World.close and its sweep remove what is left


class Floor:
    def __init__(self, world: World) -> None:
        self.world, self.engine = world, Engine()
        self.root = world.root / "floor"
        self.root.mkdir(mode=0o755)
        self.prefix = f"{world.settings.prefix}-floor"
        self.count = 0
        self.running: str | None = None
        self._allow_raw_push()
        self._network()
        self._proxy()

    # set-up

    def _allow_raw_push(self) -> None:
        """The same sshd and user, and one key without a forced command."""
        key = self.root / "id"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        keys = self.root / "authorized_keys"
        keys.write_text(f"restrict {key.with_suffix('.pub').read_text()}")
        config = self.world.root / "etc" / "sshd_config"
        ours = f"AuthorizedKeysFile {self.world.settings.authorized_keys}"
        text = config.read_text()
        assert ours in text
        config.write_text(text.replace(ours, f"{ours} {keys}"))
        self.world.sshd.stop()
        self.world.sshd.start()
        until(lambda: listens(self.world.settings.ssh_port), "sshd listens")
        self.key = key

    def _network(self) -> None:
        pool = next(ipaddress.ip_network(free_pool()).subnets(new_prefix=25))
        self.addresses = [str(one) for one in pool.hosts()][1:60]
        self.network = f"{self.prefix}-net"
        self.engine.ask("POST", "/networks/create", {
            "Name": self.network, "Driver": "bridge", "Labels": LABELS, "IPAM": {"Config": [{"Subnet": str(pool)}]}})

    def _proxy(self) -> None:
        self.port, self.upstream = free_port(), self.root / "upstream"
        self.upstream.write_text("127.0.0.1:1")
        config = self.root / "caddy.json"
        handle = [{"handler": "reverse_proxy", "upstreams": [{"dial": f"{{file.{self.upstream}}}"}]}]
        config.write_text(json.dumps({
            "admin": {"disabled": True},
            "apps": {"http": {"servers": {"floor": {
                "listen": [f"127.0.0.1:{self.port}"], "automatic_https": {"disable": True},
                "routes": [{"match": [{"host": ["floor.test"]}], "handle": handle}]}}}}}))
        home = {"PATH": "/usr/bin:/bin", "HOME": str(self.root)}
        self.caddy = Process("floor", [str(self.world.settings.caddy), "run", "--config", str(config)], home,
                             self.root / "caddy.log")
        self.caddy.start()
        until(lambda: listens(self.port), "the floor's Caddy listens")

    def close(self) -> None:
        self.caddy.stop()

    def repository(self, name: str) -> Path:
        """A bare repository of the service user's with a hook that does nothing."""
        path = self.root / f"{name}.git"
        run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(path)], check=True)
        hook = path / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\nexit 0\n")
        hook.chmod(0o755)
        user = pwd.getpwnam(self.world.settings.ssh_user)
        run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", str(path)], check=True)
        return path

    # the chain

    def deploy(self, repo, bare: Path, text: str) -> dict[str, float]:
        """Push HEAD of *repo* and bring it up until *text* answers through the proxy; seconds of each step."""
        begin = time.perf_counter()
        repo.git("push", "--quiet", f"{self.world.settings.ssh_user}@127.0.0.1:{bare}", "HEAD:refs/heads/main",
                 env=self.world.git_environment(self.key))
        pushed = time.perf_counter()
        image = self.build(bare)
        built = time.perf_counter()
        took = self.bring_up(image, text)
        return {"ssh+git": pushed - begin, "build": built - pushed, **took}

    def build(self, bare: Path) -> str:
        """One raw BuildKit request with the tree as `git archive` gives it; the image's id."""
        done = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(bare), "archive", "refs/heads/main"],
                              capture_output=True, check=True)
        tag = f"{self.prefix}-{self.count}"
        said = self.engine.ask("POST", "/build?" + urlencode({"version": 2, "t": tag}), done.stdout)
        events = [json.loads(line) for line in said.splitlines() if line]
        failed = [one["error"] for one in events if "error" in one]
        assert not failed, failed
        return next(one["aux"]["ID"] for one in events if one.get("id") == "moby.image.id")

    def bring_up(self, image: str, text: str) -> dict[str, float]:
        """create + start, the first 200, the switch; then the old container goes, outside the clock."""
        self.count += 1
        address = self.addresses[self.count % len(self.addresses)]
        begin = time.perf_counter()
        made = self.engine.ask("POST", f"/containers/create?name={self.prefix}-{self.count}", {
            "Image": image, "Env": [f"PORT={PORT}"], "Labels": LABELS,
            "HostConfig": {"Init": True, "NetworkMode": self.network},
            "NetworkingConfig": {"EndpointsConfig": {self.network: {"IPAMConfig": {"IPv4Address": address}}}}})
        container = json.loads(made)["Id"]
        self.engine.ask("POST", f"/containers/{container}/start")
        started = time.perf_counter()
        until_answer(text, PORT, "floor.test", address)
        ready = time.perf_counter()
        self.switch(f"{address}:{PORT}")
        until_answer(text, self.port, "floor.test")
        live = time.perf_counter()
        self.retire(container)
        return {"start": started - begin, "boot": ready - started, "switch": live - ready}

    def switch(self, target: str) -> None:
        fresh = self.upstream.with_suffix(".new")
        fresh.write_text(target)
        os.rename(fresh, self.upstream)

    def retire(self, container: str) -> None:
        if self.running:
            self.engine.ask("POST", f"/containers/{self.running}/stop?t=10")
            self.engine.ask("DELETE", f"/containers/{self.running}?force=1&v=1")
        self.running = container
