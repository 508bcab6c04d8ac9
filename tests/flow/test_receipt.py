"""What a deploy says of its switch: requests meanwhile, and how the old instances drained."""

import re
from dataclasses import replace

import pytest

from paas.deploy import receipt
from paas.model.release import InstanceState
from paas.ports import ProxyAnswer
from tests.flow.cron_world import Threads, wait_until
from tests.flow.watch_world import deploy, healthy, live, rows


def probed(flow, answers):
    """A deploy in which somebody asks all the time; how the switch went, in words."""
    flow.router.answers = answers
    threads, settle, told = Threads(), receipt.settle, len(flow.lines)

    def settled(work, probes, old):
        wait_until(lambda: probes.asked > 4)
        settle(work, probes, old)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipt, "settle", settled)
        deploy(replace(flow, rt=replace(flow.rt, beside=threads)))
    threads.settle()
    return [line for line in flow.lines[told:] if "Switched:" in line or "at the switch" in line]


def test_a_deploy_says_what_its_switch_did_to_visitors(watched):
    told = probed(watched, lambda target, host, path: ProxyAnswer(200, target))
    assert len(told) == 1
    assert re.search(r"Switched: 0 of \d+ requests failed, slowest \d+ ms, drained 1 in 0.0 s$", told[0])


def test_what_failed_at_the_switch_is_told_and_does_not_fail_the_deploy(watched):
    new, asked = [], []

    def answers(target, host, path):
        asked.append(target)
        if target != asked[0]:
            new.append(target)
        return ProxyAnswer(500 if len(new) == 3 else 200, target)

    told = probed(watched, answers)
    assert " 1 of " in told[0]
    assert re.search(r"GET / at the switch: status 500 after \d+ ms", told[1])
    assert live(watched).version == 3


def test_an_old_release_that_answers_with_5xx_is_no_fault_of_the_switch(watched):
    old = healthy(watched)[0].target
    told = probed(watched, lambda target, host, path: ProxyAnswer(500 if target == old else 200, target))
    assert "Switched: 0 of " in told[0]


def test_requests_that_go_on_after_a_second_are_said_to_drain(watched):
    watched.router.serving[healthy(watched)[0].target] = 1
    watched.rt.store.set_app_setting(watched.app().id, "proxy.drain-timeout", "5")
    deploy(watched)
    told = [line for line in watched.lines if "Switched:" in line]
    assert told[-1].endswith("Switched: draining 1")
    assert rows(watched, InstanceState.WARM)
