-- What is kept about projections; see bookkeeping.py. Every statement may run again and again.

CREATE SCHEMA IF NOT EXISTS read;

CREATE TABLE IF NOT EXISTS read.projections (
    name text PRIMARY KEY,
    lane text NOT NULL,
    klass text NOT NULL,
    generation integer NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    reason text,
    changed_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE IF NOT EXISTS read.generations (
    projection text NOT NULL REFERENCES read.projections,
    generation integer NOT NULL,
    version integer NOT NULL,
    shape text NOT NULL,
    status text NOT NULL CHECK (status IN ('building', 'live', 'kept', 'scratch')),
    tables text[] NOT NULL,
    indexed boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    promoted_at timestamptz,
    PRIMARY KEY (projection, generation));

CREATE TABLE IF NOT EXISTS read.checkpoints (
    projection text NOT NULL,
    generation integer NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    event_recorded_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation, partition)) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS read.failures (
    projection text NOT NULL REFERENCES read.projections,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    event_id uuid,
    topic text,
    error text NOT NULL,
    version integer NOT NULL,
    tries integer NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    PRIMARY KEY (projection, partition, position));

CREATE TABLE IF NOT EXISTS read.skips (
    projection text NOT NULL REFERENCES read.projections,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    actor text NOT NULL,
    break_glass boolean NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, partition, position));

CREATE TABLE IF NOT EXISTS read.acts (
    act_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection text NOT NULL REFERENCES read.projections,
    act text NOT NULL CHECK (act IN ('pause', 'resume')),
    reason text,
    actor text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS acts_projection ON read.acts (projection, act_id);

CREATE TABLE IF NOT EXISTS read.leases (
    partition smallint NOT NULL,
    lane text NOT NULL,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (partition, lane)) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS read.workers (
    owner text NOT NULL,
    lane text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, lane)) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS read.jobs (
    job_id uuid PRIMARY KEY,
    act text NOT NULL CHECK (act IN ('rebuild', 'compare', 'promote', 'rollback')),
    projection text NOT NULL REFERENCES read.projections,
    options jsonb NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    detached boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'interrupted')),
    owner text,
    cancel_requested boolean NOT NULL DEFAULT false,
    started_at timestamptz,
    heartbeat_at timestamptz,
    ended_at timestamptz,
    progress jsonb,
    outcome jsonb) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS jobs_open ON read.jobs (projection) WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS jobs_requested ON read.jobs (requested_at);

