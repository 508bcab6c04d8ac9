"""What every `Router` must do. Subclass, and give a `world` fixture with the members named in :class:`World`."""

from collections.abc import Callable
from typing import Protocol

import pytest

from paas.errors import ProxyError
from paas.model.ports import PublicPort
from paas.ports import Page, ProxyOptions, Router, Site
from paas.secret import Secret

PLAIN = ProxyOptions(https=False)
BAD_CERTIFICATE = "-----BEGIN NONSENSE-----\nxx\n-----END NONSENSE-----\n"


class World(Protocol):
    router: Router

    def backend(self) -> str:
        """A new target (``ip:port``) that answers 200 to everything."""

    def dead(self) -> str:
        """A target where nothing listens."""

    def loads(self) -> int:
        """How often a config was loaded so far."""

    def public(self) -> int:
        """A public port that nobody has."""

    def take(self, number: int) -> Callable[[], None]:
        """Another program listens on a public port, until what is returned is called."""

    def beside(self, target: str) -> int:
        """A port at the address of *target* that answers 200, too."""

    def visit(self, number: int, host: str) -> tuple[int, str]:
        """A client of *host* at a public port: status, and the target that answered 200 or ""."""

    def wake_by(self, waker: Callable[[str, str], str | int]) -> None:
        """From now on *waker* answers for apps that sleep: (host, path) → a target, or a status."""


