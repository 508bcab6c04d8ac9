"""What compose files commonly hold: images of data services, proxies and tools; keys that paas does not need."""

from __future__ import annotations

import re

# Last part (or last two) of an image's name → the data service.
DATASTORES = {
    "postgres": "postgres", "postgresql": "postgres", "redis": "redis", "valkey": "valkey", "keydb": "redis",
    "mysql": "mysql", "mysql-server": "mysql", "percona": "mysql", "mariadb": "mariadb",
    "mongo": "mongo", "mongodb": "mongo", "mongodb-community-server": "mongo",
    "rabbitmq": "rabbitmq", "minio": "minio", "memcached": "memcached", "elasticsearch": "elasticsearch",
    "opensearch": "opensearch", "meilisearch": "meilisearch", "typesense": "typesense",
    "clickhouse": "clickhouse", "clickhouse-server": "clickhouse", "nats": "nats", "kafka": "kafka",
    "cp-kafka": "kafka", "zookeeper": "zookeeper", "cp-zookeeper": "zookeeper", "influxdb": "influxdb",
    "couchdb": "couchdb", "neo4j": "neo4j", "mssql/server": "mssql",
}
# Images of a data service with more than the official one has, which is what paas runs → what that is.
EXTENDED = {
    "postgis": "PostGIS", "pgvector": "pgvector", "timescaledb": "TimescaleDB", "timescaledb-ha": "TimescaleDB",
    "redis-stack": "Redis modules", "redis-stack-server": "Redis modules",
}
PROXIES = frozenset({
    "nginx", "nginx-unprivileged", "nginx-proxy", "acme-companion", "docker-letsencrypt-nginx-proxy-companion",
    "traefik", "caddy", "caddy-docker-proxy", "haproxy", "envoy", "certbot", "nginx-proxy-manager", "swag",
    "openresty", "cloudflared", "docker-socket-proxy", "https-portal",
})
TOOLS = frozenset({
    "adminer", "pgadmin4", "phpmyadmin", "mailhog", "mailpit", "mailcatcher", "maildev", "portainer", "portainer-ce",
    "watchtower", "redis-commander", "redisinsight", "mongo-express", "dozzle", "localstack", "autoheal", "mc",
    "smtp4dev", "kafka-ui", "pgweb", "cloudbeaver",
})
PROXY_NAME = re.compile(r"nginx|traefik|caddy|haproxy|certbot|(?:.*[-_])?(?:reverse[-_]?)?proxy|letsencrypt")
TASK_NAME = re.compile(r"(?:.*[-_])?(?:migrate|migrations?|migrator)(?:[-_].*)?")
# In this order: which of several services with a port is the app's web process.
WEB_NAMES = ("web", "app", "www", "site", "server", "frontend", "front", "django", "rails", "backend", "api")
DEVELOPMENT = re.compile(r"runserver|--reload|nodemon|run dev\b|yarn dev|pnpm dev|--debug|FLASK_DEBUG|vite\b(?! build)"
                         r"|rails s(?:erver)?\b.*development|watchfiles|watchmedo")
SCHEDULER = re.compile(r"\bbeat\b|apscheduler|clockwork|huey.*periodic|\bscheduler?\b")
SYSTEM = re.compile(r"/|~(?:/.*)?|/(?:var|home)/?|"
                    r"/(?:etc|proc|sys|dev|run|root|boot|usr|bin|sbin|lib|var/run|var/lib/docker)(?:/.*)?")
DEPENDENCIES = re.compile(r"node_modules|\.(?:cache|npm|m2)(?:/|$)|"
                          r"/usr/local/bundle|site-packages|/\.?venv(?:/|$)|/vendor(?:/|$)")

# Keys that would give a container power over the server or its neighbours: paas has no such thing.
POWERS = {
    "privileged": "refused: no container is privileged",
    "cap_add": "refused: containers get no further capabilities",
    "devices": "refused: containers get no devices of the server",
    "device_cgroup_rules": "refused: containers get no devices of the server",
    "network_mode": "refused: each app has a network of its own, and no other",
    "pid": "refused: containers do not see processes outside",
    "ipc": "refused: containers share no memory with others",
    "uts": "refused: containers do not share the server's name",
    "userns_mode": "refused: containers do not choose their user namespace",
    "cgroup": "refused: containers do not choose their control group",
    "cgroup_parent": "refused: containers do not choose their control group",
    "security_opt": "refused: every container has the same confinement",
    "sysctls": "refused: containers do not set kernel parameters",
    "volumes_from": "refused: containers do not take another's volumes; mount the volume by name: paas storage:mount",
    "runtime": "refused: containers do not choose their runtime",
    "gpus": "refused: containers get no devices of the server",
    "oom_kill_disable": "refused: memory limits hold", "oom_score_adj": "refused: paas decides what goes first",
    "group_add": "refused: set users and groups in the Dockerfile",
    "credential_spec": "refused: paas has no such thing", "isolation": "refused: paas has no such thing",
    "use_api_socket": "refused: no container reaches Docker",
}
DOCKER_SOCKET = "refused: no container reaches Docker"

