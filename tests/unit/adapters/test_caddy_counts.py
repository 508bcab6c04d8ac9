"""What is kept in memory of the requests that the proxy has counted."""

import json

from paas.adapters.caddy_layout import Layout
from paas.adapters.caddy_traffic import CaddyTraffic
from paas.settings import Settings


def configure(layout, *hosts):
    route = {"handle": [{"handler": "map", "mappings": [{"input": one} for one in hosts]}]}
    web = {"logs": {}, "routes": [route]}
    config = {"apps": {"http": {"servers": {"web": web}}}}
    layout.config.with_suffix(".new").write_text(json.dumps(config))
    layout.config.with_suffix(".new").rename(layout.config)


def visit(layout, host):
    with layout.requests.open("a") as log:
        log.write(f'{{"ts":1.5,"duration":0.01,"status":200,"h":"{host}"}}\n')


def test_a_host_that_is_nobodys_any_more_is_forgotten(tmp_path):
    settings = Settings(state_dir=tmp_path / "state", run_dir=tmp_path / "run")
    layout, counters = Layout(settings), CaddyTraffic(settings)
    layout.root.mkdir(parents=True)
    layout.sockets.mkdir(parents=True)
    configure(layout, "one.test", "preview-1.test")
    for host in ("one.test", "preview-1.test"):
        visit(layout, host)
    assert counters.read().keys() == {"one.test", "preview-1.test"}
    configure(layout, "one.test")
    assert counters.read().keys() == {"one.test"}
    configure(layout, "one.test", "preview-1.test")
    visit(layout, "preview-1.test")
    assert {host: one.requests for host, one in counters.read().items()} == {"one.test": 1, "preview-1.test": 1}
