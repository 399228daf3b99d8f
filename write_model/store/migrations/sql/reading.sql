-- Reads of one company in one round trip: each names the company for the length of its own statement and
-- then reads as the caller, so row level security decides, whatever the caller's connection did before.
-- No scan of a whole table: plans outlive the emptiness they may have been made for. Generic plans, because
-- planning eight partitions anew at each call costs as much as the read.

-- Whole streams with all that is recorded about their events.
CREATE FUNCTION ccontrol.read_streams(p_partition int, p_company uuid, p_streams uuid[])
RETURNS SETOF ccontrol.events LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    RETURN QUERY
        -- Stream by stream: with `= ANY` a plan made without statistics reads the whole company instead.
        SELECT e.* FROM unnest(p_streams) AS s(stream)
        CROSS JOIN LATERAL (SELECT e.* FROM ccontrol.events e
                            WHERE e.partition = p_partition AND e.stream_id = s.stream
                            ORDER BY e.stream_id, e.version) AS e;
END
$$;

-- What decisions need of streams, after the versions already known, of several companies: p_counts says how
-- many of p_streams, in their order, are of each company. `asked` is the index of the stream, from 1: a number
-- is read and compared many times faster than an id, and so are the sixteen bytes of one.
CREATE FUNCTION ccontrol.read_facts(
    p_partition int, p_companies uuid[], p_counts int[], p_streams uuid[], p_after int[])
RETURNS TABLE (asked int, version int, topic text, schema_version smallint, event_id bytea, data text)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_first int := 1;
BEGIN
    FOR i IN 1 .. cardinality(p_companies) LOOP
        PERFORM set_config('ccontrol.company', p_companies[i]::text, true);
        RETURN QUERY
            SELECT v_first + s.i::int - 1, e.version, e.topic, e.schema_version, uuid_send(e.event_id), e.data
            FROM unnest(p_streams[v_first : v_first + p_counts[i] - 1],
                        p_after[v_first : v_first + p_counts[i] - 1]) WITH ORDINALITY AS s(stream, after, i)
            CROSS JOIN LATERAL (SELECT e.* FROM ccontrol.events e
                                WHERE e.partition = p_partition AND e.stream_id = s.stream
                                  AND e.version > s.after
                                ORDER BY e.stream_id, e.version) AS e;
        v_first := v_first + p_counts[i];
    END LOOP;
END
$$;

-- The latest snapshot of each stream that has one.
CREATE FUNCTION ccontrol.read_snapshots(p_partition int, p_company uuid, p_streams uuid[])
RETURNS SETOF ccontrol.snapshots LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    RETURN QUERY
        SELECT n.* FROM unnest(p_streams) AS s
        CROSS JOIN LATERAL (SELECT n.* FROM ccontrol.snapshots n
                            WHERE n.partition = p_partition AND n.stream_id = s
                            ORDER BY n.version DESC LIMIT 1) AS n;
END
$$;

-- A newer snapshot in the place of the ones before it.
CREATE FUNCTION ccontrol.keep_snapshot(p_partition int, p_company uuid, p_stream uuid, p_version int,
    p_state_type text, p_state_version int, p_state bytea)
RETURNS void LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    -- Also one of the same version: it may have been of a state class that has changed since.
    DELETE FROM ccontrol.snapshots n
        WHERE n.partition = p_partition AND n.stream_id = p_stream AND n.version <= p_version;
    INSERT INTO ccontrol.snapshots
            (partition, company_id, stream_id, version, state_type, state_version, state)
        VALUES (p_partition, p_company, p_stream, p_version, p_state_type, p_state_version, p_state)
        ON CONFLICT DO NOTHING;
END
$$;

CREATE FUNCTION ccontrol.stream_versions(p_partition int, p_company uuid, p_streams uuid[])
RETURNS TABLE (stream_id uuid, version int) LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    RETURN QUERY
        SELECT s, coalesce((SELECT e.version FROM ccontrol.events e
                            WHERE e.partition = p_partition AND e.stream_id = s
                            ORDER BY e.version DESC LIMIT 1), 0)
        FROM unnest(p_streams) AS s;