# Other keys: why they are not carried over, or what stands for them.
REASONS = {
    "annotations": "not needed: paas labels its containers itself",
    "attach": "not needed: paas logs APP",
    "blkio_config": "paas does not limit disk bandwidth",
    "cap_drop": "not needed: every container starts without capabilities but a few",
    "configs": "put the file in the repository, or its content in a config var",
    "container_name": "paas names containers itself",
    "cpu_count": "use: paas resource:limit --cpu", "cpu_percent": "use: paas resource:limit --cpu",
    "cpu_period": "use: paas resource:limit --cpu", "cpu_quota": "use: paas resource:limit --cpu",
    "cpu_shares": "use: paas resource:limit --cpu", "cpuset": "use: paas resource:limit --cpu",
    "cpu_rt_period": "use: paas resource:limit --cpu", "cpu_rt_runtime": "use: paas resource:limit --cpu",
    "depends_on": "all processes start together, and the app tries again until what it needs answers",
    "develop": "for development only",
    "dns": "containers use the server's DNS", "dns_opt": "containers use the server's DNS",
    "dns_search": "containers use the server's DNS",
    "domainname": "paas names containers itself", "hostname": "paas names containers itself",
    "expose": "not needed: each app's network is its own",
    "extends": "other services' parts are not read; give it what `docker compose config --no-path-resolution` prints",
    "external_links": "each app has a network of its own; link services instead",
    "extra_hosts": "use: paas network:set APP extra-hosts",
    "image": "paas names what it builds itself",
    "init": "not needed: every container has an init",
    "labels": "paas labels its containers itself",
    "links": "services are linked by: paas SERVICE:link",
    "logging": "paas keeps and bounds the logs: paas logs APP",
    "mac_address": "paas gives addresses itself",
    "mem_swappiness": "paas does not set it", "memswap_limit": "memory limits include swap",
    "networks": "each app has a network of its own",
    "platform": "images are built for this server",
    "post_start": "use app.json: scripts.dokku.postdeploy", "pre_stop": "handle SIGTERM in the app",
    "pull_policy": "paas builds what is pushed, and fetches an image when it is missing",
    "read_only": "paas keeps the container's own file system writable",
    "secrets": "set the content as a config var: paas config:set",
    "shm_size": "paas does not change /dev/shm",
    "stdin_open": "not needed: paas run APP COMMAND", "tty": "not needed: paas run APP COMMAND",
    "stop_signal": "processes get SIGTERM; name another with STOPSIGNAL in the Dockerfile",
    "storage_opt": "paas does not set it",
    "tmpfs": "/tmp of the container is there, and goes with it",
    "ulimits": "use: paas resource:limit --pids for processes; paas sets no other",
    "user": "set USER in the Dockerfile", "working_dir": "set WORKDIR in the Dockerfile",
    "provider": "paas does not run other programs", "models": "paas has no such service",
}
BUILD_REASONS = {
    "target": "the last stage of the Dockerfile is built: put that stage last",
    "dockerfile_inline": "commit it as Dockerfile",
    "secrets": "use: paas builder:secret APP KEY", "ssh": "builds have no SSH agent; use: paas builder:secret APP KEY",
    "cache_from": "not needed: the server keeps the build cache", "cache_to": "the server keeps the build cache",
    "no_cache": "use: paas builder:set APP no-cache true", "pull": "use: paas builder:set APP no-cache true",
    "network": "builds have the default network", "privileged": "refused: builds are not privileged",
    "entitlements": "refused: builds get no entitlements", "extra_hosts": "builds use the server's DNS",
    "shm_size": "paas does not change /dev/shm", "ulimits": "paas does not set it",
    "labels": "set LABEL in the Dockerfile", "tags": "paas names what it builds itself",
    "platforms": "images are built for this server", "isolation": "paas has no such thing",
    "additional_contexts": "paas builds from one directory; COPY --from images instead",
    "provenance": "paas does not make it", "sbom": "paas does not make it",
}
TOP_REASONS = {
    "version": "not needed, and obsolete in compose files too",
    "networks": "each app has a network of its own",
    "secrets": "set the content as a config var: paas config:set",
    "configs": "put the file in the repository, or its content in a config var",
    "include": "paas does not read other files; give it what `docker compose config --no-path-resolution` prints",
    "models": "paas has no such service",
}
EXTENSION = "an extension field; what services take from it by an alias is listed with them"


def image_name(image: str) -> str:
    """``docker.io/bitnami/redis:7.2@sha256:…`` → ``bitnami/redis``."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}".lower()


def listed(image: str, table: dict[str, str] | frozenset[str]) -> str:
    """The entry of *table* that names *image*; empty: none."""
    parts = image_name(image).split("/")
    return next((key for key in ("/".join(parts[-2:]), parts[-1]) if key in table), "")
