"""PostgreSQL, the official image: https://github.com/docker-library/docs/tree/master/postgres.

The application's role owns its database and is no superuser. Programs in the container reach the server as ``postgres``
over its unix socket, which the image trusts; over the network every role needs its scram password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

from paas_plugins.postgres.pitr import PostgresPointInTime

from paas.api import (
    Contents,
    Conversation,
    Datastore,
    Plan,
    Program,
    Reader,
    Secret,
    Service,
    ServiceError,
    Shell,
    Table,
    Writer,
)

PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres")
METHOD = "postgres-1"
END = "--end--"
RESTORER = "paas_restore"                # superuser for the time of a restore: whatever it made goes to the app's role

# Settings that the text of a value depends on.
FIXED = """SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET search_path = ''; SET row_security = off; SET statement_timeout = 0;
"""
# Tables with rows of their own; what an extension brought comes with the extension again.
TABLES = """SELECT json_agg(json_build_array(n.nspname, c.relname) ORDER BY n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
    AND d.deptype = 'e');"""
FACTS = """SELECT json_object_agg(name, value) FROM (
    SELECT 'encoding' AS name, pg_catalog.pg_encoding_to_char(encoding) AS value FROM pg_catalog.pg_database
        WHERE datname = current_database()
    UNION ALL SELECT 'extension ' || extname, 'there' FROM pg_catalog.pg_extension
    UNION ALL SELECT 'large objects', count(*)::text FROM pg_catalog.pg_largeobject_metadata
    UNION ALL SELECT 'sequence ' || schemaname || '.' || sequencename, coalesce(last_value::text, 'unused')
        FROM pg_catalog.pg_sequences
    UNION ALL SELECT 'functions', count(*)::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n
        ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL SELECT 'indexes', count(*)::text FROM pg_catalog.pg_indexes WHERE schemaname !~ '^pg_'
    UNION ALL SELECT 'views', count(*)::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
        ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND n.nspname !~ '^pg_'
        AND n.nspname <> 'information_schema') AS facts;"""
# Independent of the order of rows. The second serves tables with a type that has no hash function, like json.
BY_RECORD = "sum(pg_catalog.hash_record_extended(t, 0)::numeric)"
BY_TEXT = "sum(pg_catalog.hashtextextended(t::text, 0)::numeric)"
STATS = """SELECT json_build_object('version', current_setting('server_version'),
    'size', pg_catalog.pg_database_size(current_database()),
    'connections', (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_catalog.pg_backend_pid()),
    'max connections', current_setting('max_connections')::int,
    'replication slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active,
        'wal status', wal_status)), '[]') FROM pg_catalog.pg_replication_slots));"""


class Postgres(Datastore):
    name, title, image = "postgres", "PostgreSQL", "postgres"
    versions, default = ("14", "15", "16", "17", "18"), "17"
    port, variable, kind = 5432, "DATABASE", "logical"
    by_hand = ("pg_restore", "--no-owner", "--no-acl", "--dbname", "DATABASE")

    @property
    def pitr(self) -> PostgresPointInTime:
        return PostgresPointInTime(self.plan, role_of)

    def plan(self, service: Service) -> Plan:
        # From 18 on the image keeps a directory for each major version below the volume.
        new = major(service) >= 18
        return Plan(
            data="/var/lib/postgresql" if new else "/var/lib/postgresql/data",
            environment={"POSTGRES_PASSWORD": service.secrets["admin-password"],
                         "POSTGRES_INITDB_ARGS": Secret("--data-checksums --auth-host=scram-sha-256 --encoding=UTF8")},
            command=("docker-entrypoint.sh", "postgres", *(f"--{name}={value}" for name, value in options(service))),
            shm=256 * 1024 * 1024)

    def ready(self, shell: Shell, service: Service) -> bool:
        """Over TCP: while the image sets the data up, its server listens on the unix socket only."""
        shell.run(("pg_isready", "--host=127.0.0.1", "--quiet"))
        return True

    def prepare(self, shell: Shell, service: Service) -> None:
        role, database = identifier(role_of(service)), identifier(role_of(service))
        self._sql(shell, "postgres", f"""CREATE ROLE {role} LOGIN PASSWORD {literal(service.secrets["password"])};
            CREATE DATABASE {database} OWNER {role} TEMPLATE template0;
            REVOKE ALL ON DATABASE {database} FROM PUBLIC; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;""")

    def rekey(self, shell: Shell, service: Service) -> None:
        self._sql(shell, "postgres", f"""ALTER ROLE {identifier(role_of(service))} LOGIN
            PASSWORD {literal(service.secrets["password"])};
            ALTER ROLE postgres PASSWORD {literal(service.secrets["admin-password"])};""")

    def url(self, service: Service, host: str, port: int) -> str:
        password = quote(service.secrets["password"].reveal(), safe="")
        return f"postgres://{role_of(service)}:{password}@{host}:{port}/{role_of(service)}"

    def console(self, service: Service) -> Program:
        return Program(("psql", "--host=127.0.0.1", f"--username={role_of(service)}", f"--dbname={role_of(service)}"),
                       {"PGPASSWORD": service.secrets["password"]})

    def facts(self, shell: Shell, service: Service) -> dict[str, object]:
        return json.loads(shell.run((*PSQL, f"--dbname={role_of(service)}", f"--command={STATS}")))

    # data ----------------------------------------------------------------------------------------------------------
    @contextmanager
    def snapshot(self, shell: Shell, service: Service, label: str) -> Iterator[PostgresSnapshot]:
        talk = Questions(shell.converse((*PSQL, f"--dbname={role_of(service)}"),
                                        environment={"PGAPPNAME": Secret(label)}))
        try:
            yield PostgresSnapshot(shell, service, talk, exported(talk), label)
        except BaseException:
            with suppress(ServiceError):     # what went wrong first tells more
                talk.close()
            raise
        talk.close()

    def end_stale(self, shell: Shell, label: str) -> None:
        pattern = literal(Secret(label + "%"))
        self._sql(shell, "postgres", f"""SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
            WHERE application_name LIKE {pattern} AND pid <> pg_catalog.pg_backend_pid();""")

    def load(self, shell: Shell, service: Service, write: Callable[[Writer], None]) -> None:
        role, database = identifier(role_of(service)), role_of(service)
        self._sql(shell, "postgres", f"CREATE ROLE {RESTORER} SUPERUSER LOGIN;")
        shell.feed(("pg_restore", f"--username={RESTORER}", "--exit-on-error", "--no-owner", "--no-acl",
                    f"--dbname={database}"), write)
        self._sql(shell, database, f"""REASSIGN OWNED BY {RESTORER} TO {role}; DROP OWNED BY {RESTORER};
            DROP ROLE {RESTORER}; ANALYZE;""")

    def contents(self, shell: Shell, service: Service) -> Contents:
        talk = Questions(shell.converse((*PSQL, f"--dbname={role_of(service)}")))
        try:
            talk.ask(FIXED + "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            return contents(talk)
        finally:
            talk.close()

    def inspect(self, shell: Shell, service: Service) -> tuple[str, ...]:
        """amcheck: every heap page, every index entry. https://www.postgresql.org/docs/current/app-pgamcheck.html"""
        database = role_of(service)
        try:
            shell.run(("pg_amcheck", "--username=postgres", f"--database={database}", "--install-missing",
                       "--heapallindexed"), timeout=6 * 3600.0)
        except ServiceError as error:
            return (error.what,)
        return ()

    def _sql(self, shell: Shell, database: str, text: str) -> str:
        """By standard input, and never into the server's log: it may hold a password."""
        return shell.run((*PSQL, "--set=ON_ERROR_STOP=1", f"--dbname={database}"),
                         stdin=f"SET log_statement = 'none'; SET log_min_error_statement = 'panic';\n{text}\n".encode(),
                         timeout=600.0)


