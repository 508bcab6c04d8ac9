# The program in its own directory per version, its settings file.
# shellcheck shell=bash disable=SC2034,SC2154  # sourced by install.sh, which sets the variables

readonly PARTS=(paas hooks buildpacks plugins)

# Everything that decides what gets installed, as 16 hexadecimal digits.
version_mark() {
  local python=$1
  (
    cd "$SOURCE" || exit
    "$python" --version
    find "${PARTS[@]}" uv.lock requirements-uv.txt pyproject.toml -type f -not -name '*.pyc' -print0 \
      | LC_ALL=C sort -z | xargs -0 sha256sum
  ) | sha256sum | cut -c1-16
}

install_program() {
  local python mark target
  python=$(python_for_us)
  [[ -n $python ]] || fail "Python 3.11 or newer is not to be had here" "Install it as /usr/bin/python3.11, then run this again."
  mark=$(version_mark "$python")
  target=$VERSIONS/$mark
  if [[ ! -e $target/.complete ]]; then build_program "$python" "$target"; fi
  place_launcher "$python" || true
  [[ $(readlink "$LIB" 2>/dev/null) != "$target" ]] || return 0
  [[ ! -e $LIB || -L $LIB ]] || fail "$LIB is there and not ours" "Move it away, then run this again."
  program_before=$(readlink "$LIB" 2>/dev/null || true)
  ln -sfn "$target" "$LIB.new"
  mv -T "$LIB.new" "$LIB"
  changed=1 restart_daemon=1
  if [[ -z $program_before ]] || ! cmp -s "$program_before/venv/bin/caddy" "$target/venv/bin/caddy"; then restart_proxy=1; fi
}
program_before='' restart_daemon='' restart_proxy=''

build_program() {
  local python=$1 target=$2 part uv
  step "Installing the program and its locked dependencies"
  rm -rf "$target"
  install -d -m 755 "$target"
  for part in "${PARTS[@]}"; do cp -R --no-preserve=ownership,mode "$SOURCE/$part" "$target/"; done
  find "$target" -name __pycache__ -prune -exec rm -rf {} +
  find "$target/hooks" -type f -exec chmod 755 {} +
  if [[ $python != /usr/bin/python3 ]]; then sed -i "1s|^#!/usr/bin/python3 |#!$python |" "$target"/hooks/*; fi
  uv=$(mktemp -d)
  quietly "could not make a virtual environment" "Install python3-venv, then run this again" "$python" -m venv "$uv"
  quietly "could not fetch uv from PyPI" "Check the network; behind a proxy that re-signs HTTPS set PIP_CERT and SSL_CERT_FILE" \
    "$uv/bin/pip" install --no-deps --require-hashes --requirement "$SOURCE/requirements-uv.txt"
  quietly "could not install the locked dependencies" "Check the network to PyPI, then run this again" \
    env UV_PROJECT_ENVIRONMENT="$target/venv" UV_CACHE_DIR="$uv/cache" UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 \
    "$uv/bin/uv" sync --project "$SOURCE" --frozen --no-dev --extra server --no-install-project --compile-bytecode --python "$python"
  rm -rf "$uv"
  printf '%s\n' "$target" >"$("$target/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/paas.pth"
  quietly "could not compile the program" "Report this" "$python" -m compileall -q "$target/paas"
  chown -R root:root "$target"
  chmod -R go-w "$target"
  touch "$target/.complete"
}

place_launcher() {
  place "$LAUNCHER" 755 <<TEXT
#!$1 -IS
import sys; sys.path.append("$LIB")
from paas.client import main; main()
TEXT
}

remove_old_versions() {
  local current version
  current=$(readlink "$LIB")
  for version in "$VERSIONS"/*; do
    if [[ $version != "$current" && $version != "$program_before" ]]; then rm -rf "$version"; fi
  done
}

# Write a file that the program makes from the settings: place_host_file NAME FILE; true when it changed.
place_host_file() {
  local text
  text=$(host_file "$1" 2>>"$LOG") || fail "could not make $2" "The reason is in $LOG; look at $SETTINGS first."
  place "$2" 644 <<<"$text"
}

host_file() { PAAS_SETTINGS=$SETTINGS "$LIB/venv/bin/python" -I -m paas.adapters.host_files "$@"; }

write_settings() {
  local old='' new
  if [[ -f $SETTINGS ]]; then old=$(cat "$SETTINGS"); else old="# Where this installation lives; see docs/settings.md. Restart paasd after a change."; fi
  new=$old
  if [[ -n $http_port ]]; then new=$(with_setting "$new" http-port "$http_port"); fi
  if [[ -n $https_port ]]; then new=$(with_setting "$new" https-port "$https_port"); fi
  new=$(with_setting "$new" ssh-port "$(sshd_port)")
  if place "$SETTINGS" 644 <<<"$new"; then restart_daemon=1 restart_proxy=1; fi
}

with_setting() {
  local text=$1 key=$2 value=$3
  grep -v "^$key *=" <<<"$text" || true
  printf '%s = %s\n' "$key" "$value"
}

sshd_port() {
  if [[ -n $ssh_port ]]; then printf '%s' "$ssh_port"; return; fi
  if [[ -f $SETTINGS ]] && grep -q '^ssh-port' "$SETTINGS"; then sed -n 's/^ssh-port *= *//p' "$SETTINGS"; return; fi
  /usr/sbin/sshd -T 2>/dev/null | awk '$1 == "port" && !port { port = $2 } END { print port ? port : 22 }' || true
}

listening() { [[ -n $(ss -Hltn "sport = :$1") ]]; }

check_ports() {
  local port
  running paas-proxy && return
  for port in "$(host_file get http_port)" "$(host_file get https_port)"; do
    if listening "$port"; then
      fail "port $port is in use: $(ss -Hltnp "sport = :$port" | grep -o 'users:.*' | head -n1)" \
        "Stop that program, or choose another port: ./install.sh --http-port N --https-port N"
    fi
  done
}
