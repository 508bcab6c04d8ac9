"""The world fixture itself: the thin end-to-end path that every other test stands on."""

from tests.e2e.world import World, run
from tests.fixtures import apps


def test_push_serves_the_page_then_the_next_one(world):
    repo = world.app_repo(apps.web("one"))
    pushed = repo.push()
    assert world.get(repo.host).text == "one", pushed.output
    repo.commit(apps.page("two"))
    pushed = repo.push()
    assert world.get(repo.host).text == "two", pushed.output


def test_a_command_over_ssh_and_one_on_the_server_say_the_same(world):
    remote, local = world.paas("version", check=True), world.local("version", check=True)
    assert remote.stdout == local.stdout != ""
    assert world.paas("no-such-command").returncode == world.local("no-such-command").returncode == 2


def test_closing_a_world_leaves_nothing():
    mine = World.open()
    try:
        repo = mine.app_repo(apps.web())
        repo.push()
        running = mine.containers(repo.app)
    finally:
        mine.close()
    prefix = mine.settings.prefix
    listings = (["ps", "--all", "--quiet", "--filter", f"name={prefix}-"],
                ["network", "ls", "--quiet", "--filter", f"name={prefix}-"],
                ["image", "ls", "--quiet", "--filter", f"reference={prefix}-*"])
    assert running
    assert [run(["docker", *words]).stdout for words in listings] == ["", "", ""]
    assert not mine.root.exists()
