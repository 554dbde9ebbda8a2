-- Schema 3: subjects that were erased, and operators' jobs over many deliveries.

-- A keyed hash of source and subject, and nothing else that could tell who it was. `subject` is the row
-- that is still to be taken away, and null once it is.
CREATE TABLE erased (
    hash    BLOB    PRIMARY KEY,
    at      INTEGER NOT NULL,
    subject INTEGER
) WITHOUT ROWID;
