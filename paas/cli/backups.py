"""``backups…``, and the backup verbs of every datastore (``postgres:backup``, …)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from paas.api import Datastore
from paas.backups import drill
from paas.cli.base import Call, command, confirm_option, format_option
from paas.cli.families import service_argument, verb
from paas.cli.progress import Progress
from paas.errors import UsageError
from paas.model.backup import Backup, Target, Trigger
from paas.model.moments import write_moment
from paas.model.retention import Policy
from paas.model.service import Service
from paas.ops import backup_due, backups, guarded, pitr, sqlite
from paas.secret import Secret

TARGET_OPTIONS = (
    click.Option(["--endpoint"], default="", metavar="URL", help="Of an S3-compatible store; AWS without it."),
    click.Option(["--region"], default="", help="Region."),
    click.Option(["--access-key"], default="", metavar="ID", help="Its secret comes on standard input."),
    click.Option(["--storage-class"], default="", metavar="NAME", help="Of data objects, like STANDARD_IA."),
    click.Option(["--virtual-host"], is_flag=True, help="Address the bucket as a host name, not as a path."),
    click.Option(["--ca-file"], default="", metavar="PATH", help="PEM file on the server that signs the endpoint."),
    click.Option(["--adopt"], is_flag=True, help="Take the place over from a machine that is gone."),
)


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__click_params__ = [*reversed(TARGET_OPTIONS), *getattr(function, "__click_params__", [])]
    return function


def identity_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--identity-stdin", is_flag=True,
                        help="Open it with the age identity on standard input.")(function)


def of_target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Of a listing from the target alone."""
    server = click.option("--server", default="", metavar="ID", help="Of that server only.")
    return server(identity_option(format_option(function)))


def identity_of(call: Call, wanted: bool) -> Secret | None:
    return Secret(secret_line(call, "Identity (AGE-SECRET-KEY-1…): ")) if wanted else None


