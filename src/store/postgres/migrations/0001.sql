-- Schema 1: the tables. Times and durations are milliseconds; codes of states and verdicts are in store/codes.rs.
-- What comes from senders and receivers and has to be exact is bytea: text cannot hold a zero character.
-- There are no foreign keys: each would cost a look-up and a row lock for every row, on rows that all relays share.
-- Whatever deletes takes along what belongs to it (see the functions), and a test looks for what was left behind.

-- schema and schema_for (the least schema that a relay must know), store_key, probe (what `ready` writes), clear (the last
-- erasure: see replica.cleared).
CREATE TABLE meta (
    key    text PRIMARY KEY,
    number bigint,
    bytes  bytea
);

-- One number for every start of a relay, and for every lane that changes its owner: it only rises.
CREATE SEQUENCE fence;

-- Names of sources, routes and destinations: configured words only, so it stays small.
CREATE TABLE name (
    id   integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    text text NOT NULL UNIQUE
);

-- The sets of fields that minimised payloads were kept with, each a JSON list in order.
CREATE TABLE kept (
    id     integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    fields text NOT NULL UNIQUE
);

-- The latest revision of each subject. `digest` is a keyed digest of source and subject: of two relays that see a new
-- subject at the same instant, one makes the row.
CREATE TABLE subject (
    id         bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    digest     bytea   NOT NULL UNIQUE,
    source     integer NOT NULL,
    subject    bytea   NOT NULL,
    revision   integer NOT NULL,
    latest_seq bigint  NOT NULL,
    fields     bytea   NOT NULL
);

-- `seq` rises along the chain of a subject (`prev_seq`, newest first from subject.latest_seq), because it is taken
-- while the subject's row is locked.
CREATE TABLE event (
    seq          bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id           bytea   NOT NULL UNIQUE,
    source       integer NOT NULL,
    type         bytea   NOT NULL,
    subject      bigint,
    revision     integer NOT NULL,
    prev_seq     bigint,
    changed      text,
    candidate    bytea,
    received_at  bigint  NOT NULL,
    route_errors text,
    trace        bytea,
    kept         integer
);
-- Whose events have no subject and name a candidate: an erasure asks for them. Nearly always empty.
CREATE INDEX event_candidate ON event (candidate, seq) WHERE subject IS NULL AND candidate IS NOT NULL;

-- Apart from the event, so that a payload can go while the event stays. Not compressed: that would cost acceptance more
-- than the disk is worth, and what is sealed does not shrink.
CREATE TABLE payload (
    seq       bigint PRIMARY KEY,
    body      bytea  NOT NULL,
    sealed_by bigint
);
ALTER TABLE payload ALTER COLUMN body SET STORAGE EXTERNAL;

-- Small rows: settling rewrites one of these. There is room on every page, so that a retry stays on its own.
CREATE TABLE delivery (
    event_seq        bigint   NOT NULL,
    number           integer  NOT NULL,
    destination      integer  NOT NULL,
    route            integer  NOT NULL,
    subject          bigint,
    state            smallint NOT NULL,
    due_at           bigint,
    created_at       bigint   NOT NULL,
    last_error       text,
    webhook          integer,
    tries            bigint   NOT NULL DEFAULT 0,
    charged          bigint   NOT NULL DEFAULT 0,
    age              bigint   NOT NULL DEFAULT 0,
    last_at          bigint,
    last_delay       bigint,
    last_stood_still bigint,
    refused_at       bigint,
    settle_by        bigint,
    PRIMARY KEY (event_seq, number)
) WITH (fillfactor = 85);
-- A lane's refill, release, and how long the oldest has been due; in the order in which they go out.
CREATE INDEX delivery_due ON delivery (destination, due_at, event_seq, number) WHERE state = 0;
-- Superseding, and whether an earlier delivery of the subject waits.
CREATE INDEX delivery_subject ON delivery (subject, destination, event_seq) WHERE state = 0 AND subject IS NOT NULL;
-- Since when the oldest waits, once retries have moved it. A fresh delivery is not in here.
CREATE INDEX delivery_moved ON delivery (destination, created_at) WHERE state = 0 AND due_at > created_at;
-- The list of dead letters.
CREATE INDEX delivery_dead ON delivery (destination) WHERE state = 4;
-- Skipped deliveries of a subject: asked for whenever a known subject is planned for.
CREATE INDEX delivery_skipped ON delivery (subject, destination, event_seq) WHERE state = 3 AND subject IS NOT NULL;

CREATE TABLE attempt (
    event_seq bigint   NOT NULL,
    number    integer  NOT NULL,
    try       integer  NOT NULL,
    at        bigint   NOT NULL,
    duration  bigint   NOT NULL,
    status    integer,
    verdict   smallint NOT NULL,
    reason    text     NOT NULL,
    excerpt   text,
    PRIMARY KEY (event_seq, number, try)
);

