-- The functions of schema 1. One that was released never changes: another behaviour is another name, so that relays of
-- two versions can share a store. None decides; each says whether what was planned still fits.

-- Notes that `delta` deliveries of a destination came into a state. Written with the transaction's end: see flush_1.
CREATE FUNCTION count_1(p_counted text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('mojito_relay.counted', coalesce(current_setting('mojito_relay.counted', true), '') || p_counted, true)
$$;

-- Writes what was noted since the transaction began, as the last thing before its commit: entries are
-- `state destination delta,` and `-1 source time,`. Answers how many deliveries wait.
CREATE FUNCTION flush_1(p_slot integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_counted text := current_setting('mojito_relay.counted', true);
BEGIN
    IF v_counted <> '' THEN
        INSERT INTO tally AS t (state, destination, slot, count)
            SELECT split_part(one, ' ', 1)::smallint, split_part(one, ' ', 2)::integer, p_slot,
                   sum(split_part(one, ' ', 3)::bigint)
            FROM string_to_table(v_counted, ',') AS one WHERE one <> '' AND one NOT LIKE '-1 %'
            GROUP BY 1, 2 HAVING sum(split_part(one, ' ', 3)::bigint) <> 0 ORDER BY 1, 2
            ON CONFLICT (state, destination, slot) DO UPDATE SET count = t.count + excluded.count;
        INSERT INTO heard AS h (source, slot, at)
            SELECT split_part(one, ' ', 2)::integer, p_slot, max(split_part(one, ' ', 3)::bigint)
            FROM string_to_table(v_counted, ',') AS one WHERE one LIKE '-1 %'
            GROUP BY 1 ORDER BY 1
            ON CONFLICT (source, slot) DO UPDATE SET at = excluded.at WHERE h.at < excluded.at;
        PERFORM set_config('mojito_relay.counted', '', true);
    END IF;
    RETURN (SELECT coalesce(sum(count), 0) FROM tally WHERE state = 0);
END $$;

-- Ends a delivery that was not under way.
CREATE FUNCTION end_1(p_seq bigint, p_number integer, p_to smallint, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    SELECT state, destination INTO STRICT v FROM delivery WHERE event_seq = p_seq AND number = p_number FOR UPDATE;
    UPDATE delivery SET state = p_to, due_at = NULL, last_error = p_reason
        WHERE event_seq = p_seq AND number = p_number;
    PERFORM count_1(format('%s %s -1,%s %s 1,', v.state, v.destination, p_to, v.destination));
END $$;

-- The newest revision of a subject after event `p_seq` that has a delivery at a destination which is not skipped.
CREATE FUNCTION newer_1(p_subject bigint, p_seq bigint, p_destination integer) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_seq bigint := (SELECT latest_seq FROM subject WHERE id = p_subject);
    v record;
BEGIN
    WHILE v_seq > p_seq LOOP
        SELECT e.prev_seq, e.revision, EXISTS (
            SELECT 1 FROM delivery AS d
            WHERE d.event_seq = e.seq AND d.destination = p_destination AND d.state <> 3) AS has
        INTO v FROM event AS e WHERE e.seq = v_seq;
        IF v.has THEN
            RETURN v.revision;
        END IF;
        v_seq := v.prev_seq;
    END LOOP;
    RETURN NULL;
END $$;

-- Ends what still waits (p_from 0) or was skipped (3) for a subject at a destination: revision `p_by` takes its place.
CREATE FUNCTION supersede_1(p_subject bigint, p_destination integer, p_from smallint, p_reason text,
    OUT ids bytea[], OUT numbers integer[], OUT settle_by bigint) LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    ids := '{}';
    numbers := '{}';
    -- Each state has an index of its own, which only a condition as plain as this one finds.
    IF p_from = 0 THEN
        FOR v IN SELECT d.event_seq, d.number, d.settle_by FROM delivery AS d
            WHERE d.state = 0 AND d.subject = p_subject AND d.destination = p_destination
            ORDER BY d.event_seq, d.number FOR UPDATE
        LOOP
            ids := ids || (SELECT id FROM event WHERE seq = v.event_seq);
            numbers := numbers || v.number;
            settle_by := least(settle_by, v.settle_by);
            PERFORM end_1(v.event_seq, v.number, 2::smallint, p_reason);
        END LOOP;
    ELSE
        FOR v IN SELECT d.event_seq, d.number FROM delivery AS d
            WHERE d.state = 3 AND d.subject = p_subject AND d.destination = p_destination
            ORDER BY d.event_seq, d.number FOR UPDATE
        LOOP
            ids := ids || (SELECT id FROM event WHERE seq = v.event_seq);
            numbers := numbers || v.number;
            PERFORM end_1(v.event_seq, v.number, 2::smallint, p_reason);
        END LOOP;
    END IF;
END $$;

-- Writes deliveries of an event from number `p_first` on, once what they supersede or take up has ended.
CREATE FUNCTION fan_out_1(p_seq bigint, p_subject bigint, p_revision integer, p_created bigint, p_new boolean, p_first integer,
    p_destination integer[], p_route integer[], p_skipped text[], p_due bigint[], p_settle bigint[],
    p_supersedes boolean[], p_takes_up boolean[],
    OUT ready boolean[], OUT over_ids bytea[], OUT over_numbers integer[], OUT over_destinations integer[])
LANGUAGE plpgsql AS $$
DECLARE
    v_count integer := coalesce(array_length(p_destination, 1), 0);
    v_settle bigint;
    v_ready boolean;
    v_waits boolean;
    v record;
BEGIN
    ready := '{}';
    over_ids := '{}';
    over_numbers := '{}';
    over_destinations := '{}';
    IF p_new OR p_subject IS NULL THEN
        -- Nothing of its subject can wait yet.
        INSERT INTO delivery (event_seq, number, destination, route, subject, state, due_at, created_at, last_error, settle_by)
            SELECT p_seq, p_first + i - 1, p_destination[i], p_route[i], p_subject,
                   CASE WHEN p_skipped[i] IS NULL THEN 0 ELSE 3 END,
                   CASE WHEN p_skipped[i] IS NULL THEN greatest(least(p_due[i], p_settle[i]), p_created) END,
                   p_created, p_skipped[i], CASE WHEN p_skipped[i] IS NULL THEN p_settle[i] END
            FROM generate_series(1, v_count) AS i;
        SELECT coalesce(array_agg(p_skipped[i] IS NULL AND p_settle[i] IS NULL ORDER BY i), '{}') INTO ready
            FROM generate_series(1, v_count) AS i;
        PERFORM count_1(string_agg(format('%s %s 1,', CASE WHEN p_skipped[i] IS NULL THEN 0 ELSE 3 END, p_destination[i]), ''))
            FROM generate_series(1, v_count) AS i HAVING count(*) > 0;
        RETURN;
    END IF;
    FOR i IN 1 .. v_count LOOP
        v_waits := p_skipped[i] IS NULL;
        v_settle := p_settle[i];
        v_ready := v_waits AND v_settle IS NULL;
        IF v_waits THEN
            IF p_supersedes[i] THEN
                v := supersede_1(p_subject, p_destination[i], 0::smallint, 'superseded by revision ' || p_revision);
                IF v_settle IS NOT NULL THEN
                    v_settle := least(v_settle, v.settle_by);
                END IF;
                over_ids := over_ids || v.ids;
                over_numbers := over_numbers || v.numbers;
                over_destinations := over_destinations || array_fill(p_destination[i], ARRAY[cardinality(v.ids)]);
            ELSE
                v_ready := v_ready AND NOT EXISTS (
                    SELECT 1 FROM delivery WHERE state = 0 AND subject = p_subject AND destination = p_destination[i]);
            END IF;
            IF p_takes_up[i] THEN
                v := supersede_1(p_subject, p_destination[i], 3::smallint, 'taken up by revision ' || p_revision);
                over_ids := over_ids || v.ids;
                over_numbers := over_numbers || v.numbers;
                over_destinations := over_destinations || array_fill(p_destination[i], ARRAY[cardinality(v.ids)]);
            END IF;
        END IF;
        INSERT INTO delivery (event_seq, number, destination, route, subject, state, due_at, created_at, last_error, settle_by)
        VALUES (p_seq, p_first + i - 1, p_destination[i], p_route[i], p_subject, CASE WHEN v_waits THEN 0 ELSE 3 END,
                CASE WHEN v_waits THEN greatest(least(p_due[i], v_settle), p_created) END, p_created, p_skipped[i],
                CASE WHEN v_waits THEN v_settle END);
        PERFORM count_1(format('%s %s 1,', CASE WHEN v_waits THEN 0 ELSE 3 END, p_destination[i]));
        ready := ready || v_ready;
    END LOOP;
END $$;

-- Writes all that follows from an event, or nothing where the plan is stale. Outcomes: 0 accepted, 1 stale (with the
-- head), 2 erased, 3 the revision that it was compared with is gone.
CREATE FUNCTION accept_1(p_digest bytea, p_subject bytea, p_source integer, p_id bytea, p_type bytea, p_revision integer,
    p_changed text, p_candidate bytea, p_received bigint, p_route_errors text, p_trace bytea, p_kept integer,
    p_stage smallint, p_fields bytea, p_body bytea, p_sealed_by bigint,
    p_destination integer[], p_route integer[], p_skipped text[], p_due bigint[], p_settle bigint[],
    p_supersedes boolean[], p_takes_up boolean[],
    OUT outcome smallint, OUT subject_id bigint, OUT ready boolean[],
    OUT over_ids bytea[], OUT over_numbers integer[], OUT over_destinations integer[],
    OUT head_event bytea, OUT head_revision integer, OUT head_fields bytea, OUT head_body bytea, OUT head_sealed_by bigint,
    OUT lost_ids bytea[], OUT lost_revisions integer[], OUT lost_fields bytea[],
    OUT skipped_destinations integer[], OUT skipped_routes integer[])
LANGUAGE plpgsql AS $$
DECLARE
    v_subject subject%ROWTYPE;
    v_new boolean := false;
    v_seq bigint;
BEGIN
    IF p_digest IS NOT NULL THEN
        -- The subject's row is what everybody who has to do with it waits for. A row that is gone once it was waited
        -- for was erased, or was its subject's last.
        LOOP
            SELECT * INTO v_subject FROM subject AS s WHERE s.digest = substr(p_digest, 1, 16) FOR UPDATE;
            EXIT WHEN FOUND;
            IF p_revision = 1 THEN
                INSERT INTO subject AS s (digest, source, subject, revision, latest_seq, fields)
                    VALUES (substr(p_digest, 1, 16), p_source, p_subject, 1, 0, p_fields)
                    ON CONFLICT (digest) DO NOTHING RETURNING * INTO v_subject;
                v_new := FOUND;
                EXIT WHEN FOUND;
            ELSE
                outcome := CASE WHEN EXISTS (SELECT 1 FROM erased WHERE hash = p_digest) THEN 2 ELSE 3 END;
                RETURN;
            END IF;
        END LOOP;
        IF EXISTS (SELECT 1 FROM erased WHERE hash = p_digest) THEN
            IF v_new THEN
                DELETE FROM subject AS s WHERE s.id = v_subject.id;
            END IF;
            outcome := 2;
            RETURN;
        END IF;
        IF NOT v_new AND v_subject.revision + 1 <> p_revision THEN
            outcome := 1;
            SELECT e.id, s.revision, s.fields, p.body, p.sealed_by
                INTO head_event, head_revision, head_fields, head_body, head_sealed_by
                FROM subject AS s JOIN event AS e ON e.seq = s.latest_seq LEFT JOIN payload AS p ON p.seq = e.seq
                WHERE s.id = v_subject.id;
            SELECT array_agg(e.id ORDER BY u.event_seq), array_agg(e.revision ORDER BY u.event_seq),
                   array_agg(u.fields ORDER BY u.event_seq)
                INTO lost_ids, lost_revisions, lost_fields
                FROM unconfirmed AS u JOIN event AS e ON e.seq = u.event_seq WHERE u.subject = v_subject.id;
            SELECT array_agg(f.destination ORDER BY f.destination DESC), array_agg(f.route ORDER BY f.destination DESC)
                INTO skipped_destinations, skipped_routes
                FROM (SELECT DISTINCT ON (d.destination) d.destination, d.route, d.event_seq FROM delivery AS d
                      WHERE d.state = 3 AND d.subject = v_subject.id
                      ORDER BY d.destination, d.event_seq DESC) AS f
                WHERE newer_1(v_subject.id, f.event_seq, f.destination) IS NULL;
            RETURN;
        END IF;
        subject_id := v_subject.id;
    END IF;
    INSERT INTO event AS e (id, source, type, subject, revision, prev_seq, changed, candidate, received_at, route_errors, trace, kept)
        VALUES (p_id, p_source, p_type, v_subject.id, p_revision, CASE WHEN NOT v_new THEN v_subject.latest_seq END,
                p_changed, p_candidate, p_received, p_route_errors, p_trace, p_kept)
        RETURNING e.seq INTO v_seq;
    INSERT INTO payload (seq, body, sealed_by) VALUES (v_seq, p_body, p_sealed_by);
    IF p_digest IS NOT NULL THEN
        UPDATE subject AS s SET revision = p_revision, latest_seq = v_seq, fields = p_fields WHERE s.id = v_subject.id;
        IF p_candidate IS NOT NULL THEN
            INSERT INTO candidate (candidate, subject) VALUES (p_candidate, v_subject.id) ON CONFLICT DO NOTHING;
        END IF;
        IF p_stage = 1 THEN
            INSERT INTO awaited (subject, source, since) VALUES (v_subject.id, p_source, p_received) ON CONFLICT DO NOTHING;
        ELSIF p_stage = 2 AND p_revision > 1 THEN
            DELETE FROM awaited AS a WHERE a.subject = v_subject.id;
        END IF;
    END IF;
    PERFORM count_1(format('-1 %s %s,', p_source, p_received));
    SELECT f.ready, f.over_ids, f.over_numbers, f.over_destinations
        INTO ready, over_ids, over_numbers, over_destinations
        FROM fan_out_1(v_seq, v_subject.id, p_revision, p_received, v_new, 0, p_destination, p_route, p_skipped, p_due,
                       p_settle, p_supersedes, p_takes_up) AS f;
    outcome := 0;
END $$;

-- Makes room for one more attempt of a delivery: the oldest probe that a blocked lane sent goes first, as those tell
-- least; the first attempt of all stays, as it tells how the trouble began.
CREATE FUNCTION forget_one_1(p_seq bigint, p_number integer, p_kept integer) RETURNS void LANGUAGE sql AS $$
    DELETE FROM attempt WHERE event_seq = p_seq AND number = p_number AND try = (
        SELECT try FROM attempt WHERE event_seq = p_seq AND number = p_number AND try > 1
        ORDER BY verdict <> 3, try LIMIT 1)
    AND (SELECT count(*) FROM attempt WHERE event_seq = p_seq AND number = p_number) >= p_kept
$$;

-- Records an attempt and what came of it (0 delivered, 1 waiting, 2 dead, 3 skipped), whatever happened to the delivery
-- meanwhile. Answers the delivery's state; -1 where the lane has another owner by now.
CREATE FUNCTION settle_1(p_id bytea, p_number integer, p_fence bigint, p_attempt bigint[], p_said text, p_excerpt text,
    p_gone bytea[], p_outcome smallint, p_reason text, p_due bigint, p_budget bigint[], p_supersedable boolean,
    p_receipt bytea[], p_attempts_kept integer) RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    v_event record;
    v record;
    v_try integer;
    v_newer integer;
    v_state smallint;
BEGIN
    -- One table at a time: a plan that was made while they were empty could begin with the deliveries.
    SELECT e.seq, e.revision INTO v_event FROM event AS e WHERE e.id = p_id;
    SELECT d.event_seq, d.number, d.destination, d.subject, d.state, v_event.revision INTO v
        FROM delivery AS d WHERE d.event_seq = v_event.seq AND d.number = p_number;
    IF NOT FOUND THEN
        -- Nothing is left to be recorded: as good as discarded.
        RETURN 5;
    END IF;
    -- Whoever takes the lane waits until this is committed, and the other way round.
    PERFORM 1 FROM lane WHERE destination = v.destination AND fence = p_fence FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN -1;
    END IF;
    SELECT d.state, d.destination INTO v.state, v.destination FROM delivery AS d
        WHERE d.event_seq = v.event_seq AND d.number = v.number FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 5;
    END IF;
    IF p_attempt IS NOT NULL THEN
        SELECT coalesce(max(try), 0) INTO v_try FROM attempt WHERE event_seq = v.event_seq AND number = v.number;
        -- Where the connection was cut at the commit, the same comes again.
        IF NOT EXISTS (SELECT 1 FROM attempt WHERE event_seq = v.event_seq AND number = v.number AND try = v_try
                AND at = p_attempt[1] AND duration = p_attempt[2]) THEN
            IF v_try >= p_attempts_kept THEN
                PERFORM forget_one_1(v.event_seq, v.number, p_attempts_kept);
            END IF;
            INSERT INTO attempt (event_seq, number, try, at, duration, status, verdict, reason, excerpt)
                VALUES (v.event_seq, v.number, v_try + 1, p_attempt[1], p_attempt[2], p_attempt[3], p_attempt[4], p_said, p_excerpt);
        END IF;
    END IF;
    IF p_gone IS NOT NULL THEN
        UPDATE receipt SET value = NULL, scope = NULL
            WHERE subject = v.subject AND destination = v.destination AND value = p_gone[1] AND scope = p_gone[2];
    END IF;
    IF p_supersedable AND v.state = 0 THEN
        v_newer := newer_1(v.subject, v.event_seq, v.destination);
    END IF;
    -- One that ended while it was under way goes on only to what really happened.
    v_state := CASE
        WHEN p_outcome = 0 THEN 1
        WHEN p_outcome = 1 AND v.state = 0 AND v_newer IS NOT NULL THEN 2
        WHEN p_outcome = 1 AND v.state = 0 THEN 0
        WHEN p_outcome = 3 AND v.state = 0 THEN 3
        WHEN p_outcome = 2 AND v.state IN (0, 2, 5) THEN 4
        ELSE v.state
    END;
    IF v_state = v.state AND v_state <> 0 THEN
        RETURN v_state;
    END IF;
    IF p_outcome = 1 THEN
        UPDATE delivery SET state = v_state, due_at = CASE WHEN v_state = 0 THEN p_due END,
            last_error = CASE WHEN v_state = 0 THEN p_reason ELSE 'superseded by revision ' || v_newer END,
            tries = p_budget[1], charged = p_budget[2], age = p_budget[3], last_at = p_budget[4],
            last_delay = p_budget[5], last_stood_still = p_budget[6], refused_at = p_budget[7]
            WHERE event_seq = v.event_seq AND number = v.number;
    ELSE
        UPDATE delivery SET state = v_state, due_at = NULL, last_error = p_reason
            WHERE event_seq = v.event_seq AND number = v.number;
    END IF;
    IF v_state = 1 AND v.subject IS NOT NULL THEN
        -- An answer without a receipt leaves the one that is known: the note is still there.
        INSERT INTO receipt AS r (subject, destination, revision, value, scope)
            VALUES (v.subject, v.destination, v.revision, p_receipt[1], p_receipt[2])
            ON CONFLICT (subject, destination) DO UPDATE SET
                revision = excluded.revision,
                scope = CASE WHEN excluded.value IS NULL THEN r.scope ELSE excluded.scope END,
                value = coalesce(excluded.value, r.value)
            WHERE excluded.revision >= r.revision;
    END IF;
    IF v_state <> v.state THEN
        PERFORM count_1(format('%s %s -1,%s %s 1,', v.state, v.destination, v_state, v.destination));
    END IF;
    RETURN v_state;
END $$;

-- Takes lanes that are free, whose owner let its time run out, or that this relay has; answers those. The number of a lane
-- only rises: it is the relay's own, or a new one where the lane was given back or had another owner since. Lanes are
-- locked before relays, and both in order; an owner whose row is locked here cannot renew it at the same time.
CREATE FUNCTION take_1(p_destination integer[], p_owner bigint, p_name text, p_millis bigint)
RETURNS TABLE (destination integer, fence bigint, state smallint, paused boolean, reason text, since bigint, stood_still bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_lanes integer[];
    v_owners bigint[];
    v_alive bigint[];
BEGIN
    INSERT INTO lane (destination) SELECT one FROM unnest(p_destination) AS one ORDER BY one ON CONFLICT DO NOTHING;
    SELECT array_agg(locked.destination), array_agg(locked.owner) INTO v_lanes, v_owners FROM (
        SELECT l.destination, l.owner FROM lane AS l WHERE l.destination = ANY (p_destination) AND NOT EXISTS (
            SELECT 1 FROM replica AS r WHERE r.id = l.owner AND r.id <> p_owner AND r.until > clock_timestamp())
        ORDER BY l.destination FOR UPDATE) AS locked;
    INSERT INTO replica (id, name, since, seen, until)
        VALUES (p_owner, p_name, clock_timestamp(), clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM replica AS r WHERE r.id = p_owner OR r.id = ANY (v_owners) ORDER BY r.id FOR NO KEY UPDATE;
    UPDATE replica AS r SET seen = clock_timestamp(), until = greatest(r.until, clock_timestamp() + p_millis * interval '1 millisecond')
        WHERE r.id = p_owner;
    SELECT array_agg(r.id) INTO v_alive FROM replica AS r
        WHERE r.id = ANY (v_owners) AND r.id <> p_owner AND r.until > clock_timestamp();
    RETURN QUERY UPDATE lane AS l SET
            fence = CASE WHEN l.owner = p_owner THEN l.fence
                         WHEN l.fence < p_owner THEN p_owner
                         ELSE nextval('fence') END,
            owned_since = CASE WHEN l.owner = p_owner THEN l.owned_since ELSE clock_timestamp() END,
            owner = p_owner
        WHERE l.destination = ANY (v_lanes) AND (l.owner IS NULL OR l.owner <> ALL (coalesce(v_alive, '{}')))
        RETURNING l.destination, l.fence, l.state, l.paused, l.reason, l.since, l.stood_still;
END $$;

-- Says that a relay is alive, and with that renews all its leases. Answers who works on the store (kind 0: id, name, digest
-- of the destinations it knows, and which where that is another than asked with), the lanes that it has (1: destination,
-- fence, and the number and kind of a wish), and how things stand (2: the last erasure, deliveries that wait).
CREATE FUNCTION hold_1(p_id bigint, p_name text, p_leaving boolean, p_digest bigint, p_knows integer[], p_cleared bigint,
    p_obeyed bigint[], p_millis bigint)
RETURNS TABLE (kind smallint, id bigint, number bigint, name text, knows integer[], wish boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO replica AS r (id, name, since, seen, until, leaving, digest, knows, cleared)
        VALUES (p_id, p_name, clock_timestamp(), clock_timestamp(), clock_timestamp() + p_millis * interval '1 millisecond',
                p_leaving, p_digest, coalesce(p_knows, '{}'), p_cleared)
        ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, until = excluded.until, leaving = excluded.leaving,
            digest = excluded.digest, knows = coalesce(p_knows, r.knows), cleared = excluded.cleared;
    IF p_obeyed <> '{}' THEN
        UPDATE lane AS l SET wish = NULL WHERE l.owner = p_id AND l.wished = ANY (p_obeyed);
    END IF;
    RETURN QUERY SELECT 0::smallint, r.id, r.digest, r.name, CASE WHEN r.digest <> p_digest THEN r.knows END, r.leaving
        FROM replica AS r WHERE r.until > clock_timestamp() ORDER BY r.id;
    RETURN QUERY SELECT 1::smallint, l.destination::bigint, l.fence, l.wished::text, NULL::integer[], l.wish
        FROM lane AS l WHERE l.owner = p_id ORDER BY l.destination;
    RETURN QUERY SELECT 2::smallint, (SELECT m.number FROM meta AS m WHERE m.key = 'clear'),
        (SELECT coalesce(sum(t.count), 0)::bigint FROM tally AS t WHERE t.state = 0), NULL::text, NULL::integer[], NULL::boolean;
END $$;

-- Takes an event's deliveries out of the counts.
CREATE FUNCTION uncount_1(p_seq bigint) RETURNS void LANGUAGE sql AS $$
    SELECT count_1(string_agg(format('%s %s -1,', state, destination), '')) FROM delivery
    WHERE event_seq = p_seq HAVING count(*) > 0
$$;

-- A receiver's words may repeat what was in the payload: they go with it. Our own stay.
CREATE FUNCTION forget_payload_1(p_seq bigint, p_gone text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM payload WHERE seq = p_seq;
    UPDATE attempt SET reason = '', excerpt = NULL WHERE event_seq = p_seq;
    UPDATE delivery SET last_error = p_gone WHERE event_seq = p_seq AND last_error IS NOT NULL AND state IN (1, 4);
END $$;

-- A subject with all that belongs to it but its events.
CREATE FUNCTION forget_subject_1(p_subject bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint;
BEGIN
    DELETE FROM receipt WHERE subject = p_subject;
    DELETE FROM unconfirmed WHERE subject = p_subject;
    DELETE FROM awaited WHERE subject = p_subject;
    DELETE FROM candidate WHERE subject = p_subject;
    DELETE FROM subject WHERE id = p_subject;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END $$;

-- An event with its deliveries and attempts; how many of each were there.
CREATE FUNCTION delete_event_1(p_seq bigint, OUT payloads bigint, OUT deliveries bigint, OUT events bigint)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM uncount_1(p_seq);
    DELETE FROM payload WHERE seq = p_seq;
    GET DIAGNOSTICS payloads = ROW_COUNT;
    DELETE FROM attempt WHERE event_seq = p_seq;
    DELETE FROM delivery WHERE event_seq = p_seq;
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    DELETE FROM event WHERE seq = p_seq;
    GET DIAGNOSTICS events = ROW_COUNT;
END $$;

-- An event goes from the ledger: the subject goes with its last event, a candidate with the last event of the subject
-- that names it.
CREATE FUNCTION forget_event_1(p_seq bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
    v_latest bigint;
    v_next bigint;
    v_link record;
    v_named_later boolean := false;
BEGIN
    SELECT subject, candidate INTO v FROM event WHERE seq = p_seq;
    IF v.subject IS NOT NULL THEN
        SELECT latest_seq INTO v_latest FROM subject WHERE id = v.subject FOR UPDATE;
        v_next := v_latest;
        WHILE v_next > p_seq LOOP
            SELECT prev_seq, candidate INTO v_link FROM event WHERE seq = v_next;
            EXIT WHEN NOT FOUND;
            v_named_later := v_named_later OR v_link.candidate IS NOT DISTINCT FROM v.candidate;
            v_next := v_link.prev_seq;
        END LOOP;
        IF v.candidate IS NOT NULL AND NOT v_named_later THEN
            DELETE FROM candidate WHERE candidate = v.candidate AND subject = v.subject;
        END IF;
        IF v_latest = p_seq THEN
            PERFORM forget_subject_1(v.subject);
        END IF;
    END IF;
    PERFORM delete_event_1(p_seq);
END $$;

-- What is due at a destination, oldest first; the last row has no id, and tells in `number` whether there is more, and
-- in `due_at` when the next becomes due.
CREATE FUNCTION due_1(p_destination integer, p_now bigint, p_limit integer, p_ordered boolean)
RETURNS TABLE (id bytea, number integer, subject bigint, revision integer, due_at bigint, created_at bigint, tries bigint,
    charged bigint, age bigint, last_at bigint, last_delay bigint, last_stood_still bigint, refused_at bigint)
-- In the order of the index, and not once all that is due is read and sorted.
LANGUAGE plpgsql STABLE SET enable_sort TO off AS $$
DECLARE
    v record;
    v_found integer := 0;
    v_more integer := 0;
BEGIN
    FOR v IN SELECT d.*, p_ordered AND EXISTS (SELECT 1 FROM delivery AS b WHERE b.state = 0 AND b.subject = d.subject
                 AND b.destination = d.destination AND b.event_seq < d.event_seq) AS behind
        FROM delivery AS d WHERE d.state = 0 AND d.destination = p_destination AND d.due_at <= p_now
        ORDER BY d.due_at, d.event_seq, d.number
    LOOP
        IF v_found = p_limit THEN
            v_more := 1;
            EXIT;
        END IF;
        IF v.behind THEN
            v_more := 1;
            CONTINUE;
        END IF;
        v_found := v_found + 1;
        SELECT e.id, v.number, v.subject, e.revision, v.due_at, v.created_at, v.tries, v.charged, v.age, v.last_at,
               v.last_delay, v.last_stood_still, v.refused_at
            INTO id, number, subject, revision, due_at, created_at, tries, charged, age, last_at, last_delay,
                 last_stood_still, refused_at
            FROM event AS e WHERE e.seq = v.event_seq;
        RETURN NEXT;
    END LOOP;
    id := NULL;
    number := v_more;
    due_at := (SELECT min(d.due_at) FROM delivery AS d WHERE d.state = 0 AND d.destination = p_destination AND d.due_at > p_now);
    RETURN NEXT;
END $$;

-- What `previous` and `changed` are reckoned from: the revision before, or the one that was sent last, with every list
-- of fields that changed since.
CREATE FUNCTION since_1(p_prev bigint, p_changed text, p_revision integer, p_sent integer, p_last_sent boolean,
    OUT seq bigint, OUT changed text[]) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v record;
BEGIN
    changed := '{}';
    IF p_last_sent AND p_sent IS NULL THEN
        RETURN;
    END IF;
    seq := p_prev;
    changed := ARRAY[p_changed];
    -- A replay of what was sent already says what it said against the revision before it.
    WHILE p_last_sent AND p_sent < p_revision AND seq IS NOT NULL LOOP
        SELECT e.revision, e.prev_seq, e.changed INTO v FROM event AS e WHERE e.seq = since_1.seq;
        IF NOT FOUND THEN
            seq := NULL;
        ELSIF v.revision > p_sent THEN
            changed := changed || v.changed;
            seq := v.prev_seq;
        ELSE
            EXIT;
        END IF;
    END LOOP;
END $$;

-- Puts a final delivery back to waiting, with a fresh budget; under a webhook-id that no delivery of the event has or
-- had, where that is asked for: real numbers end below `p_first`, and ids of replays count on from there over all
-- deliveries of the event.
CREATE FUNCTION replay_1(p_seq bigint, p_number integer, p_now bigint, p_new_id boolean, p_first integer, p_last integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    SELECT state, destination INTO STRICT v FROM delivery WHERE event_seq = p_seq AND number = p_number FOR UPDATE;
    UPDATE delivery SET state = 0, due_at = p_now, last_error = NULL, tries = 0, charged = 0, age = 0, last_at = NULL,
        last_delay = NULL, last_stood_still = NULL, refused_at = NULL,
        webhook = CASE WHEN p_new_id THEN least(p_last, 1 + coalesce(
            (SELECT max(webhook) FROM delivery WHERE event_seq = p_seq), p_first - 1)) ELSE webhook END
        WHERE event_seq = p_seq AND number = p_number;
    PERFORM count_1(format('%s %s -1,0 %s 1,', v.state, v.destination, v.destination));
END $$;

-- The events of a subject, newest first.
CREATE FUNCTION chain_1(p_subject bigint) RETURNS TABLE (seq bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_next bigint := (SELECT latest_seq FROM subject WHERE id = p_subject);
BEGIN
    WHILE v_next IS NOT NULL LOOP
        seq := v_next;
        RETURN NEXT;
        v_next := (SELECT e.prev_seq FROM event AS e WHERE e.seq = v_next);
    END LOOP;
END $$;

-- A delivery that waits is another destination's from now on.
CREATE FUNCTION move_1(p_seq bigint, p_number integer, p_from integer, p_to integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE delivery SET destination = p_to WHERE event_seq = p_seq AND number = p_number;
    PERFORM count_1(format('0 %s -1,0 %s 1,', p_from, p_to));
END $$;

-- Makes up to `p_limit` retries that are not due yet due at the time they were created, so that the oldest go first.
CREATE FUNCTION release_1(p_destination integer, p_now bigint, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_sort TO off AS $$
DECLARE
    v_released bigint;
BEGIN
    UPDATE delivery AS d SET due_at = d.created_at FROM (
        SELECT event_seq, number FROM delivery
        WHERE state = 0 AND destination = p_destination AND due_at > p_now AND (tries > 0 OR charged > 0)
        ORDER BY due_at, event_seq, number LIMIT p_limit FOR UPDATE SKIP LOCKED) AS late
        WHERE d.event_seq = late.event_seq AND d.number = late.number;
    GET DIAGNOSTICS v_released = ROW_COUNT;
    RETURN v_released;
END $$;