-- Called first in every transaction that writes rows. It raises rather than returns, so that it can be sent
-- ahead together with the rows and the COMMIT: whatever follows a failed statement has no effect.
--   The table lock waits for a promotion in progress and makes the next one wait for us; the statements behind
--     it take their snapshots after it, so they see the generation that is served now.
--   The lease row stays locked to the end of the transaction: whoever steals the lease waits for us, and then
--     finds our checkpoint. Who has lost the lease meanwhile fails here.
--   A generation being built has no lease (the owner is null): its builder holds an advisory lock, and the
--     expected position fences off any other.
--   A worker that has not heard of a pause yet fails as well: nothing recorded after a pause is folded.
CREATE OR REPLACE FUNCTION read.advance(
    lane_ text, partition_ smallint, owner_ text, epoch_ bigint,
    names_ text[], generations_ integer[], expected_ bigint[], position_ bigint, recorded_at_ timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE moved integer;
BEGIN
    LOCK TABLE read.projections IN ACCESS SHARE MODE;
    IF owner_ IS NOT NULL THEN
        PERFORM FROM read.leases
            WHERE partition = partition_ AND lane = lane_ AND owner = owner_ AND epoch = epoch_ FOR SHARE;
        IF NOT FOUND THEN
            RAISE 'another worker holds the lease of partition %', partition_ USING ERRCODE = 'CC001';
        END IF;
    END IF;
    UPDATE read.checkpoints c
        SET position = position_, event_recorded_at = coalesce(recorded_at_, c.event_recorded_at),
            updated_at = clock_timestamp()
        FROM unnest(names_, generations_, expected_) AS u (name, generation, expected)
        JOIN read.projections p ON p.name = u.name
        WHERE c.projection = u.name AND c.generation = u.generation AND c.partition = partition_
            AND c.position = u.expected AND (p.generation = u.generation) = (owner_ IS NOT NULL)
            AND NOT (p.paused AND owner_ IS NOT NULL);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(names_) THEN
        RAISE 'a checkpoint of % on partition % is not where it was', names_, partition_
            USING ERRCODE = 'CC002';
    END IF;
END $$;

-- How far every served projection is, on every partition: position against head, the age of the oldest event
-- it has not folded, and when it last made progress. Only together do they tell a busy projection from a dead
-- one: `stuck` is behind, with an old event, and without progress for as long. Runs as the projector, because
-- no other role may look at the events of every company; it tells nothing but numbers and moments.
CREATE OR REPLACE FUNCTION read.lags(stuck_after_ interval DEFAULT interval '15 seconds')
RETURNS TABLE (projection text, lane text, klass text, partition smallint, position_at bigint, head bigint,
    oldest_at timestamptz, progressed_at timestamptz, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT p.name, p.lane, p.klass, c.partition, c.position, h.position,
            CASE WHEN h.position > c.position THEN coalesce(waiting.recorded_at, c.event_recorded_at) END,
            greatest(c.updated_at, p.changed_at),
            CASE WHEN p.paused THEN 'paused'
                WHEN EXISTS (SELECT FROM read.failures f WHERE f.projection = p.name
                                AND f.partition = c.partition AND f.resolved_at IS NULL) THEN 'failed'
                WHEN h.position > c.position
                    AND coalesce(waiting.recorded_at, c.event_recorded_at, c.updated_at) < clock_timestamp() - stuck_after_
                    AND greatest(c.updated_at, p.changed_at) < clock_timestamp() - stuck_after_ THEN 'stuck'
                ELSE 'running' END
        FROM read.projections p
        JOIN read.checkpoints c ON c.projection = p.name AND c.generation = p.generation
        JOIN ccontrol.partition_heads h ON h.partition = c.partition
        LEFT JOIN ccontrol.events waiting
            ON waiting.partition = c.partition AND waiting.position = c.position + 1
        ORDER BY p.name, c.partition
$$;

-- Whose rows this transaction may read, and where the projections it reads stand. In PL/pgSQL for its plans, which
-- are kept: every question asks this.
CREATE OR REPLACE FUNCTION read.look(company_ uuid, partition_ smallint, names_ text[])
RETURNS TABLE (projection text, folded_position bigint, event_recorded_at timestamptz, stopped boolean)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('ccontrol.company', company_::text, true);
    IF names_ <> '{}' THEN
        RETURN QUERY SELECT p.name, c.position, c.event_recorded_at,
                p.paused OR EXISTS (SELECT FROM read.failures f WHERE f.projection = p.name
                            AND f.partition = c.partition AND f.resolved_at IS NULL)
            FROM read.projections p
            JOIN read.checkpoints c ON c.projection = p.name AND c.generation = p.generation
            WHERE c.partition = partition_ AND p.name = ANY(names_);
    END IF;
END;
$$;

-- The company that runs the installation: its first. Everybody can make another one, and owns it then. As the role
-- that may see every company's events.
CREATE OR REPLACE FUNCTION read.home() RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT e.company_id FROM ccontrol.partition_heads h
        JOIN ccontrol.events e ON e.partition = h.partition AND e.position = 1
        ORDER BY e.recorded_at, e.partition LIMIT 1
$$;

-- No row here belongs to a company, so there is nothing to isolate; the application only looks.
GRANT USAGE ON SCHEMA read TO ccontrol_app, ccontrol_projector;
GRANT CREATE ON SCHEMA read TO ccontrol_projector;
GRANT SELECT ON read.projections, read.generations, read.checkpoints, read.failures, read.skips, read.acts,
    read.leases, read.workers TO ccontrol_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON read.projections, read.generations, read.checkpoints, read.failures,
    read.leases, read.workers TO ccontrol_projector;
GRANT SELECT, INSERT ON read.skips, read.acts TO ccontrol_projector;
GRANT SELECT, INSERT, UPDATE ON read.jobs TO ccontrol_projector;
GRANT SELECT (projection, state, heartbeat_at, progress) ON read.jobs TO ccontrol_app;
REVOKE ALL ON FUNCTION read.advance FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read.advance TO ccontrol_projector;
ALTER FUNCTION read.lags(interval) OWNER TO ccontrol_projector;
ALTER FUNCTION read.home() OWNER TO ccontrol_projector;
REVOKE ALL ON FUNCTION read.lags(interval), read.home() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read.look(uuid, smallint, text[]) TO ccontrol_app, ccontrol_projector;
GRANT EXECUTE ON FUNCTION read.lags(interval), read.home() TO ccontrol_app, ccontrol_projector;
