"""Configuration of gunicorn."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "uvicorn_worker.UvicornWorker"
keepalive = 5           # seconds; longer than the proxy keeps an idle connection, so that the proxy closes first
graceful_timeout = 8    # below the platform's 10 s between SIGTERM and SIGKILL
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
