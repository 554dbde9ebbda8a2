-- Schema 7: operators' jobs over many deliveries.

-- `task` and `progress` are JSON. A job that is over names nobody any more: see Task::without_names.
CREATE TABLE job (
    id           INTEGER PRIMARY KEY,
    task         TEXT    NOT NULL,
    dry_run      INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    place_event  BLOB,
    place_number INTEGER,
    progress     TEXT    NOT NULL
);
