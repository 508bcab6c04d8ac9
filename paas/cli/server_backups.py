"""``server:backup…`` and ``server:restore``: the platform itself."""

from typing import Any

import click

from paas.cli.backups import retention, retention_options, target_options
from paas.cli.base import Call, command, format_option
from paas.cli.progress import Progress
from paas.errors import BadInput, UsageError
from paas.model.backup import Target
from paas.ops import backups, guarded, server_backup, server_restore
from paas.secret import Secret

IDENTITY = "AGE-SECRET-KEY-1"


@command("server:backup", mutates=True)
@click.option("--images/--no-images", default=None, help="With the images of what runs; else a restore builds them.")
@click.option("--with-storage/--without-storage", "storage", default=None, help="With directories that apps mount.")
def backup(call: Call, images: bool | None, storage: bool | None) -> None:
    """Back up the platform itself: apps, releases, config, keys, domains, certificates, repositories, services, links.

    Sealed for the server's keys, into the server's target, read back. Data of services have backups of their own.

    Example: paas server:backup
    """
    with Progress(call) as progress:
        made = server_backup.make(call.rt, call.actor, images=images, storage=storage, progress=progress)
    took = (made.finished_at - made.started_at).total_seconds()
    call.put(made.id)
    call.say(f"{made.size:,} bytes in {made.target}, read back, in {took:.1f} s.")


@command("server:backup-schedule", mutates=True)
@click.argument("schedule")
@click.option("--images", is_flag=True, help="Each of them with the images of what runs.")
@click.option("--with-storage", "storage", is_flag=True, help="Each of them with directories that apps mount.")
def schedule(call: Call, schedule: str, images: bool, storage: bool) -> None:
    """Back up the platform itself by the clock: a cron expression in UTC. It may have several.

    Example: paas server:backup-schedule "30 3 * * *"
    """
    new = server_backup.schedule(call.rt, call.actor, schedule, images=images, storage=storage)
    call.say(f"The server is backed up at {schedule} (UTC)." if new else "It has that schedule already.")


@command("server:backup-schedule-cat")
@format_option
def schedule_cat(call: Call, format: str) -> None:
    """List the schedules of the platform's own backups.

    Example: paas server:backup-schedule-cat
    """
    own = guarded.itself(call.rt)
    call.rows(("schedule", "created_at", "created_by"), [
        (one.schedule, one.created_at, one.created_by) for one in call.rt.store.backup_schedules(own.uid)], format)


@command("server:backup-unschedule", mutates=True)
@click.argument("schedule", required=False, default="")
def unschedule(call: Call, schedule: str) -> None:
    """Take one schedule of the platform's own backups away, or all.

    Example: paas server:backup-unschedule
    """
    call.say(f"{backups.unschedule(call.rt, guarded.itself(call.rt), schedule)} taken away.")


@command("server:backup-retention", mutates=True)
@retention_options
def backup_retention(call: Call, **given: Any) -> None:
    """Show or set which of the platform's own backups are kept; it is carried out after each good one.

    Example: paas server:backup-retention --keep-last 7 --keep-daily 14
    """
    retention(call, lambda: guarded.itself(call.rt), **given)


@command("server:backup-drills", mutates=True)
@click.argument("every", metavar="SPAN|off")
def backup_drills(call: Call, every: str) -> None:
    """Set how often the newest of the platform's own backups is proved by unpacking and comparing it: 7d unless set.

    Example: paas server:backup-drills 1d
    """
    backups.set_drills(call.rt, guarded.itself(call.rt), every)
    call.say(f"Drills of the server's backups: {every if every == 'off' else 'every ' + every}.")


@command("server:restore", mutates=True, secret=True)
@click.argument("backup_id", metavar="[ID]", required=False, default="")
@click.option("--target-url", default="", metavar="URL", help="s3://BUCKET/PREFIX or file:///DIRECTORY.")
@target_options
@click.option("--identity-stdin", is_flag=True, help="The identity of the recovery kit comes on standard input.")
@click.option("--unproven", is_flag=True, help="Also one that the identity opens but does not prove.")
@click.option("--confirm", metavar="SERVER", help="Replace this server, which is not empty: its id.")
@format_option
def restore(call: Call, backup_id: str, target_url: str, identity_stdin: bool, unproven: bool, confirm: str | None,
            format: str, **given: Any) -> int:
    """Bring a lost server back, on this machine, from its target and its identity alone.

    The newest good backup of the platform, or ID; then its services with their newest good backups. Images that are
    not in the backup are built from the commits that are. On standard input: the identity, and in a line of its own the
    secret of the access key. One that was cut goes on when it is run again. Exit code 1: something did not come back.

    Example: paas server:restore --target-url s3://bucket/prefix --access-key ID --identity-stdin
    """
    target, identity = asked(call, target_url, given, identity_stdin)
    confirmed = confirm is not None and confirm == call.rt.store.settings()["server-id"]
    with Progress(call) as progress:
        done = server_restore.restore(call.rt, call.actor, target, backup_id, identity, unproven=unproven,
                                      confirmed=confirmed, progress=progress, say=call.say, take=take_over(call))
    call.rows(("what", "name", "back", "note"), [(one.what, one.name, one.back, one.note) for one in done.back], format)
    missing = [one for one in done.back if not one.back]
    if missing:
        call.warn(f"{len(missing)} did not come back; the rest of {done.backup} did")
        return 1
    call.say(f"Everything of {done.backup} is back.")
    return 0


def take_over(call: Call) -> Any:
    """From the swap on this command goes on with the restored server's runtime, and its event is recorded there."""
    def take(rt: Any) -> None:
        call.rt = rt
    return take


def asked(call: Call, url: str, given: dict[str, Any], identity_stdin: bool) -> tuple[Target | None, Secret]:
    """(target, identity). None: the server's own target."""
    needs = bool(url and given["access_key"])
    if call.session.tty and not identity_stdin:
        call.session.err(f"Identity ({IDENTITY}…): ")
        identity = call.session.read_line().strip()
        if needs:
            call.session.err("Secret key: ")
        lines = [identity, *([call.session.read_line().strip()] if needs else [])]
    elif identity_stdin:
        lines = [line.strip() for line in call.stdin(64 * 1024).decode("utf-8", "replace").splitlines()]
    else:
        raise UsageError("the identity is missing", "Give it on standard input: --identity-stdin < identity.txt")
    identity = next((line for line in lines if line.startswith(IDENTITY)), "")
    secret = next((line for line in lines if line and not line.startswith(("#", IDENTITY))), "")
    if not identity:
        raise BadInput("that is no identity", f"It is the line of the recovery kit that begins with {IDENTITY}.")
    target = Target(url, given["endpoint"], given["region"], given["access_key"], Secret(secret if needs else ""),
                    not given["virtual_host"], given["storage_class"], given["ca_file"]) if url else None
    return target, Secret(identity)