def secret_line(call: Call, prompt: str) -> str:
    """At a terminal asked for, else the first line of standard input; never among the words."""
    if call.session.tty:
        call.session.err(prompt)
        return call.session.read_line().strip()
    lines = [line.strip() for line in call.stdin(64 * 1024).decode("utf-8", "replace").splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


# --- targets -------------------------------------------------------------------------------------------------------


def set_target(call: Call, service_uid: str, url: str, given: dict[str, Any]) -> None:
    target = Target(url, given["endpoint"], given["region"], given["access_key"], path_style=not given["virtual_host"],
                    storage_class=given["storage_class"], ca_bundle=given["ca_file"])
    if given["access_key"]:
        target = backups.with_secret(target, secret_line(call, "Secret key: "))
    found = backups.set_target(call.rt, service_uid, target, adopt=given["adopt"], say=call.say)
    for line in found.warnings:
        call.warn(line)
    call.say(f"Backups go to {url}.")


@command("backups:target", mutates=True, secret=True)
@click.argument("action", type=click.Choice(["set", "show", "unset"]), default="show", metavar="[set|show|unset]")
@click.argument("url", required=False, default="")
@target_options
@format_option
def server_target(call: Call, action: str, url: str, format: str, **given: Any) -> None:
    """Set, show or unset where backups go, for all services without a target of their own.

    URL is s3://BUCKET/PREFIX or file:///DIRECTORY. The secret key is asked for, or read from standard input. The target
    is tried before it is stored. Without any, backups go to a directory of this machine, and `doctor` says so.

    Example: paas backups:target set file:///var/backups/paas
    """
    act_on_target(call, "", action, url, format, given)


@verb("backup-target", mutates=True, secret=True)
@click.argument("action", type=click.Choice(["set", "show", "unset"]))
@service_argument
@click.argument("url", required=False, default="")
@target_options
@format_option
def service_target(call: Call, store: Datastore, action: str, service: Service, url: str, format: str,
                   **given: Any) -> None:
    """Set, show or unset a target of one service's own.

    As backups:target does for the server.

    Example: paas {name}:backup-target show db
    """
    act_on_target(call, service.uid, action, url, format, given)


def act_on_target(call: Call, uid: str, action: str, url: str, format: str, given: dict[str, Any]) -> None:
    if action == "set" and not url:
        raise UsageError("no URL", "Example: s3://bucket/prefix, or file:///directory")
    if action == "set":
        set_target(call, uid, url, given)
    elif action == "unset":
        backups.unset_target(call.rt, uid)
        call.say("Unset.")
    else:
        call.record(backups.shown_target(call.rt, uid), format)


@verb("backup-auth", mutates=True, secret=True)
@service_argument
@click.argument("words", nargs=-1, metavar="[URL]")
@target_options
def backup_auth(call: Call, store: Datastore, service: Service, words: tuple[str, ...], **given: Any) -> None:
    """Dokku's word for backup-target set. Keys are not taken from the command line.

    Example: paas {name}:backup-auth db file:///var/backups/db
    """
    if len(words) != 1:
        raise UsageError("give the target as one URL; the secret key comes on standard input",
                         f"Example: paas {store.name}:backup-auth {service.name} s3://bucket/prefix --access-key ID")
    set_target(call, service.uid, words[0], given)


@verb("backup-deauth", mutates=True)
@service_argument
def backup_deauth(call: Call, store: Datastore, service: Service) -> None:
    """Dokku's word for backup-target unset.

    Example: paas {name}:backup-deauth db
    """
    backups.unset_target(call.rt, service.uid)
    call.say("Unset.")


# --- make, schedule, keep ------------------------------------------------------------------------------------------


@verb("backup", mutates=True)
@service_argument
@click.option("--allow-empty", is_flag=True, help="Also if everything that the last backup had is gone.")
def backup(call: Call, store: Datastore, service: Service, allow_empty: bool) -> None:
    """Back it up now: dump, compress, encrypt, upload, read back.

    It counts only when every stored byte was read back and compared. A ^C leaves it running in the server.

    Example: paas {name}:backup db
    """
    with Progress(call) as progress:
        made = backup_due.with_retention(call.rt, service, Trigger.MANUAL, call.actor, progress=progress,
                                         allow_empty=allow_empty)
    took = (made.finished_at - made.started_at).total_seconds()
    call.put(made.id)
    call.say(f"{made.size:,} bytes in {made.target}, read back, in {took:.1f} s.")


@verb("backups")
@service_argument
@click.option("--all", "everything", is_flag=True, help="Deleted ones too.")
@format_option
def of_service(call: Call, store: Datastore, service: Service, everything: bool, format: str) -> None:
    """List the backups of a service, newest first.

    Example: paas {name}:backups db
    """
    call.rows(backups.COLUMNS, backups.listed(call.rt, service.uid, everything=everything), format)


@verb("backup-schedule", mutates=True)
@service_argument
@click.argument("schedule")
def backup_schedule(call: Call, store: Datastore, service: Service, schedule: str) -> None:
    """Back it up by the clock: a cron expression in UTC. A service may have several.

    The recovery kit must have been confirmed (backups:kit). One that was missed is made up for once; one that fails is
    tried again after 15 minutes.

    Example: paas {name}:backup-schedule db "0 */6 * * *"
    """
    new = backups.schedule(call.rt, service, call.actor, schedule)
    call.say(f"{service.name} is backed up at {schedule} (UTC)." if new else "It has that schedule already.")


@verb("backup-schedule-cat")
@service_argument
@format_option
def backup_schedule_cat(call: Call, store: Datastore, service: Service, format: str) -> None:
    """List the schedules of a service.

    Example: paas {name}:backup-schedule-cat db
    """
    call.rows(("schedule", "created_at", "created_by"), [
        (one.schedule, one.created_at, one.created_by)
        for one in call.rt.store.backup_schedules(service.uid)], format)


@verb("backup-unschedule", mutates=True)
@service_argument
@click.argument("schedule", required=False, default="")
def backup_unschedule(call: Call, store: Datastore, service: Service, schedule: str) -> None:
    """Take one schedule away, or all.

    Example: paas {name}:backup-unschedule db
    """
    call.say(f"{backups.unschedule(call.rt, service, schedule)} taken away.")


RETENTION_OPTIONS = (
    click.Option(["--keep-last"], type=int, help="The newest N."),
    click.Option(["--keep-daily"], type=int, help="The newest of each of N days."),
    click.Option(["--keep-weekly"], type=int, help="… of N weeks."),
    click.Option(["--keep-monthly"], type=int, help="… of N months."),
    click.Option(["--keep-within"], metavar="SPAN", help="Everything younger, like 30d."),
    click.Option(["--max-age"], metavar="SPAN", help="Nothing older, but what --keep-last keeps."),
    click.Option(["--run", "now"], is_flag=True, help="Carry it out now."),
    click.Option(["--dry-run"], is_flag=True, help="Say what would go."),
    click.Option(["--force"], is_flag=True, help="With --run: also if more than half would go."),
)


def retention_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__click_params__ = [*reversed(RETENTION_OPTIONS), *getattr(function, "__click_params__", [])]
    return function


@verb("backup-retention", mutates=True)
@service_argument
@retention_options
def backup_retention(call: Call, store: Datastore, service: Service, **given: Any) -> None:
    """Show or set what is kept; it is carried out after each good backup.

    Never deleted: the newest good backup, the newest drilled one, and held ones. Nothing is deleted while the newest
    attempt failed, a backup is overdue, or clocks differ.

    Example: paas {name}:backup-retention db --keep-last 7 --keep-daily 14
    """
    retention(call, lambda: call.rt.store.service_by_id(service.id), **given)


def retention(call: Call, find: Callable[[], Service], *, now: bool, dry_run: bool, force: bool, **given: Any) -> None:
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if value is not None]
    if words:
        backups.set_retention(call.rt, find(), backups.read_policy(words))
    service = find()
    call.put(retention_text(backups.policy_of(service)))
    if now or dry_run:
        done = backups.pruned(call.rt, service, force=force, dry_run=dry_run)
        for backup_id, why in done.plan.keep.items():
            call.put(f"keep   {backup_id}  {', '.join(why)}")
        for backup_id in done.plan.delete:
            call.put(f"{'delete' if dry_run else 'gone  '} {backup_id}")
        if done.stopped:
            call.warn(f"nothing is deleted: {done.stopped}")


