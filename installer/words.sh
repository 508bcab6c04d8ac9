# Output, the log, and small helpers.
# shellcheck shell=bash disable=SC2034,SC2154  # sourced by install.sh, which sets the variables

step() { printf -- '-----> %s\n' "$*"; note "STEP $*"; }
detail() { printf '       %s\n' "$*"; }
note() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" 2>/dev/null >>"$LOG" || true; }
warn() { printf ' !     %s\n' "$@" >&2; note "WARN $*"; }

# What happened, then what to do next.
fail() {
  printf ' !     %s\n' "$@" >&2
  note "FAILED $*"
  told=1
  exit 1
}

# A command that nobody thought could fail must not end the script without a word.
told=''
at_exit() {
  local status=$?
  if ((status)) && [[ -z $told ]]; then
    printf ' !     %s\n' "install.sh stopped: '$BASH_COMMAND' failed with exit code $status." \
      "Run it again; if it stops at the same place, report it with $LOG" >&2
    note "STOPPED $BASH_COMMAND: $status"
  fi
}
trap at_exit EXIT

# Run a command with its output in the log; on failure show the end of it and stop.
quietly() {
  local what=$1 hint=$2
  shift 2
  local output
  output=$(mktemp)
  if "$@" >"$output" 2>&1 </dev/null; then cat "$output" >>"$LOG"; rm -f "$output"; return; fi
  cat "$output" >>"$LOG"
  tail -n 12 "$output" | sed 's/^/       /' >&2
  rm -f "$output"
  fail "$what." "$hint" "The whole output is in $LOG"
}

has() { command -v "$1" >/dev/null 2>&1; }
has_systemd() { [[ -d /run/systemd/system ]]; }
confirm() {
  [[ -n $yes ]] && return
  [[ -t 0 ]] || return 1
  local answer
  read -r -p "       $1 [Y/n] " answer
  [[ ${answer:-y} =~ ^[Yy] ]]
}

# Write stdin to a file if it differs; true when it did. usage: place FILE MODE <<<TEXT
place() {
  local file=$1 mode=$2 wanted new
  wanted=$(mktemp)
  cat >"$wanted"
  if [[ -f $file ]] && cmp -s "$wanted" "$file"; then rm -f "$wanted"; chmod "$mode" "$file"; return 1; fi
  new=$(mktemp "$(dirname "$file")/.paas.XXXXXX")
  cp "$wanted" "$new"
  chmod "$mode" "$new"
  sync "$new"
  mv "$new" "$file"
  rm -f "$wanted"
  changed=1
}

port_number() {
  if [[ ! $2 =~ ^[0-9]{1,5}$ ]] || ((10#$2 < 1 || 10#$2 > 65535)); then
    fail "$1: '$2' is not a port" "Give a number from 1 to 65535."
  fi
}
