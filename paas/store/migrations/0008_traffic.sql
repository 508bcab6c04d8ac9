-- What each app did and used: by minute for two days, by quarter of an hour for thirty. Rows of nothing are left out.

CREATE TABLE usage (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    seconds INTEGER NOT NULL,                               -- 60, 900
    at INTEGER NOT NULL,                                    -- its beginning, seconds since 1970
    statuses TEXT NOT NULL,                                 -- answers of 1xx, 2xx, …; noughts at the end left out
    durations TEXT NOT NULL,                                -- by the bounds of paas.model.traffic, the same
    cpu REAL NOT NULL,                                      -- seconds
    memory INTEGER NOT NULL,                                -- bytes, the highest
    restarts INTEGER NOT NULL,
    PRIMARY KEY (app_id, seconds, at)
) STRICT, WITHOUT ROWID;
