-- What the worker has told whom. One row for each time, so that a job that ran twice would show.
CREATE TABLE notifications (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     integer NOT NULL REFERENCES users,
    shift_id    bigint NOT NULL REFERENCES shifts ON DELETE CASCADE,
    message     text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    read_at     timestamptz
);
CREATE INDEX notifications_of_a_user ON notifications (user_id, created_at);
CREATE INDEX notifications_of_a_shift ON notifications (shift_id);