class PostgresSnapshot:
    """See :class:`paas.api.Snapshot`: pg_dump and the questions share one exported snapshot."""

    def __init__(self, shell: Shell, service: Service, talk: Questions, exported: str, label: str) -> None:
        self._shell, self._service, self._talk = shell, service, talk
        self._exported, self._label = exported, label

    def dump(self) -> Reader:
        return self._shell.compressed(
            ("pg_dump", "--username=postgres", "--format=custom", "--compress=0", f"--snapshot={self._exported}",
             f"--dbname={role_of(self._service)}"), environment={"PGAPPNAME": Secret(self._label)})

    def contents(self) -> Contents:
        return contents(self._talk)


class Questions:
    """psql, kept running in one transaction; an error of one statement does not end it."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk

    def ask(self, sql: str) -> list[str]:
        """Lines of the answer; none where the statement failed."""
        self._talk.send(f"{sql}\n\\echo {END}\n")
        lines = []
        while (line := self._talk.line()) != END:
            lines.append(line)
        return lines

    def close(self) -> None:
        self._talk.close()


def exported(talk: Questions) -> str:
    """Begin the transaction of a snapshot; return its name.

    The locks are pg_dump's own, taken before it and held until the counting is over: a TRUNCATE or a table rewritten in
    between would be seen through every snapshot (https://www.postgresql.org/docs/current/mvcc-caveats.html).
    """
    talk.ask(FIXED + "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
    snapshot = "".join(talk.ask("SELECT pg_catalog.pg_export_snapshot();"))
    if not re.fullmatch(r"[0-9A-F-]+", snapshot):
        raise ServiceError("PostgreSQL gave no snapshot", "Look at the service's logs.")
    for schema, name in tables(talk):
        talk.ask(f"LOCK TABLE ONLY {identifier(schema)}.{identifier(name)} IN ACCESS SHARE MODE;")
    return snapshot


def tables(talk: Questions) -> list[tuple[str, str]]:
    """:raises ServiceError: the question failed, which is not the same as that there are none."""
    answer = talk.ask(TABLES)
    if not answer:
        raise ServiceError("PostgreSQL could not list its tables", "Look at the service's logs.")
    return [(schema, name) for schema, name in json.loads("".join(answer) or "[]")]


def contents(talk: Questions) -> Contents:
    talk.ask("\\set ON_ERROR_ROLLBACK on")        # not before: a subtransaction cannot export its snapshot
    found = tuple(table(talk, schema, name) for schema, name in tables(talk))
    answer = talk.ask(FACTS)
    if not answer:
        raise ServiceError("PostgreSQL could not count what it holds", "Look at the service's logs.")
    return Contents(found, json.loads("".join(answer)), METHOD)


def table(talk: Questions, schema: str, name: str) -> Table:
    source = f"{identifier(schema)}.{identifier(name)}"
    for way, expression in (("r", BY_RECORD), ("t", BY_TEXT)):
        answer = talk.ask(f"SELECT count(*), {expression} FROM ONLY {source} AS t;")
        if answer:
            rows, _, digest = answer[0].partition("|")
            return Table(f"{schema}.{name}", int(rows), f"{way}:{digest}")
    raise ServiceError(f"the table {schema}.{name} cannot be read", "Look at the service's logs.")


def options(service: Service) -> Iterator[tuple[str, str]]:
    """What replication slots may keep is bounded, so that one that nobody reads cannot fill the disk. Data of a drill
    need not survive anything."""
    if service.settings.get("scratch"):
        yield from (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off"),
                    ("wal_level", "minimal"), ("max_wal_senders", "0"), ("autovacuum", "off"))
    else:
        yield "max_slot_wal_keep_size", service.settings.get("max-slot-wal", "5GB")
    memory = service.settings.get("memory-bytes")
    if memory:
        yield "shared_buffers", f"{max(16, int(memory) // 4 // 1024 ** 2)}MB"
        yield "effective_cache_size", f"{max(16, int(memory) // 2 // 1024 ** 2)}MB"


def major(service: Service) -> int:
    return int(service.version.partition(".")[0].partition("-")[0])


def role_of(service: Service) -> str:
    """Role and database: the service's name when its data was made (a dash becomes an underscore, as in Dokku)."""
    return service.settings.get("database") or service.name.replace("-", "_")


def identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def literal(value: Secret) -> str:
    return "'" + value.reveal().replace("'", "''") + "'"


datastore = Postgres()
