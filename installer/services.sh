# sshd, and the services: by systemd, or as plain processes with pid files where systemd is not PID 1.
# shellcheck shell=bash disable=SC2034,SC2154  # sourced by install.sh, which sets the variables

set_up_sshd() {
  local before=''
  install -d -m 755 /run/sshd /etc/ssh/sshd_config.d
  ssh-keygen -A >>"$LOG" 2>&1
  grep -Eqi '^\s*Include\s+/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config || fail "/etc/ssh/sshd_config does not read sshd_config.d" \
    "Make its first line: Include /etc/ssh/sshd_config.d/*.conf"
  if [[ -f $DROP_IN ]]; then before=$(cat "$DROP_IN"); fi
  if place_host_file sshd "$DROP_IN"; then
    step "Configuring sshd for the user paas"
    if ! /usr/sbin/sshd -t 2>>"$LOG"; then
      if [[ -n $before ]]; then printf '%s\n' "$before" >"$DROP_IN"; else rm -f "$DROP_IN"; fi
      fail "sshd refuses the new configuration; the old one is back" "Its reason is in $LOG"
    fi
    reload_sshd
  fi
}

reload_sshd() {
  if has_systemd; then
    systemctl reload-or-restart ssh >>"$LOG" 2>&1 || true
  else
    local pid
    pid=$(sshd_pid)
    if [[ -n $pid ]]; then kill -HUP "$pid"; fi
  fi
}

sshd_pid() { pgrep -o -f '^(sshd: )?/usr/sbin/sshd( |$)' || true; }

# A process started by this script: its pid and start time (field 22 of proc_pid_stat(5)) stand in a file, so that a
# process that was given the same pid later is never taken for it.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{ print $20 }'; }

# paasd or paas-proxy, however they were started; sshd and dockerd only if this script started them itself.
running() {
  local name=$1
  if has_systemd && [[ $name == paas* && -e $UNITS/$name.service ]]; then systemctl is-active --quiet "$name"; return; fi
  launched "$name"
}

launched() {
  local pid start
  [[ -r $RUN/$1.pid ]] || return 1
  read -r pid start <"$RUN/$1.pid"
  [[ -n $start && $(started_at "$pid") == "$start" ]]
}

launch() {
  local name=$1
  shift
  setsid "$@" </dev/null >>"$LOGS/$name.log" 2>&1 &
  printf '%s %s\n' "$!" "$(started_at $!)" >"$RUN/$name.pid"
}

stop_process() {
  local name=$1 pid attempt
  if launched "$name"; then
    read -r pid _ <"$RUN/$name.pid"
    kill "$pid" 2>/dev/null || true
    for ((attempt = 0; attempt < 300; attempt++)); do
      launched "$name" || break
      sleep 0.1
    done
    if launched "$name"; then kill -KILL "$pid" 2>/dev/null || true; fi
    detail "stopped $name"
  fi
  rm -f "$RUN/$name.pid"
}

wait_until() {
  local what=$1 seconds=$2 hint=$3 end=$((SECONDS + $2))
  shift 3
  until "$@" >>"$LOG" 2>&1; do
    ((SECONDS < end)) || fail "$what within $seconds s." "$hint"
    sleep 0.1
  done
}

write_units() {
  local fresh=
  if place_host_file paasd.service "$UNITS/paasd.service"; then fresh=1 restart_daemon=1; fi
  if place_host_file paas-proxy.service "$UNITS/paas-proxy.service"; then fresh=1 restart_proxy=1; fi
  if place_host_file paas-firewall.service "$UNITS/paas-firewall.service"; then fresh=1 restart_firewall=1; fi
  if place_host_file tmpfiles "$TMPFILES"; then fresh=1; fi
  if [[ -n $fresh ]]; then systemctl daemon-reload; fi
}

restart_firewall=''

warn_of_firewall() {
  warn "containers can reach what listens on this server and a cloud's metadata: the rules could not be set" \
    "The reason is in $LOG, or: journalctl -u paas-firewall"
}

start_with_systemd() {
  write_units
  systemctl enable --quiet --now docker ssh 2>>"$LOG" || true
  wait_until "Docker did not answer" 60 "Its log: journalctl -u docker" docker_answers
  systemctl enable --quiet paas-proxy paasd paas-firewall
  if [[ -n $restart_firewall || -n $restart_daemon ]] || ! systemctl is-active --quiet paas-firewall; then
    systemctl restart paas-firewall >>"$LOG" 2>&1 || warn_of_firewall
  fi
  if [[ -n $restart_proxy ]] || ! running paas-proxy; then
    quietly "the proxy did not start" "Its log: journalctl -u paas-proxy" systemctl restart paas-proxy
  fi
  if [[ -n $restart_daemon ]] || ! running paasd; then
    quietly "paasd did not start" "Its log: journalctl -u paasd" systemctl restart paasd
  fi
}

start_directly() {
  if ! docker_answers; then
    step "Starting Docker (systemd does not run here)"
    launch dockerd dockerd
    changed=1
    wait_until "Docker did not answer" 60 "Its log: $LOGS/dockerd.log" docker_answers
  fi
  host_file firewall >>"$LOG" 2>&1 || warn_of_firewall
  if ! listening "$(sshd_port)"; then
    step "Starting sshd"
    launch sshd /usr/sbin/sshd -D -p "$(sshd_port)" -o PidFile=none
    changed=1
    wait_until "sshd did not listen" 10 "Its log: $LOGS/sshd.log" listening "$(sshd_port)"
  fi
  if [[ -n $restart_proxy ]]; then stop_process paas-proxy; fi
  if ! running paas-proxy; then start_proxy; fi
  if [[ -n $restart_daemon ]]; then stop_process paasd; fi
  if ! running paasd; then
    step "Starting paasd"
    launch paasd env -i PATH="$PATH" PAAS_SETTINGS="$SETTINGS" "$LIB/venv/bin/python" -m paas.daemon
    changed=1
  fi
}

start_proxy() {
  step "Starting the proxy"
  launch paas-proxy env -i PATH="$PATH" PAAS_SETTINGS="$SETTINGS" "$LIB/venv/bin/python" -I -m paas.adapters.host_files run-proxy
  changed=1
}

start() {
  check_ports
  if has_systemd; then start_with_systemd; else start_directly; fi
  local hint="Its log: $LOGS/paasd.log"
  if has_systemd; then hint="Its log: journalctl -u paasd"; fi
  wait_until "paasd did not answer" 60 "$hint" answers_or_ended
  running paasd || fail "paasd ended at once" "$hint"
}

answers_or_ended() { "$LAUNCHER" version || ! running paasd; }

stop() {
  step "Stopping paas"
  if has_systemd && [[ -e $UNITS/paasd.service ]]; then systemctl stop paasd paas-proxy || true; fi
  local name
  for name in paasd paas-proxy sshd dockerd; do stop_process "$name"; done
}
