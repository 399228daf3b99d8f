-- What is told to webhooks, and what came of it. Every statement may run again and again.

CREATE TABLE IF NOT EXISTS integration.webhook_deliveries (
    company_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    "position" bigint NOT NULL,
    body bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped')),
    reason text,
    tries integer NOT NULL DEFAULT 0,
    tries_max integer NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    ended_at timestamptz,
    redelivered_by bigint NOT NULL DEFAULT 0,
    leased_until timestamptz,
    owner text,
    PRIMARY KEY (company_id, delivery_id),
    UNIQUE (company_id, webhook_id, event_id)) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS webhook_deliveries_due
    ON integration.webhook_deliveries (webhook_id, due_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS webhook_deliveries_listed
    ON integration.webhook_deliveries (company_id, created_at, delivery_id);
CREATE INDEX IF NOT EXISTS webhook_deliveries_ended
    ON integration.webhook_deliveries (ended_at) WHERE state <> 'pending';

-- Every webhook that anything ever waited for: where couriers look.
CREATE TABLE IF NOT EXISTS integration.webhook_queues (webhook_id uuid PRIMARY KEY);
INSERT INTO integration.webhook_queues
    SELECT DISTINCT webhook_id FROM integration.webhook_deliveries WHERE state = 'pending' ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS integration.webhook_attempts (
    company_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    milliseconds integer NOT NULL,
    status integer,
    error text,
    snippet text NOT NULL,
    PRIMARY KEY (company_id, delivery_id, number),
    FOREIGN KEY (company_id, delivery_id) REFERENCES integration.webhook_deliveries ON DELETE CASCADE);

-- Webhooks whose last attempt failed: how many have since the last that did not.
CREATE TABLE IF NOT EXISTS integration.webhook_health (
    webhook_id uuid PRIMARY KEY,
    company_id uuid NOT NULL,
    failures integer NOT NULL,
    failing_since timestamptz NOT NULL) WITH (fillfactor = 70);

-- How often attempts ended how, ever: couriers add to it now and then.
CREATE TABLE IF NOT EXISTS integration.webhook_outcomes (
    outcome text PRIMARY KEY,
    deliveries bigint NOT NULL) WITH (fillfactor = 50);

-- Counts and an age over all companies, for whoever watches; nothing in it says whose they are.
CREATE OR REPLACE FUNCTION integration.webhook_backlog()
RETURNS TABLE (pending bigint, oldest_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT count(*), greatest(coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0), 0)::float8
        FROM integration.webhook_deliveries WHERE state = 'pending'
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON integration.webhook_deliveries, integration.webhook_attempts,
    integration.webhook_health, integration.webhook_queues, integration.webhook_outcomes
    TO ccontrol_projector;
GRANT SELECT ON integration.webhook_deliveries, integration.webhook_attempts, integration.webhook_outcomes
    TO ccontrol_app;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhook_deliveries', 'webhook_attempts', 'webhook_health'] LOOP
        EXECUTE format('ALTER TABLE integration.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE integration.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('DROP POLICY IF EXISTS app ON integration.%I', name);
        EXECUTE format('CREATE POLICY app ON integration.%I TO ccontrol_app USING (company_id = '
            '(SELECT NULLIF(current_setting(''ccontrol.company'', true), '''')::uuid))', name);
        EXECUTE format('DROP POLICY IF EXISTS projector ON integration.%I', name);
        EXECUTE format('CREATE POLICY projector ON integration.%I TO ccontrol_projector USING (true)', name);
    END LOOP;
END $$;

ALTER FUNCTION integration.webhook_backlog OWNER TO ccontrol_projector;
REVOKE ALL ON FUNCTION integration.webhook_backlog FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration.webhook_backlog TO ccontrol_app, ccontrol_projector;
