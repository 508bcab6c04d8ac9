"""What every `Prober` must do. Subclass, and give a `world` fixture with the members named in :class:`World`."""

from typing import Protocol

from paas.ports import Prober


class World(Protocol):
    prober: Prober

    def serving(self, status: int, body: bytes = b"") -> tuple[str, int]:
        """Address and port of an app that answers every GET with *status* and *body*."""

    def serving_tls(self, status: int, body: bytes = b"") -> tuple[str, int]:
        """The same by TLS only, with a certificate that nobody vouches for."""

    def nobody(self) -> tuple[str, int]:
        """Address and port where nothing listens."""


class ProberContract:
    def test_the_status_is_told(self, world: World) -> None:
        for status in (200, 204, 302, 404, 500):
            answer = world.prober.get(*world.serving(status), "/", "app.test", 5)
            assert (answer.status, answer.error) == (status, "")

    def test_a_refused_connection_is_told_in_words(self, world: World) -> None:
        answer = world.prober.get(*world.nobody(), "/", "app.test", 5)
        assert (answer.status, answer.error) == (0, "connection refused")

    def test_the_body_is_told_up_to_the_limit_of_the_caller(self, world: World) -> None:
        at = world.serving(200, b"x" * 100_000 + b"ready")
        for limit, length in ((None, 64 * 1024), (10, 10), (1024**2, 100_005)):
            assert len(world.prober.get(*at, "/", "app.test", 5, (), limit).body) == length
        assert world.prober.get(*at, "/", "app.test", 5, [("X-Probe", "1")], 1024**2).body.endswith(b"ready")

    def test_tls_is_spoken_whoever_made_the_certificate(self, world: World) -> None:
        for status in (200, 404):
            answer = world.prober.get(*world.serving_tls(status, b"sealed"), "/", "app.test", 20, (), None, True)
            assert (answer.status, answer.error, answer.body) == (status, "", b"sealed")

    def test_what_speaks_the_other_of_tls_and_plain_http_has_not_answered(self, world: World) -> None:
        answer = world.prober.get(*world.serving(200), "/", "app.test", 20, (), None, True)
        assert (answer.status, answer.error) == (0, "no TLS is spoken there")
        answer = world.prober.get(*world.serving_tls(200), "/", "app.test", 20, (), None, False)
        assert (answer.status, bool(answer.error)) == (0, True)

    def test_a_refused_connection_is_told_so_over_tls_too(self, world: World) -> None:
        answer = world.prober.get(*world.nobody(), "/", "app.test", 20, (), None, True)
        assert (answer.status, answer.error) == (0, "connection refused")
