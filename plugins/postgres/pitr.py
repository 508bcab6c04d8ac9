"""Point in time for PostgreSQL: pg_basebackup and pg_receivewal, which every image has.

The receiver comes over the service's own network as the role ``paas_pitr``, which may replicate and nothing else; the
image lets replication in on the unix socket and on loopback only, so one line of pg_hba.conf is the platform's.
https://www.postgresql.org/docs/current/continuous-archiving.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from paas.api import LogState, Plan, PointInTime, Program, Reader, Secret, Service, ServiceError, Shell, Writer

ROLE = SLOT = "paas_pitr"
RECEIVER = "paas-receiver"               # names its sessions
MARK = "# paas: point in time"
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres", "--dbname=postgres")
# Receive as long as there is room. pg_receivewal alone would fill the disk if nobody fetched what it has.
RECEIVE = """trap 'kill -INT "$child" 2>/dev/null; exit 0' TERM INT
full() { set -- "$SPOOL"/*; [ "$#" -ge "$MOST" ]; }
while :; do
  if ! full; then
    pg_receivewal --no-loop --status-interval=1 --directory="$SPOOL" --slot="$SLOT" --no-password &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
      if full; then kill -INT "$child"; fi
      sleep 1
    done
    wait "$child"
  fi
  sleep 1
done
"""
# The file keeps owner and mode, and is replaced in one step.
ALLOW = """set -eu
file=$PGDATA/pg_hba.conf
cp -p "$file" "$file.paas"
grep -v "$1\\$" "$file" > "$file.paas" || :
if [ -n "$2" ]; then printf '%s %s\\n' "$2" "$1" >> "$file.paas"; fi
mv "$file.paas" "$file"
"""
DROP_SLOT = f"""SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots
    WHERE slot_name = '{SLOT}' AND active_pid IS NOT NULL;
DO $$ BEGIN FOR attempt IN 1..50 LOOP
    BEGIN
        PERFORM pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
            WHERE slot_name = '{SLOT}';
        EXIT;
    EXCEPTION WHEN object_in_use THEN PERFORM pg_catalog.pg_sleep(0.1);
    END;
END LOOP; END $$;"""
STATE = f"""SELECT json_build_object('position', (pg_catalog.pg_current_wal_flush_lsn() - '0/0')::text,
    'timeline', (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
    'segment_size', (SELECT bytes_per_wal_segment FROM pg_catalog.pg_control_init()),
    'system', (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
    'slot', coalesce((SELECT coalesce(wal_status, 'lost') FROM pg_catalog.pg_replication_slots
        WHERE slot_name = '{SLOT}'), 'missing'),
    'held', coalesce((SELECT (pg_catalog.pg_current_wal_flush_lsn() - restart_lsn)::bigint
        FROM pg_catalog.pg_replication_slots WHERE slot_name = '{SLOT}'), 0),
    'received', coalesce((SELECT (write_lsn - '0/0')::bigint FROM pg_catalog.pg_stat_replication
        WHERE application_name = '{RECEIVER}' AND usename = '{ROLE}' AND write_lsn IS NOT NULL LIMIT 1), 0),
    'streaming', EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = '{SLOT}' AND active));"""
UNPACK = 'set -eu; mkdir -p "$PGDATA"; chmod 700 "$PGDATA"; exec tar -xf - -C "$PGDATA"'
VERIFY = ('set -eu; pg_verifybackup --no-parse-wal --exit-on-error --quiet "$PGDATA"; '
          'rm -f "$PGDATA/backup_manifest"; touch "$PGDATA/recovery.signal"; sync')
EARLY = "recovery ended before configured recovery target was reached"
DAY = 24 * 3600.0                        # seconds that reading all data may take


class PostgresPointInTime(PointInTime):
    """:param plan: of the datastore; *role* names a service's database and role."""

    def __init__(self, plan: Callable[[Service], Plan], role: Callable[[Service], str]) -> None:
        self._plan, self._role = plan, role

    def begin(self, shell: Shell, service: Service) -> None:
        self._allow(shell, f"host replication {ROLE} {service.subnet} scram-sha-256")
        password = service.secrets["replication-password"].reveal()
        sql(shell, f"""{DROP_SLOT}
            DO $$ BEGIN CREATE ROLE {ROLE}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
            ALTER ROLE {ROLE} WITH LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS
                PASSWORD '{password}';
            SELECT pg_catalog.pg_reload_conf();
            SELECT pg_catalog.pg_create_physical_replication_slot('{SLOT}', true);""")

    def end(self, shell: Shell, service: Service) -> None:
        self._allow(shell, "")
        sql(shell, f"{DROP_SLOT} DROP ROLE IF EXISTS {ROLE}; SELECT pg_catalog.pg_reload_conf();")

    @staticmethod
    def _allow(shell: Shell, rule: str) -> None:
        shell.run(("sh", "-c", ALLOW, "paas", MARK, rule))

    def state(self, shell: Shell, service: Service) -> LogState:
        found = json.loads(shell.run((*PSQL, f"--command={STATE}"), timeout=20.0))
        return LogState(**{**found, "position": int(found["position"])})

    def receiver(self, service: Service, host: str, most: int) -> Program:
        return Program(("sh", "-c", RECEIVE), {
            "PGHOST": Secret(host), "PGUSER": Secret(ROLE), "PGPASSWORD": service.secrets["replication-password"],
            "PGCONNECT_TIMEOUT": Secret("5"), "PGAPPNAME": Secret(RECEIVER), "SPOOL": Secret(self.SPOOL),
            "SLOT": Secret(SLOT), "MOST": Secret(str(most))})

    def owner(self, shell: Shell) -> tuple[int, int]:
        user, group = (int(shell.run(("id", flag, "postgres")).strip()) for flag in ("-u", "-g"))
        return user, group

    def kept(self, service: Service) -> Mapping[str, str]:
        return {"database": self._role(service)}

    def base(self, shell: Shell, service: Service, label: str) -> Reader:
        """The log of the copy is not in it: it comes from the archive like the rest."""
        return shell.compressed(
            ("pg_basebackup", "--username=postgres", "--pgdata=-", "--format=tar", "--wal-method=none",
             "--checkpoint=fast", "--manifest-checksums=SHA256", f"--label={label}", "--no-password"),
            environment={"PGAPPNAME": Secret(label)})

    def unpack(self, shell: Shell, write: Callable[[Writer], None]) -> None:
        shell.feed(("sh", "-c", UNPACK), write)
        shell.run(("sh", "-c", VERIFY), timeout=DAY)

    def recovery(self, service: Service, at: datetime | None) -> Plan:
        """Nobody can connect before the end: then no setting of the origin (max_connections, …) must be matched."""
        plan = self._plan(service)
        options = {"restore_command": f'sh {self.FEED} "%f" "%p"', "hot_standby": "off", "listen_addresses": "",
                   "recovery_target_timeline": "current", "archive_mode": "off", "autovacuum": "off"}
        if at:
            options |= {"recovery_target_time": f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00",
                        "recovery_target_inclusive": "on", "recovery_target_action": "promote"}
        return Plan(plan.data, {}, ("docker-entrypoint.sh", "postgres",
                                    *(f"--{name}={value}" for name, value in options.items())), plan.shm)

    def recovered(self, shell: Shell) -> bool:
        return shell.run((*PSQL, "--command=SELECT pg_catalog.pg_is_in_recovery()")).strip() == "f"

    def ended_early(self, words: str) -> bool:
        return EARLY in words

    def inspect(self, shell: Shell) -> tuple[str, ...]:
        """Every page of every file: https://www.postgresql.org/docs/current/app-pgchecksums.html"""
        try:
            shell.run(("sh", "-c", 'exec pg_checksums --check --pgdata="$PGDATA"'), timeout=DAY)
        except ServiceError as error:
            return (error.what,)
        return ()


def sql(shell: Shell, text: str) -> str:
    """By standard input, and never into the server's log: it may hold a password."""
    return shell.run((*PSQL, "--set=ON_ERROR_STOP=1"), timeout=120.0,
                     stdin=f"SET log_statement = 'none'; SET log_min_error_statement = 'panic';\n{text}\n".encode())
