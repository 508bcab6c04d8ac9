"""Where the backups of a world go."""

from paas.model.backup import Target
from tests.e2e.world import World


def set_target(world: World, target: Target) -> None:
    keys = ("--endpoint", target.endpoint, "--region", target.region, "--access-key", target.access_key)
    world.local("backups:target", "set", target.url, *(keys if target.access_key else ()),
                input=target.secret_key.reveal() + "\n", check=True)


def set_directory(world: World) -> None:
    """To a directory of the world's own."""
    set_target(world, Target(f"file://{world.root}/target"))
