"""What every Containers does, fake and real."""

from __future__ import annotations

import threading
import time
from ipaddress import ip_address, ip_network

import pytest

from paas.errors import Conflict, EngineError, NotFound
from paas.ports import BindMount, Listener, LogLine
from tests.contract.container_rig import free_subnet, until


def test_a_created_container_does_not_run_yet(rig):
    made = rig.containers.create(rig.spec("web"))
    state = rig.containers.state(made)
    assert (state.running, state.exit_code, state.address, state.restarts) == (False, None, "", 0)
    assert (state.id, state.name, state.image) == (made, f"ct-{rig.tag}-1", rig.image)
    assert state.labels["kind"] == "web"


def test_a_started_container_runs_and_says_since_when(rig):
    state = rig.containers.state(rig.run("silent"))
    assert state.running
    assert state.exit_code is None
    assert state.started_at.tzinfo is not None


def test_starting_twice_is_fine(rig):
    made = rig.run("silent")
    rig.containers.start(made)
    assert rig.containers.state(made).running


def test_a_container_that_exits_shows_its_code_and_last_lines(rig):
    made = rig.run("dies")
    assert rig.containers.wait(made) == 3
    state = until(lambda: not (found := rig.containers.state(made)).running and found, "the exit")
    assert state.exit_code == 3
    assert not state.oom_killed
    assert [line.text for line in rig.containers.logs(made)] == [b"bye"]


def test_a_leftover_of_the_same_name_is_replaced(rig):
    first = rig.run("silent")
    second = rig.containers.create(rig.spec("web"))
    assert first != second
    with pytest.raises(NotFound):
        rig.containers.state(first)
    assert [one.id for one in rig.containers.list({"run": rig.tag})] == [second]


def test_stop_ends_it_and_is_patient_with_the_stopped_and_the_unknown(rig):
    made = rig.run("silent")
    rig.containers.stop(made, 5)
    state = rig.containers.state(made)
    assert not state.running
    assert state.exit_code == 143
    assert state.address == ""
    rig.containers.stop(made, 5)
    rig.containers.stop("0" * 64, 5)


def test_stop_kills_what_ignores_sigterm(rig):
    made = rig.run("stubborn")
    until(lambda: list(rig.containers.logs(made)), "the trap being set")
    rig.containers.stop(made, 1)
    assert rig.containers.state(made).exit_code == 137


def test_a_container_that_is_not_to_start_by_itself_starts_when_told(rig):
    made = rig.run("silent", restart="on-failure:10")
    rig.containers.set_restart(made, "no")
    rig.containers.stop(made, 5)
    rig.containers.set_restart(made, "on-failure:3")
    rig.containers.start(made)
    rig.containers.set_restart(made, "always")
    assert (rig.containers.state(made).running, rig.containers.state(made).restarts) == (True, 0)


def test_kill_sends_a_signal(rig):
    made = rig.run("silent")
    rig.containers.kill(made, "SIGKILL")
    assert rig.containers.wait(made) == 137
    rig.containers.kill(made, "SIGTERM")


def test_remove_also_a_running_one_and_twice(rig):
    made = rig.run("silent")
    rig.containers.remove(made)
    rig.containers.remove(made)
    assert rig.containers.list({"run": rig.tag}) == []
    with pytest.raises(NotFound):
        rig.containers.state(made)


@pytest.mark.parametrize("ask", [
    lambda c: c.start("nosuch"), lambda c: c.wait("nosuch"), lambda c: c.logs("nosuch"),
    lambda c: c.listening("nosuch"), lambda c: c.kill("nosuch", "SIGTERM"), lambda c: c.attach("nosuch", False),
    lambda c: c.exec("nosuch", ["true"], False, {}), lambda c: c.exec_exit_code("nosuch"),
], ids=["start", "wait", "logs", "listening", "kill", "attach", "exec", "exec_exit_code"])
def test_unknown_containers_are_not_found(rig, ask):
    with pytest.raises(NotFound):
        ask(rig.containers)


