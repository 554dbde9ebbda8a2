-- Schema 2: revisions that settle, and skipped deliveries that a later revision takes up.

-- Until when a delivery that waits for further revisions waits at the latest; it goes from one that is
-- superseded to the one that takes its place.
ALTER TABLE delivery ADD COLUMN settle_by INTEGER;
-- Skipped deliveries of a subject: asked for whenever a known subject is planned for.
CREATE INDEX delivery_skipped ON delivery (subject, destination) WHERE state = 3 AND subject IS NOT NULL;