END
$$;

CREATE FUNCTION ccontrol.command_records(p_partition int, p_company uuid, p_actor uuid, p_keys text[])
RETURNS SETOF ccontrol.commands LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    RETURN QUERY
        -- Key by key and in their order: the one index that has it finds a key without reading the others.
        SELECT c.* FROM unnest(p_keys) AS k(key)
        CROSS JOIN LATERAL (SELECT c.* FROM ccontrol.commands c
                            WHERE c.partition = p_partition AND c.company_id = p_company AND c.actor_id = p_actor
                              AND c.idempotency_key BETWEEN k.key AND k.key
                            ORDER BY c.idempotency_key LIMIT 1) AS c;
END
$$;

CREATE FUNCTION ccontrol.command_record(p_partition int, p_company uuid, p_command uuid)
RETURNS SETOF ccontrol.commands LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    RETURN QUERY
        SELECT c.* FROM ccontrol.commands c
        WHERE c.partition = p_partition AND c.company_id = p_company AND c.command_id = p_command;
END
$$;

CREATE FUNCTION ccontrol.record_refusal(
    p_partition int, p_company uuid, p_refusal uuid, p_actor_kind text, p_actor uuid, p_on_behalf_of uuid,
    p_command uuid, p_correlation uuid, p_topic text, p_target text, p_code text, p_params text,
    p_channel text)
RETURNS void LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    INSERT INTO ccontrol.refusals (partition, company_id, refusal_id, actor_kind, actor_id, on_behalf_of,
        command_id, correlation_id, topic, target, code, params, channel)
    VALUES (p_partition, p_company, p_refusal, p_actor_kind, p_actor, p_on_behalf_of,
        p_command, p_correlation, p_topic, p_target, p_code, p_params::json, p_channel)
    -- Said again when the answer was lost.
    ON CONFLICT DO NOTHING;
END
$$;

-- The keys of these people, made where there is none. Two processes may offer one at once: the first wins
-- and both get the same. The offers of the other are dropped.
CREATE FUNCTION ccontrol.keep_subject_keys(
    p_partition int, p_company uuid, p_subjects uuid[], p_root int, p_offers bytea[])
RETURNS SETOF ccontrol.subject_keys LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    INSERT INTO ccontrol.subject_keys (partition, company_id, subject_id, root_id, wrapped_key)
        SELECT p_partition, p_company, o.subject, p_root, o.offer
        FROM unnest(p_subjects, p_offers) AS o(subject, offer)
        WHERE NOT EXISTS (SELECT FROM ccontrol.subject_keys k
                          WHERE k.partition = p_partition AND k.company_id = p_company
                            AND k.subject_id = o.subject)
        -- In one order, so that two processes making keys for the same people cannot deadlock.
        ORDER BY o.subject
        ON CONFLICT DO NOTHING;
    RETURN QUERY
        SELECT k.* FROM ccontrol.subject_keys k
        WHERE k.partition = p_partition AND k.company_id = p_company AND k.subject_id = ANY (p_subjects);
END
$$;

CREATE FUNCTION ccontrol.subject_keys_of(p_partition int, p_company uuid, p_subjects uuid[])
RETURNS SETOF ccontrol.subject_keys LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    RETURN QUERY
        SELECT k.* FROM ccontrol.subject_keys k
        WHERE k.partition = p_partition AND k.company_id = p_company AND k.subject_id = ANY (p_subjects);
END
$$;

CREATE FUNCTION ccontrol.destroy_subject_key(p_partition int, p_company uuid, p_subject uuid)
RETURNS boolean LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM set_config('ccontrol.company', p_company::text, true);
    DELETE FROM ccontrol.subject_keys k
        WHERE k.partition = p_partition AND k.company_id = p_company AND k.subject_id = p_subject;
    RETURN FOUND;
END
$$;
