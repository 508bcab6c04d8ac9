"""Files of other programs that an installation writes: sshd's drop-in, systemd's units and tmpfiles.

Made from the settings, so that install.sh and the tests' own server run the same thing. Used as a program::

    python -m paas.adapters.host_files FILE            # sshd, paasd.service, paas-proxy.service, … or tmpfiles
    python -m paas.adapters.host_files firewall        # set the rules for containers; firewall-remove takes them away
    python -m paas.adapters.host_files get NAME        # one setting, as text
    python -m paas.adapters.host_files run-proxy       # become the proxy (where systemd does not start it)
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from paas.adapters import firewall
from paas.errors import PaasError
from paas.settings import Settings, load

SSHD = """\
# Written by paas (install.sh). For the whole server: who has not logged in yet keeps nobody else out.
LoginGraceTime 30
MaxStartups 100:30:200
PerSourceMaxStartups 50
# What the platform's users may do over SSH: run a key's forced command, nothing else.
Match User {user}
    AuthorizedKeysFile {authorized_keys}
    AuthorizedKeysCommand none
    AuthorizedPrincipalsFile none
    TrustedUserCAKeys none
    AuthenticationMethods publickey
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    HostbasedAuthentication no
    DisableForwarding yes
    PermitTunnel no
    PermitUserRC no
    AcceptEnv GIT_PROTOCOL
    Banner none
    ClientAliveInterval 15
    ClientAliveCountMax 4
    MaxSessions 4
    MaxAuthTries 12
Match all
"""

PAASD = """\
[Unit]
Description=paas: git-push platform
Wants=docker.service network-online.target
After=docker.service network-online.target local-fs.target
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
Environment=PAAS_SETTINGS={settings_file}
ExecStart={python} -m paas.daemon
Restart=always
RestartSec=1
TimeoutStopSec=30
KillMode=mixed
UMask=0022
OOMScoreAdjust=-500
MemoryMax=1G
TasksMax=2048
LimitCORE=0
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={state_dir} {run_dir} {config_dir}
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
PrivateDevices=yes
PrivateTmp=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service pidfd_getfd
SystemCallErrorNumber=EPERM
# SYS_PTRACE: a container's sockets in /proc, the proxy's listeners (pidfd_getfd); the rest hands files to the users
# that own them.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID \
CAP_SETUID CAP_SYS_PTRACE

[Install]
WantedBy=multi-user.target
"""

PROXY = """\
[Unit]
Description=paas: HTTP proxy (Caddy)
Wants=network-online.target
After=network-online.target local-fs.target
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
User={proxy_user}
Group={proxy_user}
{environment}
# As root: a public port of an app's that another program has taken must not keep the proxy from its start.
ExecStartPre=-+/usr/bin/env PAAS_SETTINGS={settings_file} {python} -I -m paas.adapters.host_files proxy-ports
ExecStart={command}
Restart=always
RestartSec=1
TimeoutStopSec=30
UMask=0027
OOMScoreAdjust=-500
LimitNOFILE=1048576
LimitCORE=0
NoNewPrivileges=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
ProtectSystem=strict
ReadWritePaths={proxy_dir} {run_dir}/proxy
ProtectHome=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateDevices=yes
PrivateTmp=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

FIREWALL = """\
[Unit]
Description=paas: what containers may reach of this server
After=docker.service
PartOf=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PAAS_SETTINGS={settings_file}
ExecStart={python} -I -m paas.adapters.host_files firewall
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=-/run
ProtectHome=yes
PrivateTmp=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW

[Install]
WantedBy=multi-user.target docker.service
"""

TMPFILES = """\
d {run_dir} 0755 root root -
d {run_dir}/proxy 0700 {proxy_user} {proxy_user} -
"""


