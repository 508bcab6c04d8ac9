"""Who writes to a server's place in a target: one machine at a time.

A cloned machine has the same server id and the same keys, and would delete what the other one keeps. So each machine
says who it is in ``instance.json``, and looks there before it writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from paas.errors import Conflict, Forged, NotFound, StoreError
from paas.model.backup_layout import instance_key
from paas.model.backup_mac import canonical, parse
from paas.model.strict import Fields, plain
from paas.ports_backup import ObjectStore

NOUN = "note of who writes to this target"
FORMAT = 1


@dataclass(frozen=True)
class Instance:
    server_id: str
    machine: str                         # of this very machine, and not copied with its disk; up to the caller
    host: str                            # its name, for people
    program: str                         # version of paas
    created_at: datetime
    adopted_from: str = ""               # name of the host before


def owner(store: ObjectStore, server_id: str) -> Instance | None:
    """None: nobody has written here yet. Forged: the note is damaged. It is not authenticated: who may write to the
    bucket can stop our backups anyway, and a false note does no more than that."""
    try:
        data = store.get(instance_key(server_id))
    except NotFound:
        return None
    fields = Fields(NOUN, parse(data, NOUN))
    if fields.count("format") != FORMAT:
        raise Forged(f"The {NOUN} has a format that this paas does not know", "Update paas.")
    texts = ("server_id", "machine", "host", "program", "adopted_from")
    return Instance(created_at=fields.moment("created_at"), **{name: fields.text(name) for name in texts})


def check_owner(store: ObjectStore, server_id: str, machine: str) -> None:
    """Before each backup, retention and deletion. Conflict: another machine writes here, or nobody has claimed it."""
    found = owner(store, server_id)
    if found is None:
        raise Conflict("This target was claimed by no server, or its instance.json was deleted",
                       "Set the target again with `backup-target`.")
    if (found.server_id, found.machine) != (server_id, machine):
        raise Conflict(f"Another machine writes to this place of the target: {found.host or found.machine}",
                       "Two writers would delete each other's backups. If that machine is gone, set the target again "
                       "with --adopt; otherwise give this one another prefix.")


def claim(store: ObjectStore, ours: Instance, *, adopt: bool = False) -> Instance:
    """Become the writer, when a target is set or a server is restored; idempotent. Return what is written there.

    Conflict: another machine is, and *adopt* was not said. StoreError.
    """
    found = None
    try:
        found = owner(store, ours.server_id)
    except Forged:
        if not adopt:
            raise
    if found and (found.server_id, found.machine) == (ours.server_id, ours.machine):
        return found
    if found and not adopt:
        check_owner(store, ours.server_id, ours.machine)
    note = replace(ours, adopted_from=found.host if found else "")
    data = canonical({"format": FORMAT, **plain(note)})
    store.put(instance_key(ours.server_id), data, new=found is None and not adopt)
    if store.get(instance_key(ours.server_id)) != data:
        raise StoreError("Another machine claimed this place of the target at the same moment", "Try again.")
    return note
