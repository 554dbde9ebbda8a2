-- Schema 4: what is asked about senders once a minute, and traces.

-- The step of a trace that took the event (25 bytes), so that an attempt long after belongs to that
-- trace, too. Nothing where nobody collects traces.
ALTER TABLE event ADD COLUMN trace BLOB;

-- When the last event of each source was received. Looking for it would walk the events of all others.
CREATE TABLE heard (
    source INTEGER PRIMARY KEY REFERENCES name (id),
    at     INTEGER NOT NULL
);
INSERT INTO heard (source, at) SELECT source, max(received_at) FROM event GROUP BY source;

-- Interviews that were collected and have no result yet; nearly all leave it within minutes.
CREATE TABLE awaited (
    subject INTEGER PRIMARY KEY REFERENCES subject (id) ON DELETE CASCADE,
    source  INTEGER NOT NULL REFERENCES name (id),
    since   INTEGER NOT NULL
);
CREATE INDEX awaited_since ON awaited (source, since);
INSERT INTO awaited (subject, source, since)
    SELECT subject, source, begun FROM (
        SELECT subject, source,
               max(received_at) FILTER (WHERE type = 'interview.collected') AS begun,
               max(seq) FILTER (WHERE type = 'interview.collected') AS collected,
               max(seq) FILTER (WHERE type IN ('interview.submitted', 'interview.failed')) AS ended
        FROM event WHERE subject IS NOT NULL GROUP BY subject
    )
    WHERE collected > ifnull(ended, 0) AND subject IN (SELECT id FROM subject);
