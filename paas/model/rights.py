"""Who may do what, as data: each verb needs one right, each role has some rights. A verb without a row fails the tests.

Rights on an app (or a service) come from roles on it, or from roles everywhere. Roles add up.
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    ANYONE = "anyone"                    # any key that is registered
    READ = "read"                        # state, releases, settings; no values of config vars
    LOGS = "logs"
    FETCH = "fetch"                      # git clone
    PUSH = "push"
    RUN = "run"                          # commands in the app's containers: as good as reading its config
    OPERATE = "operate"                  # config, processes, checks, jobs, maintenance, rollback
    OWN = "own"                          # domains, certificates, storage, builders, rename, destroy, who has access
    SERVICE_READ = "service-read"
    SERVICE_OPERATE = "service-operate"  # link, start and stop, backups, its client
    SERVICE_OWN = "service-own"          # expose, restore, upgrade, destroy
    ADMIN = "admin"                      # the server: keys, settings, other people's access


class Role(StrEnum):
    ADMIN = "admin"
    OWNER = "owner"
    OPERATE = "operate"
    DEPLOY = "deploy"
    CI = "ci"
    READ = "read"


SERVER_WIDE = frozenset({Right.ANYONE, Right.ADMIN})
LOOK = {Right.ANYONE, Right.READ, Right.LOGS, Right.SERVICE_READ}

ROLES: dict[Role, frozenset[Right]] = {
    Role.ADMIN: frozenset(Right),
    Role.OWNER: frozenset(Right) - {Right.ADMIN},
    Role.OPERATE: frozenset({*LOOK, Right.RUN, Right.OPERATE, Right.SERVICE_OPERATE}),
    Role.DEPLOY: frozenset({*LOOK, Right.FETCH, Right.PUSH}) - {Right.SERVICE_READ},
    Role.CI: frozenset({Right.ANYONE, Right.PUSH}),
    Role.READ: frozenset(LOOK),
}

# Namespace → right → its verbs, in the order of the command list. "-" is the bare name.
TABLE: dict[str, dict[Right, str]] = {
    "": {Right.ANYONE: ":complete completion help version", Right.ADMIN: "cleanup disk doctor "
                                                                         "reconcile status incidents",
         Right.READ: "releases url urls events", Right.LOGS: "logs", Right.RUN: "enter run",
         Right.OPERATE: "rollback"},
    # Who gives a role is judged by the role and the place, see paas.ops.access.grant.
    "access": {Right.ANYONE: "- list check grant revoke"},
    "apps": {Right.READ: "- list info exists report locked", Right.OPERATE: "lock unlock",
             Right.OWN: "create import-compose rename destroy"},
    "backups": {Right.ADMIN: "- info health histories hold delete restore restore-to in-target drill kit key target"},
    "builder": {Right.READ: "report", Right.OWN: "arg secret set"},
    "buildpacks": {Right.ANYONE: "- list", Right.READ: "show eject", Right.OWN: "set"},
    "builds": {Right.READ: "- list", Right.LOGS: "log output", Right.OPERATE: "cancel"},
    "certs": {Right.READ: "- report", Right.OWN: "add remove update"},
    "checks": {Right.READ: "- report", Right.OPERATE: "disable enable set unset"},
    "ci": {Right.OWN: "setup"},
    "config": {Right.READ: "- keys", Right.OPERATE: "show get export set unset clear import"},
    "cron": {Right.READ: "- list history report settings", Right.LOGS: "log",
             Right.OPERATE: "run stop suspend resume set"},
    "domains": {Right.READ: "- report", Right.OWN: "add remove set clear reset",
                Right.ADMIN: "set-global clear-global"},
    "git": {Right.READ: "remote report", Right.FETCH: "upload-pack", Right.PUSH: "receive-pack from-archive from-image",
            Right.OWN: "set"},
    "logs": {Right.READ: "drains", Right.ADMIN: "drain drain-global drain-remove"},
    "metrics": {Right.READ: "-", Right.ADMIN: "token"},
    "maintenance": {Right.READ: "- report", Right.OPERATE: "on off"},
    "network": {Right.READ: "- report settings", Right.OWN: "set"},
    "notify": {Right.ADMIN: "- add info list remove set test"},
    "heartbeat": {Right.ADMIN: "- report set unset"},
    "otel": {Right.READ: "report", Right.OPERATE: "set unset", Right.ADMIN: "set-global unset-global"},
    "ports": {Right.READ: "- list report", Right.OWN: "add remove set clear"},
    "proxy": {Right.READ: "- report", Right.OWN: "set"},
    "ps": {Right.READ: "- report settings",
           Right.OPERATE: "scale restart rebuild start stop set strategy autosleep sleep wake"},
    "releases": {Right.READ: "list info", Right.OPERATE: "diff"},
    "resource": {Right.READ: "- report", Right.OPERATE: "limit limit-clear reserve"},
    "run": {Right.READ: "list", Right.LOGS: "logs", Right.RUN: "detached stop"},
    "server": {Right.ADMIN: "report set build-ca build-env build-env-set build-env-unset backup restore "
                            "backup-schedule backup-schedule-cat backup-unschedule backup-retention "
                            "backup-drills"},
    "sqlite": {Right.READ: "list info", Right.OWN: "protect unprotect restore drill"},
    "ssh-keys": {Right.ADMIN: "add list info remove rotate"},
    "storage": {Right.READ: "list report", Right.OWN: "mount unmount"},
    "uptime": {Right.READ: "- settings", Right.OPERATE: "set"},
    "watch": {Right.READ: "- report", Right.OPERATE: "set"},
    # The verbs of every datastore.
    "DATASTORE": {
        Right.SERVICE_READ: "list info exists links logs backups backup-schedule-cat",
        Right.READ: "app-links",
        Right.SERVICE_OPERATE: "start stop restart set link unlink promote connect export backup backup-schedule "
                               "backup-unschedule backup-retention backup-drills pitr",
        Right.SERVICE_OWN: "create enter expose unexpose destroy restore upgrade clone import drop-old backup-target "
                           "backup-auth backup-deauth",
        Right.ADMIN: "backup-set-encryption backup-set-public-key-encryption",
    },
}


def by_verb() -> dict[str, Right]:
    """``apps:create`` → its right; datastores' verbs as ``DATASTORE:create``."""
    return {named(space, verb): right for space, rows in TABLE.items() for right, verbs in rows.items()
            for verb in verbs.split()}


def named(space: str, verb: str) -> str:
    return verb if not space else space if verb == "-" else f"{space}:{verb}"


VERBS = by_verb()


def right_of(verb: str, datastores: frozenset[str] = frozenset()) -> Right:
    """What *verb* needs; what has no row needs an admin."""
    space, colon, rest = verb.partition(":")
    return VERBS.get(f"DATASTORE:{rest}" if colon and space in datastores else verb, Right.ADMIN)
