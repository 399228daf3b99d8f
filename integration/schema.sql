-- What is kept about what leaves the house; see bookkeeping.py. Every statement may run again and again.

CREATE SCHEMA IF NOT EXISTS integration;

CREATE TABLE IF NOT EXISTS integration.relay (
    partition smallint PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 50);

-- Up to where all was dealt with that a queue was told; see low_water.py.
CREATE TABLE IF NOT EXISTS integration.consumed (
    queue text NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (queue, partition)) WITH (fillfactor = 50);

-- A message as it was sent; without a company when it was none of ours.
CREATE TABLE IF NOT EXISTS integration.dead_letters (
    queue text NOT NULL,
    message_id text NOT NULL,
    company_id uuid,
    topic text,
    body bytea NOT NULL,
    error text NOT NULL,
    deaths integer NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'retrying', 'retried', 'discarded')),
    first_died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at timestamptz,
    decided_by text,
    reason text,
    PRIMARY KEY (queue, message_id));
CREATE INDEX IF NOT EXISTS dead_letters_state ON integration.dead_letters (state, queue, died_at);

CREATE TABLE IF NOT EXISTS integration.consumers (
    queue text NOT NULL,
    owner text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    handled bigint NOT NULL DEFAULT 0,
    retried bigint NOT NULL DEFAULT 0,
    buried bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, owner)) WITH (fillfactor = 50);

-- The queues of the local broker.
CREATE TABLE IF NOT EXISTS integration.local_bindings (
    queue text NOT NULL,
    pattern text NOT NULL,
    PRIMARY KEY (queue, pattern));

CREATE TABLE IF NOT EXISTS integration.local_messages (
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL,
    message_id text NOT NULL,
    body bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    deliveries integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (queue, id)) WITH (fillfactor = 70);

-- Moves the relay's checkpoint, or only notes a failure (position_ = expected_). The lease row stays locked to
-- the end of the transaction, so whoever takes the lease over finds this checkpoint; who has lost it fails.
CREATE OR REPLACE FUNCTION integration.advance(
    lane_ text, partition_ smallint, owner_ text, epoch_ bigint,
    expected_ bigint, position_ bigint, failed_ bigint, error_ text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM FROM read.leases
        WHERE partition = partition_ AND lane = lane_ AND owner = owner_ AND epoch = epoch_ FOR SHARE;
    IF NOT FOUND THEN
        RAISE 'another process holds the lease of partition %', partition_ USING ERRCODE = 'CC001';
    END IF;
    UPDATE integration.relay
        SET position = position_, published = published + position_ - expected_, failed = failed + failed_,
            error = error_, updated_at = clock_timestamp()
        WHERE partition = partition_ AND position = expected_;
    IF NOT FOUND THEN
        RAISE 'the checkpoint of partition % is not where it was', partition_ USING ERRCODE = 'CC002';
    END IF;
END $$;

-- What an operator decides about one dead letter; false when there is none in a state to decide about.
CREATE OR REPLACE FUNCTION integration.decide(
    queue_ text, message_id_ text, state_ text, actor_ text, reason_ text)
RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    WITH decided AS (
        UPDATE integration.dead_letters
            SET state = state_, decided_at = clock_timestamp(), decided_by = actor_, reason = reason_
            WHERE queue = queue_ AND message_id = message_id_
                AND (state = 'dead' OR (state = 'retrying' AND state_ = 'discarded'))
            RETURNING 1)
    SELECT EXISTS (SELECT FROM decided)
$$;

-- Counts and an age over all companies, for whoever watches; nothing in it says whose events they are.
CREATE OR REPLACE FUNCTION integration.outbox()
RETURNS TABLE (partition smallint, "position" bigint, head bigint, oldest_seconds double precision,
               published bigint, failed bigint, error text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT h.partition, coalesce(r.position, 0), h.position,
            coalesce(extract(epoch FROM clock_timestamp() - e.recorded_at), 0)::float8,
            coalesce(r.published, 0), coalesce(r.failed, 0), r.error
        FROM ccontrol.partition_heads h
        LEFT JOIN integration.relay r ON r.partition = h.partition
        LEFT JOIN LATERAL (
            SELECT n.recorded_at FROM ccontrol.events n
                WHERE n.partition = h.partition AND n.position = coalesce(r.position, 0) + 1) e ON true
        ORDER BY h.partition
$$;

CREATE OR REPLACE FUNCTION integration.dead_letter_counts() RETURNS TABLE (queue text, letters bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT queue, count(*) FILTER (WHERE state IN ('dead', 'retrying'))
        FROM integration.dead_letters GROUP BY queue ORDER BY queue
$$;

-- Signed heads of chains that were not told to the broker yet; they come from the store's outbox, not from the log.
CREATE OR REPLACE FUNCTION integration.signed_heads_waiting()
RETURNS TABLE (heads bigint, oldest_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
        FROM ccontrol.outbox WHERE kind = 'checkpoint' AND sent_at IS NULL
$$;

-- It is read.home now, for all who ask.
DROP FUNCTION IF EXISTS integration.home();

GRANT USAGE ON SCHEMA integration TO ccontrol_app, ccontrol_projector;
GRANT CREATE ON SCHEMA integration TO ccontrol_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON integration.relay, integration.consumed, integration.dead_letters,
    integration.consumers, integration.local_bindings, integration.local_messages TO ccontrol_projector;
GRANT SELECT ON integration.relay, integration.dead_letters, integration.consumers,
    integration.local_bindings TO ccontrol_app;
GRANT UPDATE (state, decided_at, decided_by, reason) ON integration.dead_letters TO ccontrol_app;

-- The doors see and decide about the letters of the company they serve, and no others.
ALTER TABLE integration.dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE integration.dead_letters FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS app ON integration.dead_letters;
CREATE POLICY app ON integration.dead_letters TO ccontrol_app
    USING (company_id = (SELECT NULLIF(current_setting('ccontrol.company', true), '')::uuid));
DROP POLICY IF EXISTS projector ON integration.dead_letters;
CREATE POLICY projector ON integration.dead_letters TO ccontrol_projector USING (true);

-- As the role that may see every company's events; what they return says nothing about any.
ALTER FUNCTION integration.outbox OWNER TO ccontrol_projector;
ALTER FUNCTION integration.dead_letter_counts OWNER TO ccontrol_projector;
ALTER FUNCTION integration.signed_heads_waiting OWNER TO ccontrol_projector;
REVOKE ALL ON FUNCTION integration.advance, integration.decide, integration.outbox,
    integration.dead_letter_counts, integration.signed_heads_waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration.advance TO ccontrol_projector;
GRANT EXECUTE ON FUNCTION integration.decide, integration.outbox, integration.dead_letter_counts,
    integration.signed_heads_waiting TO ccontrol_app, ccontrol_projector;
