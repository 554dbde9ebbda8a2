-- Schema 5: payloads that are sealed.

-- The fingerprint of the key that a payload is sealed by; null where it is plain. There is no index: what has to
-- be sealed again is found by going through the payloads once, so that acceptance pays for none.
ALTER TABLE payload ADD COLUMN sealed_by INTEGER;

-- Keys that some payload may be sealed by: none of them may be missing.
CREATE TABLE seal_key (
    fingerprint INTEGER PRIMARY KEY
);

-- One row: by which key new payloads are sealed (null: by none), and as far as it is not `done`, between which
-- places (after `place`, up to `until`) older ones may be otherwise.
CREATE TABLE sealing (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    sealed_by INTEGER,
    place     INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    done      INTEGER NOT NULL
);
INSERT INTO sealing (one, sealed_by, place, until, done) VALUES (1, NULL, 0, 0, 1);