-- Which subjects ever named a candidate.
CREATE TABLE candidate (
    candidate bytea  NOT NULL,
    subject   bigint NOT NULL,
    PRIMARY KEY (candidate, subject)
);
CREATE INDEX candidate_subject ON candidate (subject);

-- Events whose acknowledgement could not be written. Nearly always empty.
CREATE TABLE unconfirmed (
    subject   bigint NOT NULL,
    event_seq bigint NOT NULL,
    fields    bytea  NOT NULL,
    PRIMARY KEY (subject, event_seq)
);

-- The newest revision of a subject that a destination took, and what it gave back, if anything.
CREATE TABLE receipt (
    subject     bigint  NOT NULL,
    destination integer NOT NULL,
    revision    integer NOT NULL,
    value       bytea,
    scope       bytea,
    PRIMARY KEY (subject, destination)
);

-- Relays at work: until when each has its lanes by the database's clock, which destinations it knows (numbers, and a digest
-- of them), whether it is about to end, and up to which erasure it has nothing under way of those who are erased.
CREATE TABLE replica (
    id      bigint      PRIMARY KEY,
    name    text        NOT NULL,
    since   timestamptz NOT NULL,
    seen    timestamptz NOT NULL,
    until   timestamptz NOT NULL,
    leaving boolean     NOT NULL DEFAULT false,
    digest  bigint      NOT NULL DEFAULT 0,
    knows   integer[]   NOT NULL DEFAULT '{}',
    cleared bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- How a lane stands (null where nothing was ever kept of it), and who has it: the number that its owner was started
-- under (it has it for as long as its row in `replica` says), since when, and the number that its settlements are fenced
-- by. `wish` is what an operator wants who asked another relay: to pause it or to let it go; `wished` tells wishes apart.
CREATE TABLE lane (
    destination integer PRIMARY KEY,
    state       smallint,
    paused      boolean NOT NULL DEFAULT false,
    reason      text    NOT NULL DEFAULT '',
    since       bigint  NOT NULL DEFAULT 0,
    stood_still bigint  NOT NULL DEFAULT 0,
    owner       bigint,
    owned_since timestamptz,
    fence       bigint  NOT NULL DEFAULT 0,
    wish        boolean,
    wished      bigint  NOT NULL DEFAULT 0
);
CREATE INDEX lane_owner ON lane (owner) WHERE owner IS NOT NULL;

-- How many deliveries a destination has in each state: the sum over all slots. A relay writes to one slot alone, so
-- that relays do not wait for each other; one slot may be below zero.
CREATE TABLE tally (
    state       smallint NOT NULL,
    destination integer  NOT NULL,
    slot        integer  NOT NULL,
    count       bigint   NOT NULL,
    PRIMARY KEY (state, destination, slot)
) WITH (fillfactor = 50);

-- When the last event of each source was received, by slot likewise.
CREATE TABLE heard (
    source integer NOT NULL,
    slot   integer NOT NULL,
    at     bigint  NOT NULL,
    PRIMARY KEY (source, slot)
) WITH (fillfactor = 50);

-- Interviews that were collected and have no result yet; nearly all leave it within minutes.
CREATE TABLE awaited (
    subject bigint  PRIMARY KEY,
    source  integer NOT NULL,
    since   bigint  NOT NULL
);
CREATE INDEX awaited_since ON awaited (source, since);

-- Subjects that were erased: a keyed digest, and nothing else that could tell who it was. `subject` is the row that is
-- still to be taken away, and null once it is.
CREATE TABLE erased (
    hash    bytea  PRIMARY KEY,
    at      bigint NOT NULL,
    subject bigint
);
CREATE INDEX erased_subject ON erased (subject) WHERE subject IS NOT NULL;

-- Keys that some payload may be sealed by: none of them may be missing.
CREATE TABLE seal_key (
    fingerprint bigint PRIMARY KEY
);

-- One row: by which key new payloads are sealed (null: by none), and as far as it is not `done`, between which
-- places (after `place`, up to `until`) older ones may be otherwise.
CREATE TABLE sealing (
    one       boolean PRIMARY KEY CHECK (one),
    sealed_by bigint,
    place     bigint  NOT NULL,
    until     bigint  NOT NULL,
    done      boolean NOT NULL
);
INSERT INTO sealing (one, sealed_by, place, until, done) VALUES (true, NULL, 0, 0, true);

-- Operators' jobs. `task` and `progress` are JSON as text: what is in it has to come back as it was.
CREATE TABLE job (
    id           integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    task         text     NOT NULL,
    dry_run      boolean  NOT NULL,
    state        smallint NOT NULL,
    created_at   bigint   NOT NULL,
    ended_at     bigint,
    place_event  bytea,
    place_number integer,
    progress     text     NOT NULL
);

-- A queue's rows die young: the defaults (a fifth of a table) would let it grow to a multiple of what waits.
ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE tally SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE heard SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE replica SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE lane SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE subject SET (autovacuum_vacuum_scale_factor = 0.05);
