"""Happenings reach the memory, also those of a time when the engine was away."""

import threading

from paas.daemon import engine_events
from paas.ports import ContainerSpec
from tests.contract.container_rig import until
from tests.flow.over_fakes import make_flow


def test_what_happened_while_the_engine_was_away_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_events, "RETRY_SECONDS", 0.01)
    flow = make_flow(tmp_path)
    rt, stop = flow.rt, threading.Event()
    made = flow.containers.create(ContainerSpec("one", "image", {}))
    thread = threading.Thread(target=engine_events.follow, args=(rt, stop))
    thread.start()
    try:
        flow.containers.start(made)
        until(lambda: rt.happenings.of(made, "start"), "the start is noted")
        rt.engine_events.up = False
        flow.containers.crash(made, 3)
        rt.engine_events.up = True
        assert rt.happenings.wait(lambda: rt.happenings.of(made, "die"), 10)
    finally:
        stop.set()
        thread.join(10)
    assert [one.exit_code for one in rt.happenings.of(made)] == [None, 3]
    assert not thread.is_alive()
