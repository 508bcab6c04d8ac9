#!/usr/bin/env bash
# Set up paas on this server, or upgrade it: sudo ./install.sh
# shellcheck disable=SC2034  # variables are for the parts in installer/
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: sudo ./install.sh [OPTIONS]

Installs paas on this server (Debian 12 or 13, Ubuntu 22.04 or 24.04). Running it again upgrades; without anything new
it changes nothing.

  --demo            then deploy the bundled sample by a real git push over SSH, and show its URL
  --domain NAME     base domain: a new app gets <app>.NAME (default: <address of this server>.sslip.io)
  --key FILE        give this SSH public key access (default: the keys in ~/.ssh/*.pub and authorized_keys
                    of the user who calls sudo, after asking)
  --http-port N     port for HTTP, default 80
  --https-port N    port for HTTPS, default 443
  --ssh-port N      port on which sshd listens; default: what sshd's configuration says
  --yes             ask nothing
  --stop            stop what this script started (the apps' containers go on)
  --uninstall       remove paas; /var/lib/paas and /etc/paas stay
  --purge           with --uninstall: also remove these, the users, and the apps' containers, networks and images
  --help            this text
TEXT
}

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly SOURCE
readonly LIB=/usr/local/lib/paas                 # a link to the version in force
readonly VERSIONS=/usr/local/lib/paas-versions
readonly LAUNCHER=/usr/local/bin/paas
readonly STATE=/var/lib/paas ETC=/etc/paas RUN=/run/paas LOGS=/var/log/paas
readonly SETTINGS=$ETC/paas.toml
readonly DROP_IN=/etc/ssh/sshd_config.d/50-paas.conf
readonly UNITS=/etc/systemd/system TMPFILES=/etc/tmpfiles.d/paas.conf
readonly DEMO=/root/.paas-demo
LOG=$LOGS/install.log

demo='' domain='' key_file='' http_port='' https_port='' ssh_port='' yes='' action=install purge=''
changed=0

for part in words machine program services first_steps remove; do
  # shellcheck source=/dev/null
  source "$SOURCE/installer/$part.sh"
done

parse() {
  while (($#)); do
    case $1 in
      --domain | --key | --http-port | --https-port | --ssh-port) (($# > 1)) || fail "$1 needs a value" "See ./install.sh --help" ;;
    esac
    case $1 in
      --demo) demo=1 ;;
      --yes | -y) yes=1 ;;
      --stop) action=stop ;;
      --uninstall) action=uninstall ;;
      --purge) purge=1 ;;
      --domain) domain=$2; shift ;;
      --key) key_file=$2; shift ;;
      --http-port) port_number "$1" "$2"; http_port=$2; shift ;;
      --https-port) port_number "$1" "$2"; https_port=$2; shift ;;
      --ssh-port) port_number "$1" "$2"; ssh_port=$2; shift ;;
      --help | -h) usage; exit 0 ;;
      *) fail "unknown option '$1'" "See ./install.sh --help" ;;
    esac
    shift
  done
  [[ -z $purge || $action == uninstall ]] || fail "--purge goes with --uninstall" "See ./install.sh --help"
  [[ -z $key_file || -r $key_file ]] || fail "cannot read the key file $key_file" "Give the path of a .pub file."
  [[ $domain =~ ^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9-]*$ ]] || fail "'$domain' is not a host name" "Give one like apps.example.com"
}

install_all() {
  install_packages
  make_users
  make_directories
  install_program
  write_settings
  set_up_sshd
  start
  remove_old_versions
  set_domain
  offer_keys
  if [[ -n $demo ]]; then run_demo; fi
  if ((changed)); then step "paas is installed and runs"; else step "paas is up to date and runs; nothing was changed"; fi
  if has_systemd; then
    detail "Stop it: systemctl stop paasd paas-proxy      Logs: journalctl -u paasd"
  else
    detail "systemd does not run here: nothing restarts these processes. Logs: $LOGS"
    detail "Stop them: $SOURCE/install.sh --stop      Start them again: $SOURCE/install.sh"
  fi
}

main() {
  parse "$@"
  check_machine
  case $action in
    install) install_all ;;
    stop) stop ;;
    uninstall) uninstall ;;
  esac
}

main "$@"
