-- What a release runs once before it serves, and its scheduled jobs; what became of both.

ALTER TABLE releases ADD COLUMN tasks TEXT NOT NULL DEFAULT '[]';       -- JSON
ALTER TABLE releases ADD COLUMN cron TEXT NOT NULL DEFAULT '[]';        -- JSON

DROP TRIGGER releases_fixed;
CREATE TRIGGER releases_fixed
BEFORE UPDATE OF id, app_id, version, image, build_id, "commit", tree, subject, config, formation, exposed,
    healthcheck, created_at, created_by, reason, tasks, cron ON releases
BEGIN
    SELECT RAISE(ABORT, 'a release is never altered');
END;

CREATE TABLE task_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id INTEGER NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    task TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    exit_code INTEGER
) STRICT;
CREATE INDEX task_runs_release ON task_runs (release_id);

CREATE TABLE cron_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    job TEXT NOT NULL,
    due_at TEXT NOT NULL,
    release_id INTEGER NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    container_id TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    finished_at TEXT,
    exit_code INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL,
    UNIQUE (app_id, job, due_at)
) STRICT;
CREATE INDEX cron_runs_app ON cron_runs (app_id, id);
CREATE INDEX cron_runs_state ON cron_runs (state);
CREATE INDEX cron_runs_release ON cron_runs (release_id);

CREATE TABLE cron_suspended (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    job TEXT NOT NULL,
    since TEXT NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (app_id, job)
) STRICT, WITHOUT ROWID;