def test_a_container_needs_its_network(rig):
    with pytest.raises((NotFound, EngineError)):
        rig.containers.start(rig.containers.create(rig.spec("web", network="ct-nosuch")))


# lists -----------------------------------------------------------------------------------------------------------


def test_list_takes_every_label_and_stopped_ones_too(rig):
    one, two = rig.run("silent", "1"), rig.containers.create(rig.spec("web", "2"))
    assert {found.id for found in rig.containers.list({"run": rig.tag})} == {one, two}
    assert [found.id for found in rig.containers.list({"run": rig.tag, "kind": "web"})] == [two]
    assert rig.containers.list({"run": rig.tag, "kind": "other"}) == []


def test_a_label_cannot_claim_another_server(rig):
    made = rig.containers.create(rig.spec("web", labels={"paas.server": "other", "run": rig.tag}))
    assert [found.id for found in rig.containers.list({})] == [made]
    assert rig.containers.state(made).labels["paas.server"] != "other"


# sockets and logs ------------------------------------------------------------------------------------------------


def test_listening_shows_address_and_port(rig):
    made = rig.run("web")
    found = until(lambda: rig.containers.listening(made), "listening")
    assert [(one.port, one.loopback) for one in found] == [(5000, False)]


def test_listening_tells_loopback(rig):
    made = rig.run("loopback")
    assert until(lambda: rig.containers.listening(made), "listening") == [Listener("127.0.0.1", 5000)]


def test_nothing_listens_in_a_silent_or_stopped_container(rig):
    made = rig.run("silent")
    assert rig.containers.listening(made) == []
    rig.containers.stop(made, 1)
    assert rig.containers.listening(made) == []


def test_logs_keep_streams_apart_and_have_times(rig):
    made = rig.run("web")
    lines = until(lambda: len(found := list(rig.containers.logs(made))) == 2 and found, "two lines")
    assert sorted((line.stream, line.text) for line in lines) == [("stderr", b"oops"), ("stdout", b"up")]
    assert all(line.at and line.at.tzinfo for line in lines)


def test_logs_tail_and_since(rig):
    made = rig.run("web")
    lines = until(lambda: len(found := list(rig.containers.logs(made))) == 2 and found, "two lines")
    assert [line.text for line in rig.containers.logs(made, tail=1)] == [lines[-1].text]
    assert list(rig.containers.logs(made, tail=0)) == []
    later = lines[-1].at.replace(year=lines[-1].at.year + 1)
    assert list(rig.containers.logs(made, since=later)) == []
    assert len(list(rig.containers.logs(made, since=lines[0].at))) == 2


def test_following_ends_when_the_container_ends(rig):
    made = rig.run("stubborn")
    stream = rig.containers.logs(made, follow=True)
    assert next(stream).text == b"up"
    rig.containers.kill(made, "SIGKILL")
    assert list(stream) == []


def test_closing_from_another_thread_ends_a_waiting_follower(rig):
    made = rig.run("silent")
    for pause in (0, 0.001, 0.003, 0.01, 0.03):          # at once, while it connects, while it waits
        stream = rig.containers.logs(made, follow=True)
        seen: list[list[LogLine]] = []
        reader = threading.Thread(target=lambda stream=stream, seen=seen: seen.append(list(stream)))
        reader.start()
        time.sleep(pause)
        stream.close()
        reader.join(20)
        assert seen == [[]]


# terminals and pipes ---------------------------------------------------------------------------------------------


def test_attached_before_the_start_no_output_is_lost(rig):
    made = rig.containers.create(rig.spec("dies"))
    attached = rig.containers.attach(made, False)
    rig.containers.start(made)
    assert list(attached.frames()) == [("stdout", b"bye\n")]
    attached.close()


def test_input_goes_in_and_its_end_is_seen(rig):
    made = rig.containers.create(rig.spec("cat", stdin=True))
    attached = rig.containers.attach(made, False)
    rig.containers.start(made)
    attached.send(b"one\0two\xff\n")
    attached.close_stdin()
    assert b"".join(data for _, data in attached.frames()) == b"one\0two\xff\n"
    assert rig.containers.wait(made) == 0
    attached.send(b"too late")
    attached.close()


