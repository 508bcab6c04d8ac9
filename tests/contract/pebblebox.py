"""A real ACME server (Pebble) whose DNS says 127.0.0.1 for every name."""

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.contract.caddybox import free_port
from tests.contract.pems import self_signed


class PebbleBox:
    """``directory`` and ``root`` are what the platform's ACME options want; needs the Debian package `pebble`."""

    def __init__(self, home: Path, http_port: int, https_port: int) -> None:
        self.home = home
        self.port, self.management, dns = free_port(), free_port(), free_port()
        self.directory = f"https://localhost:{self.port}/dir"
        self.root = home / "pebble.pem"
        self.write_config(http_port, https_port)
        environment = {"PATH": os.environ["PATH"], "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        names = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "",
                 "-tlsalpn01", "", "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{free_port()}"]
        server = ["pebble", "-config", str(home / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"]
        with open(home / "pebble.log", "wb") as log:
            self.processes = [subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
                              for argv in (names, server)]
        self.wait()

    @staticmethod
    def available() -> bool:
        return bool(shutil.which("pebble") and shutil.which("pebble-challtestsrv"))

    def write_config(self, http_port: int, https_port: int) -> None:
        chain, key = self_signed("localhost")
        self.root.write_text(chain)
        (self.home / "pebble.key").write_text(key.reveal())
        (self.home / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.root), "privateKey": str(self.home / "pebble.key"),
            "httpPort": http_port, "tlsPort": https_port}}))

    def wait(self) -> None:
        ends = time.monotonic() + 30
        while True:
            try:
                self.issuer()
                return
            except OSError:
                assert time.monotonic() < ends, self.log()
                time.sleep(0.05)

    def issuer(self) -> str:
        """The root certificate that signs what Pebble issues, as PEM."""
        trust = ssl.create_default_context(cafile=str(self.root))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=trust))
        with opener.open(f"https://localhost:{self.management}/roots/0", timeout=5) as answer:
            return answer.read().decode()

    def orders(self) -> int:
        """How many certificates were ordered so far."""
        return self.log().count("POST /order-plz")

    def log(self) -> str:
        return (self.home / "pebble.log").read_text()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
