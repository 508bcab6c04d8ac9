"""A key for CI, and the workflow that pushes with it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paas.errors import Conflict, StateError
from paas.model import app_settings
from paas.model.access import Actor
from paas.model.app import App
from paas.model.rights import Role
from paas.ops import apps, ssh_keys
from paas.secret import Secret

if TYPE_CHECKING:
    from paas.runtime import Runtime

GITHUB = """name: deploy
on: { push: { branches: [@BRANCH@] } }
concurrency: production
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - env:
          KNOWN_HOSTS: ${{ secrets.KNOWN_HOSTS }}
          DEPLOY_KEY: ${{ secrets.DEPLOY_KEY }}
        run: |
          umask 077
          mkdir -p ~/.ssh
          printf '%s\\n' "$KNOWN_HOSTS" > ~/.ssh/known_hosts
          printf '%s\\n' "$DEPLOY_KEY" > ~/.ssh/id_ed25519
          git push --force @REMOTE@ HEAD:refs/heads/@BRANCH@
"""
GITLAB = """deploy:
  image: debian:bookworm-slim
  resource_group: production
  rules:
    - if: $CI_COMMIT_BRANCH == "@BRANCH@"
  before_script:
    - apt-get update && apt-get install --yes --no-install-recommends git openssh-client
  script:
    - umask 077
    - mkdir -p ~/.ssh
    - printf '%s\\n' "$KNOWN_HOSTS" > ~/.ssh/known_hosts
    - printf '%s\\n' "$DEPLOY_KEY" > ~/.ssh/id_ed25519
    - git push --force @REMOTE@ HEAD:refs/heads/@BRANCH@
"""
SYSTEMS = {"github": (".github/workflows/deploy.yml", GITHUB), "gitlab": (".gitlab-ci.yml", GITLAB)}


@dataclass(frozen=True)
class Setup:
    key: str                             # its name here
    private: Secret                      # for the CI's secret store; shown once, kept nowhere
    known_hosts: str
    file: str                            # where the workflow goes
    workflow: str


def setup(rt: Runtime, actor: Actor, app: App, system: str) -> Setup:
    """A new key with the role ci on *app*, in place of the one before. StateError: sshd's host keys are not found."""
    host = rt.settings.host or socket.gethostname()
    known = rt.keys.host_lines(host, rt.settings.ssh_port)
    if not known:
        raise StateError("sshd's host keys were not found", "Say where they are: host-keys in /etc/paas/paas.toml")
    name = f"ci-{app.name}"
    private, public = rt.keys.generate(name)
    if any(key.name == name for key in rt.store.keys()):
        refuse_other_use(rt, name, app)
        ssh_keys.rotate(rt, name, public.encode())
    else:
        ssh_keys.add(rt, name, public.encode())
    rt.store.add_grant(name, Role.CI, actor, app_id=app.id)
    file, text = SYSTEMS[system]
    branch = app_settings.value_of(app_settings.APP, app.settings, "git.deploy-branch") or "main"
    workflow = text.replace("@BRANCH@", branch).replace("@REMOTE@", apps.git_remote(rt, app.name))
    return Setup(name, private, "\n".join(known), file, workflow)


def refuse_other_use(rt: Runtime, name: str, app: App) -> None:
    """A key of that name that may do more is somebody's own: whoever owns the app must not come by a new one of it."""
    key = ssh_keys.find(rt, name)
    if any((one.role, one.app_id) != (Role.CI, app.id) for one in rt.store.grants(user=key.user)):
        raise Conflict(f"there is a key {name} that may do more than push to {app.name}",
                       f"Rename or remove it first: paas ssh-keys:remove {name}")
