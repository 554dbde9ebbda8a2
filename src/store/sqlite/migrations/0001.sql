-- Schema 1. Times and durations are milliseconds; codes of states and verdicts are in rows.rs.
-- Every index costs about a tenth of the speed of accepting: each one below says which question needs it.

-- store_key, generation (how often the store was opened: the fence), probe (what `ready` writes),
-- event_floor and subject_floor (see the triggers).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

-- Names of sources, routes and destinations: configured words only, so it stays small.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);

-- The latest revision of each subject. It outlives payloads. `hash` is a keyed hash of source and
-- subject: an index on it is a quarter of the size of one on the text, and the text is compared after.
CREATE TABLE subject (
    id         INTEGER PRIMARY KEY,
    hash       INTEGER NOT NULL,
    source     INTEGER NOT NULL REFERENCES name (id),
    subject    TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    latest_seq INTEGER NOT NULL,
    fields     BLOB    NOT NULL
);
CREATE INDEX subject_hash ON subject (hash);

-- `seq` is the order of acceptance. The events of a subject are a chain by `prev_seq`, newest first
-- from subject.latest_seq, so no index on `subject` is needed. `type` is text and no number from
-- `name`, because a generic source takes it from its senders' bodies.
CREATE TABLE event (
    seq          INTEGER PRIMARY KEY,
    id           BLOB    NOT NULL UNIQUE,
    source       INTEGER NOT NULL REFERENCES name (id),
    type         TEXT    NOT NULL,
    subject      INTEGER,
    revision     INTEGER NOT NULL,
    prev_seq     INTEGER,
    changed      TEXT,
    candidate    TEXT,
    received_at  INTEGER NOT NULL,
    route_errors TEXT
);

-- A number is never given twice, also not after the row that had the highest one was deleted:
-- chains and lanes hold such numbers.
CREATE TRIGGER event_seq_is_never_reused BEFORE DELETE ON event
    WHEN old.seq = (SELECT max(seq) FROM event)
BEGIN
    INSERT INTO meta (key, value) VALUES ('event_floor', old.seq)
        ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value);
END;
CREATE TRIGGER subject_id_is_never_reused BEFORE DELETE ON subject
    WHEN old.id = (SELECT max(id) FROM subject)
BEGIN
    INSERT INTO meta (key, value) VALUES ('subject_floor', old.id)
        ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value);
END;

-- Apart from the event, so that a payload can go while the event stays.
CREATE TABLE payload (
    seq  INTEGER PRIMARY KEY REFERENCES event (seq) ON DELETE CASCADE,
    body BLOB NOT NULL
);

-- Small rows: settling rewrites one of these and nothing larger. `subject` is copied from the event for
-- the index below. `webhook` is the number in the webhook-id after a replay under a new id.
CREATE TABLE delivery (
    event_seq        INTEGER NOT NULL REFERENCES event (seq) ON DELETE CASCADE,
    number           INTEGER NOT NULL,
    destination      INTEGER NOT NULL REFERENCES name (id),
    route            INTEGER NOT NULL REFERENCES name (id),
    subject          INTEGER,
    state            INTEGER NOT NULL,
    due_at           INTEGER,
    created_at       INTEGER NOT NULL,
    last_error       TEXT,
    webhook          INTEGER,
    tries            INTEGER NOT NULL DEFAULT 0,
    charged          INTEGER NOT NULL DEFAULT 0,
    age              INTEGER NOT NULL DEFAULT 0,
    last_at          INTEGER,
    last_delay       INTEGER,
    last_stood_still INTEGER,
    refused_at       INTEGER,
    PRIMARY KEY (event_seq, number)
) WITHOUT ROWID;
-- A lane's refill, release, and how long the oldest has been due.
CREATE INDEX delivery_due ON delivery (destination, due_at) WHERE state = 0;
-- Superseding, and whether an earlier delivery of the subject waits.
CREATE INDEX delivery_subject ON delivery (subject, destination) WHERE state = 0 AND subject IS NOT NULL;
-- Since when the oldest waits, once retries have moved it. A fresh delivery is due when it is created and
-- so is not in here: it costs the path of acceptance nothing.
CREATE INDEX delivery_moved ON delivery (destination, created_at) WHERE state = 0 AND due_at > created_at;
-- The list of dead letters.
CREATE INDEX delivery_dead ON delivery (destination) WHERE state = 4;

CREATE TABLE attempt (
    event_seq INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    try       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    duration  INTEGER NOT NULL,
    status    INTEGER,
    verdict   INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    excerpt   TEXT,
    PRIMARY KEY (event_seq, number, try),
    FOREIGN KEY (event_seq, number) REFERENCES delivery (event_seq, number) ON DELETE CASCADE
) WITHOUT ROWID;

-- Which subjects ever named a candidate.
CREATE TABLE candidate (
    candidate TEXT    NOT NULL,
    subject   INTEGER NOT NULL,
    PRIMARY KEY (candidate, subject)
) WITHOUT ROWID;

-- Events whose acknowledgement could not be written. Nearly always empty.
CREATE TABLE unconfirmed (
    subject   INTEGER NOT NULL REFERENCES subject (id) ON DELETE CASCADE,
    event_seq INTEGER NOT NULL,
    fields    BLOB    NOT NULL,
    PRIMARY KEY (subject, event_seq)
) WITHOUT ROWID;

-- The newest revision of a subject that a destination took, and what it gave back, if anything.
CREATE TABLE receipt (
    subject     INTEGER NOT NULL REFERENCES subject (id) ON DELETE CASCADE,
    destination INTEGER NOT NULL REFERENCES name (id),
    revision    INTEGER NOT NULL,
    value       TEXT,
    scope       TEXT,
    PRIMARY KEY (subject, destination)
) WITHOUT ROWID;

CREATE TABLE lane (
    destination INTEGER PRIMARY KEY REFERENCES name (id),
    state       INTEGER NOT NULL,
    paused      INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    stood_still INTEGER NOT NULL
);

-- How many deliveries a destination has in each state: counting them would walk the table.
CREATE TABLE tally (
    destination INTEGER NOT NULL REFERENCES name (id),
    state       INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (destination, state)
) WITHOUT ROWID;
