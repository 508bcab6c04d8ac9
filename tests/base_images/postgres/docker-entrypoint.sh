#!/bin/bash
# Make the database cluster on an empty volume, then become what was asked for; `postgres` runs as the user postgres.
set -euo pipefail

# NAME_FILE gives the value of NAME.
from_file() {
  local file=$1_FILE
  if [[ -n ${!file:-} ]]; then
    [[ -z ${!1:-} ]] || { echo "error: both $1 and $file are set" >&2; exit 1; }
    export "$1=$(<"${!file}")"
    unset "$file"
  fi
}

make_cluster() {
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} user=${POSTGRES_USER:-postgres}
  local name=${POSTGRES_DB:-$user}
  if [[ -z ${POSTGRES_PASSWORD:-} && $method != trust ]]; then
    echo "Error: Database is uninitialized and superuser password is not specified. Set POSTGRES_PASSWORD." >&2
    exit 1
  fi
  # shellcheck disable=SC2086  # several arguments
  initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  if [[ $name != postgres ]]; then
    # Over the socket alone: from outside, the server answers only when it is ready to stay.
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" --wait start
    psql --no-psqlrc -v ON_ERROR_STOP=1 --username "$user" --dbname postgres --set name="$name" \
      <<<'CREATE DATABASE :"name";'
    pg_ctl -D "$PGDATA" -m fast --wait stop
  fi
}

[[ ${1:-} != -* ]] || set -- postgres "$@"
if [[ ${1:-} == postgres && $(id -u) == 0 ]]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"
fi
if [[ ${1:-} == postgres ]]; then
  for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do from_file "$name"; done
  [[ -s $PGDATA/PG_VERSION ]] || make_cluster
  unset POSTGRES_PASSWORD
fi
exec "$@"
