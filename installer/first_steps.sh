# What a fresh platform needs: a base domain, keys; and the demo.
# shellcheck shell=bash disable=SC2034,SC2153,SC2154  # sourced by install.sh, which sets the variables

own_address() { ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p'; }

setting_is() { "$LAUNCHER" server:report --format json 2>>"$LOG" | "$LIB/venv/bin/python" -c '
import json, sys
data = json.load(sys.stdin)
rows = {r["key"]: r["value"] for r in data} if isinstance(data, list) else data
sys.exit(rows.get(sys.argv[1], "") != sys.argv[2])' "$1" "$2"; }

set_domain() {
  local wanted=$domain
  if [[ -z $wanted ]]; then
    setting_is global-domain '' 2>>"$LOG" || return 0
    wanted=$(own_address)
    [[ -n $wanted ]] || wanted=127.0.0.1
    wanted=${wanted//./-}.sslip.io
  fi
  setting_is global-domain "$wanted" 2>>"$LOG" && return
  step "Apps get names under $wanted"
  quietly "could not set the base domain" "Set it later: paas server:set global-domain NAME" "$LAUNCHER" server:set global-domain "$wanted"
  changed=1
}

# Give access to each key of a file: add_keys NAME FILE
add_keys() {
  local name=$1 file=$2 line number=0 label have
  have=$("$LAUNCHER" ssh-keys:list --format json 2>>"$LOG" || true)
  while IFS= read -r line || [[ -n $line ]]; do
    [[ $line =~ ^(ssh-|ecdsa-|sk-) ]] || continue
    if grep -qF "$(ssh-keygen -lf - <<<"$line" | awk '{ print $2 }')" <<<"$have"; then continue; fi
    number=$((number + 1)) label=$name
    if ((number > 1)); then label=$name-$number; fi
    if "$LAUNCHER" ssh-keys:add "$label" <<<"$line" >>"$LOG" 2>&1; then
      detail "added the SSH key $label"
      changed=1
    else
      warn "could not add the key $label of $file; see $LOG"
    fi
  done <"$file"
}

offer_keys() {
  if [[ -n $key_file ]]; then add_keys admin "$key_file"; return; fi
  [[ $("$LAUNCHER" ssh-keys:list --format json 2>>"$LOG") =~ ^[[:space:]]*\[[[:space:]]*\]?[[:space:]]*$ ]] || return 0
  local home file found
  home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
  found=$(mktemp)
  for file in "$home"/.ssh/*.pub "$home/.ssh/authorized_keys"; do
    if [[ -r $file ]]; then grep -hE '^(ssh-|ecdsa-|sk-)' "$file" >>"$found" || true; fi
  done
  sort -u -o "$found" "$found"
  if [[ -s $found ]] && confirm "Give the $(wc -l <"$found") SSH key(s) of ${SUDO_USER:-root} access to paas?"; then
    add_keys admin "$found"
  elif [[ -z $demo ]]; then
    detail "no SSH key has access yet. Add one: paas ssh-keys:add NAME < key.pub"
  fi
  rm -f "$found"
}

prepare_demo() {
  local repository=$DEMO/hello known=$DEMO/known_hosts port
  port=$(host_file get ssh_port)
  install -d -m 700 "$DEMO"
  if [[ ! -f $DEMO/id_ed25519 ]]; then ssh-keygen -q -t ed25519 -N '' -C paas-demo -f "$DEMO/id_ed25519"; fi
  add_keys demo "$DEMO/id_ed25519.pub"
  sed "s/^/127.0.0.1,[127.0.0.1]:$port /" /etc/ssh/ssh_host_*_key.pub >"$known"
  if [[ ! -d $repository/.git ]]; then
    git init --quiet --initial-branch main "$repository"
    cp -R "$SOURCE/examples/hello/." "$repository/"
    cp "$(dpkg -L busybox-static | grep '/bin/busybox$')" "$repository/busybox"
    git -C "$repository" add .
    git -C "$repository" -c user.name=paas -c user.email=paas@localhost commit --quiet -m "Hello from paas"
  fi
  git -C "$repository" config core.sshCommand "ssh -p $port -i $DEMO/id_ed25519 -o IdentitiesOnly=yes -o UserKnownHostsFile=$known -o BatchMode=yes"
  git -C "$repository" config remote.production.url "ssh://paas@127.0.0.1:$port/hello"
  git -C "$repository" config remote.production.fetch '+refs/heads/*:refs/remotes/production/*'
}

run_demo() {
  prepare_demo
  step "git push production main    (in $DEMO/hello)"
  git -C "$DEMO/hello" push production main 2>&1 | tee -a "$LOG" | sed 's/^/       /' \
    || fail "the push failed" "What it says is above; the daemon's log is in $LOGS/paasd.log or: journalctl -u paasd"
  local url host port
  url=$("$LAUNCHER" url hello)
  host=$(sed -E 's|^[a-z]+://([^:/]+).*|\1|' <<<"$url")
  port=$(host_file get http_port)
  curl --silent --show-error --fail --max-time 10 --retry 3 --noproxy '*' --resolve "$host:$port:127.0.0.1" "http://$host:$port/" \
    2>>"$LOG" | grep -q "Hello from paas" || fail "the sample does not answer at $url" "See: paas logs hello, paas status, $LOG"
  printf '=====> The sample answers: %s\n' "$url"
  detail "The seconds of each stage stand in the push's output above."
  detail "Change it: cd $DEMO/hello; edit www/index.html; git commit -am 'My change'; git push production main"
  detail "Your own app: paas ssh-keys:add me < your-key.pub, then on your machine, in a repository with a Dockerfile:"
  detail "  git remote add production ssh://paas@$(own_address):$(host_file get ssh_port)/my-app && git push production main"
}