def sshd_drop_in(settings: Settings) -> str:
    """For ``/etc/ssh/sshd_config.d`` (sshd_config(5)). Forced commands stand in authorized_keys, a key each.

    Certificates and keys from anywhere else are refused for this user, since they would come without a forced command.
    """
    return SSHD.format(user=settings.ssh_user, authorized_keys=settings.authorized_keys)


def paasd_unit(settings: Settings) -> str:
    """The daemon's unit: root, for it holds Docker's socket, but with nothing else that root can do."""
    return PAASD.format(settings_file=os.environ.get("PAAS_SETTINGS", settings.config_dir / "paas.toml"),
                        python=settings.lib_dir / "venv/bin/python", state_dir=settings.state_dir,
                        run_dir=settings.run_dir, config_dir=settings.config_dir)


def firewall_unit(settings: Settings) -> str:
    """Runs once after each start of Docker, which makes the chain that the rules hang in."""
    return FIREWALL.format(settings_file=os.environ.get("PAAS_SETTINGS", settings.config_dir / "paas.toml"),
                           python=settings.lib_dir / "venv/bin/python")


def proxy_unit(settings: Settings) -> str:
    """The proxy's unit: an own user that may bind ports below 1024 and write its own directories only."""
    from paas.adapters.caddy_process import caddy_argv, caddy_environment

    environment = "\n".join(f'Environment="{name}={value}"' for name, value in caddy_environment(settings).items())
    return PROXY.format(proxy_user=settings.proxy_user, environment=environment, proxy_dir=settings.proxy_dir,
                        run_dir=settings.run_dir, command=" ".join(caddy_argv(settings)),
                        settings_file=os.environ.get("PAAS_SETTINGS", settings.config_dir / "paas.toml"),
                        python=settings.lib_dir / "venv/bin/python")


def tmpfiles(settings: Settings) -> str:
    """For ``/etc/tmpfiles.d`` (tmpfiles.d(5)): the directories that a reboot empties."""
    return TMPFILES.format(run_dir=settings.run_dir, proxy_user=settings.proxy_user)


def proxy_argv(settings: Settings) -> list[str]:
    """Starts the proxy as its user, who may bind ports below 1024 and no more (capabilities(7)). To be run by root."""
    from paas.adapters.caddy_process import caddy_argv

    bind = "-all,+net_bind_service"
    return ["/usr/bin/setpriv", "--reuid", settings.proxy_user, "--regid", settings.proxy_user, "--clear-groups",
            "--no-new-privs", f"--inh-caps={bind}", f"--ambient-caps={bind}", f"--bounding-set={bind}",
            *caddy_argv(settings)]


def run_proxy(settings: Settings) -> str:
    """Replace this process by the proxy, with a clean environment. Does not return."""
    from paas.adapters.caddy_process import caddy_environment

    leave_out_taken(settings)
    argv = proxy_argv(settings)
    os.execve(argv[0], argv, caddy_environment(settings))


def leave_out_taken(settings: Settings) -> str:
    from paas.adapters import caddy_process

    return caddy_process.leave_out_taken(settings)


FILES: dict[str, Callable[[Settings], str]] = {
    "sshd": sshd_drop_in,
    "paasd.service": paasd_unit,
    "paas-proxy.service": proxy_unit,
    "paas-firewall.service": firewall_unit,
    "tmpfiles": tmpfiles,
    "firewall": firewall.apply,
    "firewall-remove": firewall.remove,
    "proxy-ports": leave_out_taken,
    "run-proxy": run_proxy,
}


def main(words: list[str]) -> int:
    settings = load()
    if len(words) == 2 and words[0] == "get" and isinstance(getattr(settings, words[1], None), str | int | Path):
        print(getattr(settings, words[1]))
    elif len(words) == 1 and words[0] in FILES:
        try:
            sys.stdout.write(FILES[words[0]](settings))
        except PaasError as error:
            print(f"{error.what}\n{error.hint}", file=sys.stderr)
            return 1
    else:
        print(f"host_files: one of {', '.join(FILES)}, or: get SETTING", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
