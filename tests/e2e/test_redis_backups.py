"""Redis and Valkey through the whole of backups: sealed, drilled, restored beside and in place, and by hand."""

import subprocess

import pytest

from tests.e2e.world import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.usefixtures("base_images")]


def ask(world, kind, name, script):
    return world.paas(f"{kind}:connect", name, input=script + "\n", check=True).stdout.strip()


@pytest.mark.parametrize(("kind", "image"), [("redis", "redis:7"), ("valkey", "valkey/valkey:8")])
def test_a_backup_is_drilled_and_comes_back(own_world, tmp_path, kind, image):
    world = own_world
    world.paas("backups:target", "set", f"file://{tmp_path}/backups", check=True)
    world.paas(f"{kind}:create", "cache", check=True)
    ask(world, kind, "cache", "SET text value\nSADD set 1 2 3\nSET short x PX 1500\nSELECT 3\nHSET h a 1 b 2")
    made = world.paas(f"{kind}:backup", "cache", "--quiet", check=True).stdout.split()[0]
    drilled = world.paas("backups:drill", f"{kind}/cache", check=True)
    assert made in drilled.output
    [row] = world.paas("backups", "--format", "json", check=True).json
    assert row["state"] == "drilled"

    ask(world, kind, "cache", "SET text other\nSET more 1")
    world.paas(f"{kind}:restore", "cache", "--backup", made, "--into", "copy", check=True)
    world.paas(f"{kind}:restart", "copy", check=True)
    assert ask(world, kind, "copy", "GET text\nSELECT 3\nHGET h b\nSELECT 0\nEXISTS short more").split() == [
        "value", "OK", "2", "OK", "0"]
    world.paas(f"{kind}:restore", "cache", "--backup", made, "--in-place", "--confirm", "cache",
               check=True)
    assert ask(world, kind, "cache", "GET text\nEXISTS more").split() == ["value", "0"]
    assert len(world.paas("backups", "--format", "json", check=True).json) == 2      # one of before that restore

    info = world.paas("backups:info", made, "--format", "json", check=True).json
    [line] = info["by hand"]
    assert line.endswith("| zstd -dc | cat > dump.rdb && redis-server --appendonly no --dir .")
    line = line.partition("| zstd -dc")[0] + "| zstd -dc > dump.rdb"
    kit = world.paas("backups:kit", check=True).stdout
    identity = next(word for word in kit.split() if word.startswith("AGE-SECRET-KEY-1"))
    (tmp_path / "identity.txt").write_text(identity)
    subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, check=True)
    run(["docker", "run", "--rm", "--volume", f"{tmp_path}/dump.rdb:/data/dump.rdb", image,
         f"{kind}-check-rdb", "/data/dump.rdb"], check=True)
