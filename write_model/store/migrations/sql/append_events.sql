-- The append: a batch of decided commands of one partition, all of it or nothing, in one round trip.
--
-- Columns come as parallel arrays (one array of composites costs several times as much to send and unpack):
-- h_ the companies of the batch, once each; c_ the commands; e_ the events in order; x_ the streams that were
-- read, with the version that was seen. By index from 1 a command names its company, its first and its last
-- event; an event names its command and the expectation that says which stream it follows on.
--
-- `taken` and `moved` are the indexes of commands whose idempotency key is recorded already and of
-- expectations that no longer hold. When either is not null nothing was changed, and the caller takes the
-- submissions concerned out and sends the rest again.
--
-- It runs as ccontrol_store, the only role that may insert events. There is no NOTIFY in here: it would hold
-- a lock of the whole database through the commit's flush. Whoever appended notifies afterwards.
CREATE FUNCTION ccontrol.append_events(
    p_partition int,
    h_company uuid[],
    c_company int[], c_actor_kind text[], c_actor uuid[], c_on_behalf_of uuid[], c_key text[],
    c_body_hash bytea[], c_command uuid[], c_correlation uuid[], c_causation uuid[], c_topic text[],
    c_channel text[], c_reason text[], c_effective_date date[], c_answer text[], c_first int[], c_last int[],
    e_command int[], e_expectation int[], e_version int[], e_topic text[], e_schema_version int[],
    e_id uuid[], e_data text[],
    x_stream uuid[], x_version int[],
    OUT taken int[], OUT moved int[], OUT head bigint, OUT appended_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off  -- compiling a plan took longer than everything else in here
-- Plans are kept for the life of a connection, and may have been made while the tables were empty, when
-- reading them whole looked cheap. Everything here is found by key.
SET enable_seqscan = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_head_at timestamptz;
    v_length bigint[];
    v_hash bytea[];
    v_version int[] := x_version;
    v_company int;
    v_expected int;
    v_before text;
    v_about text;
    v_time text;
    v_previous_hashes bytea[];
    v_hashes bytea[];
BEGIN
    -- What a column lacks would be read as null, and nobody would notice.
    IF (cardinality(c_company) = ALL (ARRAY[
            cardinality(c_actor_kind), cardinality(c_actor), cardinality(c_on_behalf_of), cardinality(c_key),
            cardinality(c_body_hash), cardinality(c_command), cardinality(c_correlation),
            cardinality(c_causation), cardinality(c_topic), cardinality(c_channel), cardinality(c_reason),
            cardinality(c_effective_date), cardinality(c_answer), cardinality(c_first), cardinality(c_last)])
        AND cardinality(e_command) = ALL (ARRAY[
            cardinality(e_expectation), cardinality(e_version), cardinality(e_topic),
            cardinality(e_schema_version), cardinality(e_id), cardinality(e_data)])
        AND cardinality(x_stream) = cardinality(x_version)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the columns of an append differ in length'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- 1. The lock, held to the commit.
    SELECT h.position, h.recorded_at INTO head, v_head_at
        FROM ccontrol.partition_heads h WHERE h.partition = p_partition FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no partition %', p_partition;
    END IF;

    -- 2. Keys that are recorded already, streams that have moved since they were read, and where each company's
    --    chain stands. An order of keys and versions is asked for because only the right index has it: without
    --    statistics a plan may otherwise read everything of the company by another one.
    SELECT (SELECT array_agg(q.i::int)
            FROM unnest(c_company, c_actor, c_key) WITH ORDINALITY AS q(company, actor, key, i)
            WHERE (SELECT true FROM ccontrol.commands k
                   WHERE k.partition = p_partition AND k.company_id = h_company[q.company]
                     AND k.actor_id = q.actor AND k.idempotency_key BETWEEN q.key AND q.key
                   ORDER BY k.idempotency_key LIMIT 1)),
           (SELECT array_agg(x.i::int)
            FROM unnest(x_stream, x_version) WITH ORDINALITY AS x(stream, version, i)
            WHERE x.version <> coalesce((SELECT e.version FROM ccontrol.events e
                                         WHERE e.partition = p_partition AND e.stream_id = x.stream
                                         ORDER BY e.version DESC LIMIT 1), 0)),
           (SELECT array_agg((SELECT h.length FROM ccontrol.chain_heads h
                              WHERE h.partition = p_partition AND h.company_id = c.id))
            FROM unnest(h_company) AS c(id)),
           (SELECT array_agg((SELECT h.hash FROM ccontrol.chain_heads h
                              WHERE h.partition = p_partition AND h.company_id = c.id))
            FROM unnest(h_company) AS c(id))
        INTO taken, moved, v_length, v_hash;
    IF taken IS NOT NULL OR moved IS NOT NULL THEN
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(h_company) LOOP
        IF v_length[i] IS NULL THEN
            IF p_partition <> ccontrol.partition_of(
                   h_company[i], (SELECT count(*) FROM ccontrol.partition_heads)) THEN
                RAISE EXCEPTION 'company % does not belong to partition %', h_company[i], p_partition
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
            v_length[i] := 0;
            v_hash[i] := decode(repeat('00', 32), 'hex');
        END IF;
    END LOOP;

    -- 3. The chain, and that versions follow on. Each column is written as its length in bytes, a colon, itself
    --    and a comma; a null as `-,`: nothing in the data can imitate a border. write_model/store/canonical.py
    --    writes the same.
    appended_at := greatest(clock_timestamp(), v_head_at);
    v_time := ',27:' || to_char(appended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ',';
    FOR c IN 1 .. cardinality(c_company) LOOP
        CONTINUE WHEN c_first[c] IS NULL;
        v_company := c_company[c];
        v_before := concat(',36:', h_company[v_company], ',36:');
        v_about := concat(
            ',10:', to_char(c_effective_date[c], 'YYYY-MM-DD'), v_time,
            octet_length(c_actor_kind[c]), ':', c_actor_kind[c], ',36:', c_actor[c],
            coalesce(',36:' || c_on_behalf_of[c] || ',36:', ',-,36:'), c_command[c], ',36:', c_correlation[c],
            coalesce(',36:' || c_causation[c] || ',', ',-,'), octet_length(c_channel[c]), ':', c_channel[c],
            coalesce(',' || octet_length(c_reason[c]) || ':' || c_reason[c] || ',', ',-,'));
        FOR i IN c_first[c] .. c_last[c] LOOP
            v_expected := e_expectation[i];
            v_version[v_expected] := v_version[v_expected] + 1;
            IF e_version[i] IS DISTINCT FROM v_version[v_expected] OR e_command[i] <> c THEN
                RAISE EXCEPTION 'the versions of stream % do not follow on from the expected one',
                    x_stream[v_expected] USING ERRCODE = 'invalid_parameter_value';
            END IF;
            v_previous_hashes[i] := v_hash[v_company];
            v_hash[v_company] := sha256('\x00'::bytea || v_hash[v_company] || convert_to(concat(
                length(p_partition::text), ':', p_partition, ',', length((head + i)::text), ':', head + i,
                v_before, x_stream[v_expected], ',', length(e_version[i]::text), ':', e_version[i],
                ',', octet_length(e_topic[i]), ':', e_topic[i],
                ',', length(e_schema_version[i]::text), ':', e_schema_version[i], ',36:', e_id[i],
                v_about, octet_length(e_data[i]), ':', e_data[i], ','), 'UTF8'));
            v_hashes[i] := v_hash[v_company];
            v_length[v_company] := v_length[v_company] + 1;
        END LOOP;
    END LOOP;

    -- 4. Events, commands, heads.
    INSERT INTO ccontrol.events
        SELECT p_partition, head + i, h_company[c_company[c]], x_stream[e_expectation[i]], e_version[i],
               e_topic[i], e_schema_version[i], e_id[i], c_effective_date[c], appended_at,
               c_actor_kind[c], c_actor[c], c_on_behalf_of[c], c_command[c], c_correlation[c], c_causation[c],
               c_channel[c], c_reason[c], e_data[i], v_previous_hashes[i], v_hashes[i]
        FROM generate_series(1, cardinality(e_command)) AS i, LATERAL (SELECT e_command[i]) AS e(c);
    INSERT INTO ccontrol.commands
        SELECT p_partition, h_company[c_company[c]], c_actor_kind[c], c_actor[c], c_key[c], c_body_hash[c],
               c_command[c], c_topic[c], CASE WHEN c_first[c] IS NULL THEN 'unchanged' ELSE 'recorded' END,
               c_answer[c]::json, head + c_first[c], head + c_last[c], appended_at
        FROM generate_series(1, cardinality(c_command)) AS c;
    INSERT INTO ccontrol.chain_heads AS h (partition, company_id, length, hash)
        SELECT p_partition, n.company, n.length, n.hash
        FROM unnest(h_company, v_length, v_hash) AS n(company, length, hash)
        WHERE n.length > 0
        ON CONFLICT (partition, company_id) DO UPDATE SET length = excluded.length, hash = excluded.hash;
    UPDATE ccontrol.partition_heads h
        SET position = append_events.head + cardinality(e_command), recorded_at = append_events.appended_at
        WHERE h.partition = p_partition;
END
$$;

-- Owned by the role that may insert; that role may create nothing, except for this moment.
GRANT CREATE ON SCHEMA ccontrol TO ccontrol_store;
ALTER FUNCTION ccontrol.append_events OWNER TO ccontrol_store;
REVOKE CREATE ON SCHEMA ccontrol FROM ccontrol_store;
REVOKE ALL ON FUNCTION ccontrol.append_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ccontrol.append_events TO ccontrol_app;