def retention_text(policy: Policy) -> str:
    return str(policy)


# --- the one view --------------------------------------------------------------------------------------------------


@command("backups")
@click.argument("service", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Deleted ones too.")
@format_option
def list_(call: Call, service: str, everything: bool, format: str) -> None:
    """List the backups of all services, or of one (postgres/db), newest first.

    Example: paas backups
    """
    uid = backups.service_named(call.rt, service).uid if service else None
    call.rows(backups.COLUMNS, backups.listed(call.rt, uid, everything=everything), format)


@command("backups:info")
@click.argument("backup_id", metavar="ID|SERVICE")
@format_option
def info(call: Call, backup_id: str, format: str) -> None:
    """Show one backup (or the newest good one of a service), and the commands that restore it without paas.

    Example: paas backups:info postgres/db
    """
    call.record(backups.info(call.rt, backups.find(call.rt, backup_id)), format)


@command("backups:health")
@format_option
def health(call: Call, format: str) -> int:
    """Show for each service when it was last backed up and proved, and what is wrong. Exit code 1: something is.

    Streamed SQLite files of apps are there too.

    Example: paas backups:health
    """
    rows = [(f"{one.datastore}/{one.name}", *list(backup_due.protection(call.rt, one).values())[:6])
            for one in guarded.guarded(call.rt)] + sqlite.protection(call.rt)
    call.rows(("service", "backups", "last_good", "last_drill", "restorable_in", "remarks", "schedules"), rows, format)
    return 1 if any(row[1] == "failing" for row in rows) else 0


@command("backups:hold", mutates=True)
@click.argument("backup_id", metavar="ID")
@click.option("--off", is_flag=True, help="Let it go.")
def hold(call: Call, backup_id: str, off: bool) -> None:
    """Keep one backup, whatever retention says.

    Example: paas backups:hold 20261120T160000Z-1a2b3c4d
    """
    backups.hold(call.rt, call.rt.store.backup(backup_id), not off)
    call.say(f"{backup_id} is {'not ' if off else ''}held.")


@command("backups:delete", mutates=True)
@click.argument("backup_id", metavar="ID")
@confirm_option
def delete(call: Call, backup_id: str, confirm: str | None) -> None:
    """Delete one backup. The newest good one of a service cannot be deleted.

    Example: paas backups:delete 20261120T160000Z-1a2b3c4d --confirm 20261120T160000Z-1a2b3c4d
    """
    row = call.rt.store.backup(backup_id)
    call.confirm(backup_id, confirm, "A backup that is deleted is gone.")
    call.say(f"{backups.delete(call.rt, row):,} bytes are free in the target.")


# --- restore and drills --------------------------------------------------------------------------------------------


@verb("restore", mutates=True)
@service_argument
@click.option("--backup", "backup_id", metavar="ID", default="", help="The newest good one without it.")
@click.option("--at", "at", metavar="TIME", default="",
              help="The state of that time, where point in time is on: ISO 8601, '5m ago', or latest.")
@click.option("--into", metavar="NAME", default="", help="Name of the new service.")
@click.option("--in-place", is_flag=True, help="Instead of a new service: in the place of what it holds now.")
@click.option("--no-safety-backup", is_flag=True, help="With --in-place: do not back up first what it holds now.")
@identity_option
@confirm_option
def restore(call: Call, store: Datastore, service: Service, backup_id: str, at: str, into: str, in_place: bool,
            no_safety_backup: bool, identity_stdin: bool, confirm: str | None) -> None:
    """Restore a backup, or the state of a time, into a new service, beside the old one.

    A backup's content is compared with what the snapshot held before it counts. Then link it, or {name}:promote it.
    With --in-place the service itself gets it, when it has been compared; URL and links stay. First what it holds is
    backed up, and its volume is kept.

    Example: paas {name}:restore db --into dbcopy
    """
    refuse_together(at=at, backup=backup_id)
    refuse_together(at=at, in_place=in_place)
    refuse_together(into=into, in_place=in_place)
    if in_place:
        call.confirm(service.name, confirm, f"What {service.title} holds now is replaced.")
        restored_in_place(call, service, backup_id, identity_stdin, not no_safety_backup)
        return
    into = into or f"{service.name[:20].rstrip('-')}-restored"
    if at:
        restored_to(call, service, at, into, identity_stdin)
        return
    row = call.rt.store.backup(backup_id) if backup_id else backups.newest_good(call.rt, service)
    restored(call, row, into, identity_stdin)


def refuse_together(**given: object) -> None:
    if all(given.values()):
        words = [f"--{name.replace('_', '-')}" for name in given]
        raise UsageError(f"{' and '.join(words)} do not go together", "Give one of them.")


def restored_in_place(call: Call, service: Service, backup_id: str, identity_stdin: bool, safety: bool) -> None:
    row = call.rt.store.backup(backup_id) if backup_id else backups.newest_good(call.rt, service)
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        before = backups.restored_in_place(call.rt, call.actor, service, row, identity=identity, safety=safety,
                                           progress=progress, say=call.say)
    call.say(f"{service.name} has the content of {row.id}, compared table by table.")
    if before:
        call.say(f"The way back: paas {service.datastore}:restore {service.name} --backup {before.id} --in-place "
                 f"--confirm {service.name}")


def restored(call: Call, row: Backup, name: str, identity_stdin: bool) -> None:
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        made = backups.restored(call.rt, call.actor, row, name, identity=identity, progress=progress, say=call.say)
    tell_restored(call, row.id, made)


def restored_to(call: Call, service: Service, at: str, name: str, identity_stdin: bool) -> None:
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        made, wanted = pitr.restored(call.rt, call.actor, service, at, name, identity=identity, progress=progress,
                                     say=call.say)
    state = f"the state of {write_moment(wanted.at)}" if wanted.at else "the newest state that was shipped"
    call.say(f"{made.name} has {state}, from the base {wanted.made.id} and the log after it, looked over for damage.")
    tell_how_to_link(call, made)


def tell_restored(call: Call, backup_id: str, made: Service) -> None:
    call.say(f"{made.name} has the content of {backup_id}, compared table by table.")
    tell_how_to_link(call, made)


def tell_how_to_link(call: Call, made: Service) -> None:
    call.say(f"Give it to an app: paas {made.datastore}:link {made.name} APP   "
             f"(then paas {made.datastore}:promote {made.name} APP)")


@command("backups:restore", mutates=True)
@click.argument("backup_id", metavar="ID")
@click.argument("name")
@identity_option
def restore_from_target(call: Call, backup_id: str, name: str, identity_stdin: bool) -> None:
    """Restore a backup from the server's target into a new service NAME, whoever made it.

    For a new machine that has the target and the identity, and nothing else.

    Example: paas backups:restore 20261120T160000Z-1a2b3c4d db2
    """
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        made = backups.from_target(call.rt, call.actor, backup_id, name, identity=identity, progress=progress,
                                   say=call.say)
    tell_restored(call, backup_id, made)


@command("backups:in-target")
@of_target_options
def in_target(call: Call, server: str, identity_stdin: bool, format: str) -> None:
    """List what the server's target holds, of every server that wrote there.

    From the target alone; the identity proves the manifests.

    Example: paas backups:in-target
    """
    found = backups.in_target(call.rt, None, server, identity_of(call, identity_stdin))
    call.rows(("id", "server", "service", "state", "verdict", "size", "problem"), [
        (one.id, one.layout.server_id, f"{one.layout.datastore}/{one.manifest.service if one.manifest else '?'}",
         one.state, one.verdict, sum(part.size for part in one.manifest.parts) if one.manifest else 0, one.problem)
        for one in reversed(found.backups)], format)
    if not found.complete:
        call.warn("some manifests could not be read: this list is not whole")


@command("backups:drill", mutates=True)
@click.argument("backup", metavar="SERVICE|ID")
@identity_option
def drill_now(call: Call, backup: str, identity_stdin: bool) -> None:
    """Prove a backup by restoring it now: into a scratch container, compared, looked over for damage, thrown away.

    SERVICE is like postgres/db: its newest good backup.

    Example: paas backups:drill postgres/db
    """
    row = backups.find(call.rt, backup)
    identity = identity_of(call, identity_stdin)
    with Progress(call) as progress:
        made = drill.run(call.rt, row, call.actor, identity=identity, progress=progress, say=call.say)
    call.say(f"{row.id} is proved: restored and compared in {made.restore_seconds:.1f} s. "
             f"Its data were {made.data_age / 3600:.1f} h old.")


@verb("backup-drills", mutates=True)
@service_argument
@click.argument("every", metavar="SPAN|off")
def backup_drills(call: Call, store: Datastore, service: Service, every: str) -> None:
    """Set how often its newest backup is proved by a restore: 7d unless set, the first right after the first backup.

    Example: paas {name}:backup-drills db 1d
    """
    backups.set_drills(call.rt, service, every)
    call.say(f"Drills of {service.name}: {every if every == 'off' else 'every ' + every}.")
