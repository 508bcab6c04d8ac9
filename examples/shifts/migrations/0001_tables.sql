CREATE TABLE workplaces (
    id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text NOT NULL,
    city  text NOT NULL
);

CREATE TABLE users (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workplace_id   integer NOT NULL REFERENCES workplaces,
    name           text NOT NULL,
    email          text NOT NULL UNIQUE,
    password_hash  text NOT NULL,
    weekly_hours   integer NOT NULL DEFAULT 40
);
CREATE INDEX users_of_a_workplace ON users (workplace_id);

CREATE TABLE shifts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workplace_id  integer NOT NULL REFERENCES workplaces,
    user_id       integer NOT NULL REFERENCES users,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    role          text NOT NULL,
    note          text NOT NULL DEFAULT '',
    CHECK (ends_at > starts_at)
);
CREATE INDEX shifts_of_a_workplace ON shifts (workplace_id, starts_at);
CREATE INDEX shifts_of_a_user ON shifts (user_id, starts_at);