class RouterContract:
    def test_a_new_site_has_no_release(self, world: World) -> None:
        assert world.router.apply([Site(1, ("one.test",))], PLAIN) == {}
        assert world.router.pointed(1) == Page.NO_RELEASE
        answer = world.router.ask("one.test", "/", 5)
        assert (answer.status, answer.upstream) == (503, "")

    def test_a_host_of_nobody_is_not_found(self, world: World) -> None:
        target = world.backend()
        world.router.apply([Site(1, ("one.test",))], PLAIN)
        world.router.point(1, [target])
        for host in ("two.test", "192.0.2.7", "sub.one.test", "one.test.evil.test"):
            answer = world.router.ask(host, "/", 5)
            assert (answer.status, answer.upstream) == (404, "")

    def test_a_target_answers_and_is_named(self, world: World) -> None:
        target, other = world.backend(), world.backend()
        world.router.apply([Site(1, ("one.test", "www.one.test")), Site(2, ("two.test",))], PLAIN)
        world.router.point(1, [target])
        world.router.point(2, [other])
        assert {world.router.ask(host, "/", 5).upstream for host in ("one.test", "www.one.test")} == {target}
        assert world.router.ask("two.test", "/", 5).upstream == other
        assert world.router.ask("ONE.Test", "/", 5).upstream == target

    def test_a_wildcard_gives_way_to_an_exact_host(self, world: World) -> None:
        wide, exact = world.backend(), world.backend()
        world.router.apply([Site(1, ("*.one.test",)), Site(2, ("exact.one.test",))], PLAIN)
        world.router.point(1, [wide])
        world.router.point(2, [exact])
        assert world.router.ask("any.one.test", "/", 5).upstream == wide
        assert world.router.ask("exact.one.test", "/", 5).upstream == exact
        assert world.router.ask("one.test", "/", 5).status == 404
        assert world.router.ask("a.b.one.test", "/", 5).status == 404

    def test_every_target_gets_requests_and_a_dead_one_is_passed_over(self, world: World) -> None:
        first, second = world.backend(), world.backend()
        world.router.apply([Site(1, ("one.test",))], PLAIN)
        world.router.point(1, [first, second, world.dead()])
        answers = [world.router.ask("one.test", "/", 10) for _ in range(40)]
        assert {one.status for one in answers} == {200}
        assert {one.upstream for one in answers} == {first, second}

    def test_pointing_is_read_back(self, world: World) -> None:
        assert world.router.pointed(1) is None
        targets = tuple(f"192.0.2.{n}:5000" for n in range(1, 6))
        for wanted in (targets, targets[:1], *Page, targets[1:3]):
            world.router.point(1, wanted)
            assert world.router.pointed(1) == wanted

    def test_no_target_at_all_is_an_error(self, world: World) -> None:
        with pytest.raises(ProxyError):
            world.router.point(1, ())

    def test_forgetting_an_app(self, world: World) -> None:
        world.router.apply([Site(1, ("one.test",)), Site(2, ("two.test",))], PLAIN)
        assert world.router.known() == [1, 2]
        world.router.apply([Site(2, ("two.test",))], PLAIN)
        world.router.forget(1)
        world.router.forget(1)
        assert world.router.known() == [2]
        assert world.router.pointed(1) is None
        assert world.router.ask("one.test", "/", 5).status == 404

    def test_pages_are_the_platforms_own(self, world: World) -> None:
        world.router.apply([Site(1, ("one.test",))], PLAIN)
        for page in (Page.MAINTENANCE, Page.STOPPED, Page.NO_RELEASE):
            world.router.point(1, page)
            answer = world.router.ask("one.test", "/", 5)
            assert (answer.status, answer.upstream) == (503, "")

    def test_a_sleeping_app_is_answered_by_the_waker(self, world: World) -> None:
        target, calls = world.backend(), []
        world.router.apply([Site(1, ("one.test", "*.one.test")), Site(2, ("two.test",))], PLAIN)
        world.router.point(1, Page.ASLEEP)
        world.router.point(2, Page.ASLEEP)
        assert world.router.ask("one.test", "/", 20).status == 503       # nobody answers for it: the daemon is down

        def waker(host: str, path: str) -> str | int:
            calls.append((host, path))
            return {"/scan": 404, "/later": 503}.get(path, target)

        world.wake_by(waker)
        answer = world.router.ask("one.test", "/a?b=%20c", 20)
        assert (answer.status, calls) == (200, [("one.test", "/a?b=%20c")])
        assert [world.router.ask("a.one.test", path, 20).status for path in ("/scan", "/later", "/")] == [404, 503, 200]
        assert {host for host, _ in calls} == {"one.test", "a.one.test"}
        world.router.point(1, [target])
        assert world.router.ask("one.test", "/", 20).upstream == target
        assert len(calls) == 4                           # the way of an app that is awake does not lead there

    def test_the_same_config_is_not_loaded_again(self, world: World) -> None:
        sites = [Site(1, ("one.test",)), Site(2, ("two.test", "*.two.test"))]
        world.router.apply(sites, PLAIN)
        before = world.loads()
        assert world.router.apply(sites, PLAIN) == {}
        assert world.loads() == before
        world.router.apply(sites[:1], PLAIN)
        assert world.loads() == before + 1

    def test_it_knows_whether_it_is_current(self, world: World) -> None:
        sites = [Site(1, ("one.test",)), Site(2, ("{bad}.test",))]
        assert not world.router.current(sites, PLAIN)
        world.router.apply(sites, PLAIN)
        assert world.router.current(sites, PLAIN)
        assert world.router.current(sites[:1], PLAIN)
        assert not world.router.current([Site(1, ("one.test", "two.test"))], PLAIN)
        assert not world.router.current([], PLAIN)

    def test_a_bad_site_is_left_out_and_the_others_serve(self, world: World) -> None:
        target = world.backend()
        world.router.point(1, [target])
        sites = [Site(5, ("{env.PATH}.test",)), Site(6, ("own.test",), BAD_CERTIFICATE, Secret("no key")),
                 Site(1, ("one.test",)), Site(7, ("one.test",)), Site(8, ("a.test; x {",))]
        refused = world.router.apply(sites, PLAIN)
        assert set(refused) == {5, 6, 7, 8}
        assert all(refused.values())
        assert world.router.refused(sites) == refused
        assert world.router.refused(sites[2:3]) == {}
        assert world.router.ask("one.test", "/", 5).upstream == target
        assert world.router.ask("own.test", "/", 5).status == 404

    def test_a_further_port_leads_to_the_same_app_and_another_to_nobody(self, world: World) -> None:
        target, other, number, same = world.backend(), world.backend(), world.public(), world.public()
        admin = world.beside(target)
        ports = (PublicPort(number, "http", admin), PublicPort(same, "http"))
        sites = [Site(1, ("one.test", "*.wide.test"), ports=ports), Site(2, ("two.test", "a.wide.test"))]
        world.router.apply(sites, PLAIN)
        assert world.visit(number, "one.test") == (503, "")
        world.router.point(1, [target])
        world.router.point(2, [other])
        there = f"{target.partition(':')[0]}:{admin}"
        assert [world.visit(number, host) for host in ("one.test", "ONE.test", "b.wide.test")] == [(200, there)] * 3
        assert world.visit(same, "one.test") == (200, target)
        assert [world.visit(number, host) for host in ("two.test", "a.wide.test", "nobody.test")] == [(404, "")] * 3
        assert world.router.ask("one.test", "/", 5).upstream == target
        world.router.point(1, Page.MAINTENANCE)
        assert world.visit(number, "one.test") == (503, "")

    def test_further_ports_are_part_of_the_config(self, world: World) -> None:
        number = world.public()
        plain, more = Site(1, ("one.test",)), Site(1, ("one.test",), ports=(PublicPort(number, "http", 9000),))
        world.router.apply([plain], PLAIN)
        assert not world.router.current([more], PLAIN)
        world.router.apply([more], PLAIN)
        assert world.router.current([more], PLAIN)
        assert world.router.taken([number]) == frozenset()       # it is the proxy's own
        assert not world.router.current([plain], PLAIN)

    def test_apps_share_a_public_port_of_one_scheme(self, world: World) -> None:
        first, second, number = world.backend(), world.backend(), world.public()
        shared = (PublicPort(number, "http"),)
        sites = [Site(1, ("one.test",), ports=shared), Site(2, ("two.test",), ports=shared),
                 Site(3, ("three.test",), ports=(PublicPort(number, "https"),)),
                 Site(4, ("four.test",), ports=(*shared, PublicPort(number, "http", 9000)))]
        assert set(world.router.apply(sites, PLAIN)) == {3, 4}
        world.router.point(1, [first])
        world.router.point(2, [second])
        assert [world.visit(number, host) for host in ("one.test", "two.test")] == [(200, first), (200, second)]

    def test_a_port_of_another_program_is_left_out_until_it_is_free(self, world: World) -> None:
        target, number, taken = world.backend(), world.public(), world.public()
        sites = [Site(1, ("one.test",), ports=(PublicPort(number, "http"),)),
                 Site(2, ("two.test",), ports=(PublicPort(taken, "http"),))]
        give_back = world.take(taken)
        assert world.router.taken([number, taken]) == {taken}
        assert world.router.apply(sites, PLAIN) == {}
        world.router.point(1, [target])
        world.router.point(2, [target])
        assert world.visit(number, "one.test") == (200, target)
        assert world.router.ask("two.test", "/", 5).upstream == target
        assert world.router.current(sites, PLAIN)
        give_back()
        assert world.router.taken([number, taken]) == frozenset()
        assert not world.router.current(sites, PLAIN)
        world.router.apply(sites, PLAIN)
        assert world.visit(taken, "two.test") == (200, target)

    def test_it_is_healthy_and_idle(self, world: World) -> None:
        world.router.apply([], PLAIN)
        assert world.router.healthy()
        assert world.router.in_flight() == {}
        assert world.router.certificates() == {}
