-- The time after a deploy in which a release is watched and can be taken back.

CREATE TABLE watches (
    release_id INTEGER PRIMARY KEY REFERENCES releases (id) ON DELETE CASCADE,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    before_id INTEGER NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    began_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    before TEXT NOT NULL,                -- JSON: traffic of the release before
    counted TEXT NOT NULL,               -- JSON: what the proxy had counted when this one went live
    reason TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '',
    ended_at TEXT
) STRICT;
CREATE INDEX watches_app ON watches (app_id, release_id);
CREATE INDEX watches_open ON watches (ended_at) WHERE ended_at IS NULL;
