# The machine: packages, users, directories.
# shellcheck shell=bash disable=SC2034,SC2154  # sourced by install.sh, which sets the variables

check_machine() {
  [[ $EUID -eq 0 ]] || fail "this needs root" "Run: sudo ./install.sh"
  install -d -m 755 "$LOGS"
  touch "$LOG" && chmod 600 "$LOG"
  has apt-get || fail "this server has no apt-get" "paas installs on Debian 12 or 13 and Ubuntu 22.04 or 24.04."
  local name
  # shellcheck disable=SC1091
  name=$(. /etc/os-release && printf '%s %s' "${ID:-?}" "${VERSION_ID:-?}")
  case $name in
    "debian 12" | "debian 13" | "ubuntu 22.04" | "ubuntu 24.04") ;;
    *) warn "paas is not tested on $name; going on" ;;
  esac
}

installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_packages() {
  local wanted=(ca-certificates curl git iproute2 iptables openssh-client openssh-server procps python3 python3-venv util-linux) name
  if ! has dockerd && ! docker_answers; then wanted+=(docker.io); fi
  # From Debian 13 on the client is a package of its own.
  if ! has docker && installed docker.io; then wanted+=(docker-cli); elif ! has docker; then wanted+=(docker.io); fi
  if installed docker.io && ! installed docker-buildx && apt-cache show docker-buildx >/dev/null 2>&1; then wanted+=(docker-buildx); fi
  if [[ -n $demo ]]; then wanted+=(busybox-static); fi
  if installed python3 && [[ -z $(python_for_us) ]]; then wanted+=(python3.11 python3.11-venv); fi
  for name in "${wanted[@]}"; do installed "$name" || printf '%s\n' "$name"; done | sort -u
}

# Twice, because what one round installs decides what else there is to want (buildx, a newer Python).
install_packages() {
  local missing
  for _ in 1 2; do
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    step "Installing ${missing[*]}"
    quietly "apt-get update failed" "Check the network and /etc/apt/sources.list, then run this again" apt-get update
    quietly "apt-get could not install ${missing[*]}" "Repair that (apt-get -f install), then run this again" \
      env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
    changed=1
  done
}

# The first Python of at least 3.11 in /usr/bin; nothing without one.
python_for_us() {
  local candidate
  for candidate in /usr/bin/python3 /usr/bin/python3.{13,12,11}; do
    if [[ -x $candidate ]] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      printf '%s' "$candidate"
      return
    fi
  done
}

docker_answers() { has docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

make_users() {
  getent passwd paas >/dev/null || { step "Creating the user paas"; useradd --system --home-dir "$STATE" --shell /bin/sh --password '*' paas; }
  getent passwd paas-proxy >/dev/null || useradd --system --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin paas-proxy
}

make_directories() {
  install -d -m 755 "$STATE" "$ETC" "$RUN" "$LOGS" "$VERSIONS"
}