def test_exec_has_streams_and_an_exit_code(rig):
    made = rig.run("silent")
    exec_id, attached = rig.containers.exec(made, ["cat"], False, {})
    assert rig.containers.exec_exit_code(exec_id) is None
    attached.send(b"hello")
    attached.close_stdin()
    assert list(attached.frames()) == [("stdout", b"hello")]
    assert until(lambda: rig.containers.exec_exit_code(exec_id) == 0, "exit code 0")


def test_exec_in_a_stopped_container_is_a_conflict(rig):
    made = rig.run("dies")
    rig.containers.wait(made)
    until(lambda: not rig.containers.state(made).running, "the exit")
    with pytest.raises(Conflict):
        rig.containers.exec(made, ["true"], False, {})


# networks --------------------------------------------------------------------------------------------------------


def test_a_fixed_address_is_kept(rig):
    address = str(ip_network(rig.subnet)[5])
    made = rig.run("web", **rig.join(), address=address)
    assert rig.containers.state(made).address == address
    rig.containers.stop(made, 5)
    rig.containers.start(made)
    assert rig.containers.state(made).address == address


def test_dynamic_addresses_come_from_the_upper_half(rig):
    made = rig.run("silent", **rig.join())
    address = ip_address(rig.containers.state(made).address)
    lower, upper = ip_network(rig.subnet).subnets(prefixlen_diff=1)
    assert address in upper
    assert address not in lower


def test_without_a_network_there_is_no_address(rig):
    assert rig.containers.state(rig.run("silent")).address == ""


def test_ensure_network_is_idempotent_also_at_once(rig):
    threads = [threading.Thread(target=rig.join) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [name for name in rig.containers.networks() if name == rig.network] == [rig.network]
    assert rig.containers.networks()[rig.network]["run"] == rig.tag
    assert rig.containers.taken_subnets().count(rig.subnet) == 1


def test_overlapping_addresses_are_refused_plainly(rig):
    rig.join()
    with pytest.raises(EngineError, match="already used by another Docker network"):
        rig.containers.ensure_network(rig.network + "b", rig.subnet, {})
    with pytest.raises(EngineError, match="has the addresses"):
        rig.containers.ensure_network(rig.network, "10.213.0.0/25", {})


def test_a_network_in_use_is_not_removed(rig):
    made = rig.run("silent", **rig.join())
    with pytest.raises(Conflict):
        rig.containers.remove_network(rig.network)
    rig.containers.remove(made)
    rig.containers.remove_network(rig.network)
    rig.containers.remove_network(rig.network)
    assert rig.network not in rig.containers.networks()


def test_version(rig):
    assert int(rig.containers.version().split(".")[0]) >= 20


# --- further networks, volumes -------------------------------------------------------------------------------------


def test_a_container_joins_and_leaves_further_networks(rig):
    made = rig.run("silent", **rig.join())
    other, subnet = f"{rig.network}-2", free_subnet(rig.containers.taken_subnets())
    rig.containers.ensure_network(other, subnet, {"run": rig.tag})
    for _ in range(2):
        rig.containers.connect(made, other, "db")
        assert rig.containers.networks_of(made) == (rig.network, other)
    with pytest.raises(Conflict):
        rig.containers.remove_network(other)
    for _ in range(2):
        rig.containers.disconnect(made, other)
        assert rig.containers.networks_of(made) == (rig.network,)
    rig.containers.remove_network(other)
    rig.containers.disconnect("0" * 64, rig.network)


def test_volumes_are_made_listed_and_removed_by_name(rig):
    name = f"ct-volume-{rig.tag}"
    for _ in range(2):
        rig.containers.ensure_volume(name, {"run": rig.tag})
    assert rig.containers.volumes()[name]["run"] == rig.tag
    made = rig.run("silent", mounts=(BindMount(name, "/data"),))
    with pytest.raises(Conflict):
        rig.containers.remove_volume(name)
    rig.containers.remove(made)
    assert name in rig.containers.volumes()
    for _ in range(2):
        rig.containers.remove_volume(name)
    assert name not in rig.containers.volumes()
