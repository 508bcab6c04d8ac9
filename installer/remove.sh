# Uninstall.
# shellcheck shell=bash disable=SC2034,SC2154  # sourced by install.sh, which sets the variables

# The identity that labels this installation's objects in Docker; nothing without a database.
server_id() {
  [[ -f $STATE/paas.db ]] && python3 - "$STATE/paas.db" <<'TEXT'
import sqlite3, sys
print(*sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT value FROM settings WHERE key = 'server-id'").fetchone())
TEXT
}

purge_docker() {
  local label
  label=$(server_id 2>>"$LOG") || { warn "the database is not readable: containers, networks and images stay"; return 0; }
  docker_answers || { warn "Docker does not answer: containers, networks and images stay"; return 0; }
  [[ -n $label ]] || return 0
  docker ps --all --quiet --filter "label=paas.server=$label" | xargs -r docker rm --force --volumes >>"$LOG" 2>&1 || true
  docker network ls --quiet --filter "label=paas.server=$label" | xargs -r docker network rm >>"$LOG" 2>&1 || true
  docker images --all --quiet --filter "label=paas.server=$label" | sort -u | xargs -r docker rmi --force >>"$LOG" 2>&1 || true
}

uninstall() {
  if [[ -n $purge ]] && ! confirm "Remove every app, its data and its releases for ever?"; then
    fail "nothing was removed" "Add --yes to --uninstall --purge if that is meant."
  fi
  if [[ -n $purge ]]; then
    if has_systemd; then systemctl stop paasd 2>>"$LOG" || true; fi
    stop_process paasd
    purge_docker
  fi
  stop
  if has_systemd; then systemctl disable --quiet --now paas-firewall 2>>"$LOG" || true; fi
  if has_systemd; then systemctl disable --quiet paasd paas-proxy 2>>"$LOG" || true; fi
  host_file firewall-remove >>"$LOG" 2>&1 || true
  rm -f "$UNITS/paasd.service" "$UNITS/paas-proxy.service" "$UNITS/paas-firewall.service" "$TMPFILES" "$LAUNCHER"
  if has_systemd; then systemctl daemon-reload; fi
  if [[ -f $DROP_IN ]]; then rm -f "$DROP_IN"; reload_sshd; fi
  if [[ -L $LIB ]]; then rm -f "$LIB"; fi
  rm -rf "$VERSIONS" "$RUN"
  if [[ -n $purge ]]; then
    LOG=/dev/null
    rm -rf "$STATE" "$ETC" "$DEMO" "$LOGS"
    userdel paas 2>/dev/null || true
    userdel paas-proxy 2>/dev/null || true
    step "paas and all its data are removed. Packages that it installed stay."
  else
    step "paas is removed. Its data stay in $STATE and $ETC, and the apps' containers stay, without a route."
    detail "Install it again to take up where you stopped: ./install.sh. Remove the data too: ./install.sh --uninstall --purge"
  fi
}
