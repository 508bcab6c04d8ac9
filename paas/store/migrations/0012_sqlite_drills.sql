-- The last drill of each streamed SQLite file, as those of point in time.

ALTER TABLE protected_files ADD COLUMN drilled_at TEXT;
ALTER TABLE protected_files ADD COLUMN drill_to TEXT;       -- NULL: it did not get so far
ALTER TABLE protected_files ADD COLUMN drill_passed INTEGER;
ALTER TABLE protected_files ADD COLUMN drill_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE protected_files ADD COLUMN drill_reason TEXT NOT NULL DEFAULT '';
