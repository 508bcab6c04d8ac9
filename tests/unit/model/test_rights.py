"""The table verb × role: every command has a row, and the table is what docs/access.md prints."""

from pathlib import Path

import pytest

from paas.cli import load_commands
from paas.model.rights import ROLES, TABLE, VERBS, Right, Role, named, right_of

DATASTORES = frozenset({"postgres", "redis", "valkey"})
GOLDEN = Path(__file__).with_name("rights.txt")


def test_every_command_has_a_row_and_every_row_a_command():
    commands = {name if name.partition(":")[0] not in DATASTORES else f"DATASTORE:{name.partition(':')[2]}"
                for name in load_commands()}
    git = {"git:upload-pack", "git:receive-pack"}
    assert commands - VERBS.keys() == set(), "give these a right in paas/model/rights.py"
    assert VERBS.keys() - commands - git == set(), "these are no commands"


def test_no_verb_stands_twice():
    words = [named(space, verb) for space, rows in TABLE.items() for verbs in rows.values() for verb in verbs.split()]
    assert len(words) == len(set(words))


def test_the_table_is_the_one_that_was_agreed():
    """To change who may do what, change this file too: `python -m tests.unit.model.test_rights` writes it."""
    assert GOLDEN.read_text() == table()


def table() -> str:
    lines = [f"{'verb':40} {' '.join(f'{role:8}' for role in Role)}".rstrip()]
    for verb, right in sorted(VERBS.items()):
        cells = " ".join(f"{'yes' if right in ROLES[role] else '-':8}" for role in Role)
        lines.append(f"{verb:40} {cells}".rstrip())
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("role", "may", "may_not"), [
    (Role.CI, ["git:receive-pack", "help"], ["logs", "apps:info", "config:get", "run", "git:upload-pack"]),
    (Role.READ, ["logs", "apps:info", "ps"], ["config:get", "git:upload-pack", "ps:scale", "run", "rollback"]),
    (Role.DEPLOY, ["git:receive-pack", "git:upload-pack", "logs"], ["config:get", "run", "domains:add"]),
    (Role.OPERATE, ["config:set", "ps:scale", "run", "rollback", "postgres:link"],
     ["git:receive-pack", "domains:add", "apps:destroy", "postgres:destroy"]),
    (Role.OWNER, ["apps:destroy", "domains:add", "git:receive-pack", "postgres:destroy"],
     ["ssh-keys:add", "server:set", "doctor", "backups:kit"]),
    (Role.ADMIN, list(VERBS), []),
])
def test_roles(role, may, may_not):
    for verb in may:
        assert right_of(verb, DATASTORES) in ROLES[role], verb
    for verb in may_not:
        assert right_of(verb, DATASTORES) not in ROLES[role], verb


def test_what_has_no_row_is_an_admins():
    assert right_of("invented:verb") is Right.ADMIN
    assert right_of("postgres:create") is Right.ADMIN        # no plugin of that name is there


def test_only_admins_have_the_right_of_admins():
    assert [role for role in Role if Right.ADMIN in ROLES[role]] == [Role.ADMIN]


if __name__ == "__main__":
    GOLDEN.write_text(table())
