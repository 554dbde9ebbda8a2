-- Schema 6: payloads that are minimised.

-- The sets of fields that payloads were kept with, each a JSON list in order. One more with each change of
-- relay.toml that uses other fields, so there are few.
CREATE TABLE kept (
    id     INTEGER PRIMARY KEY,
    fields TEXT NOT NULL UNIQUE
);
-- Nothing where the payload is whole.
ALTER TABLE event ADD COLUMN kept INTEGER REFERENCES kept (id);
