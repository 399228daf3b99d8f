-- The append: a batch of decided commands of one partition, all of it or nothing, in one round trip.
--
-- Columns come as parallel arrays (one array of composites costs several times as much to send and unpack):
-- h_ the companies of the batch, once each; c_ the commands; e_ the events in order; x_ the versions that
-- were read. A command names its company, and an event its command, by index from 1.
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
    e_command int[], e_stream uuid[], e_version int[], e_topic text[], e_schema_version int[], e_id uuid[],
    e_data text[],
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
    v_bad uuid;
    v_length bigint[];
    v_hash bytea[];
    v_prefix text;
    v_time text;
    v_command_part text[];
    v_company int;
    v_previous_hashes bytea[];
    v_hashes bytea[];
    v_last bytea;
    v_count bigint;
BEGIN
    -- 1. The lock, held to the commit.
    SELECT h.position, h.recorded_at INTO head, v_head_at
        FROM ccontrol.partition_heads h WHERE h.partition = p_partition FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no partition %', p_partition;
    END IF;

    -- 2. Keys that are recorded already.
    SELECT array_agg(q.i::int) INTO taken
        FROM unnest(c_company, c_actor, c_key) WITH ORDINALITY AS q(company, actor, key, i)
        WHERE (SELECT true FROM ccontrol.commands k
               WHERE k.partition = p_partition AND k.company_id = h_company[q.company]
                 AND k.actor_id = q.actor AND k.idempotency_key = q.key LIMIT 1);

    -- 3. Streams that have moved since they were read.
    SELECT array_agg(x.i::int) INTO moved
        FROM unnest(x_stream, x_version) WITH ORDINALITY AS x(stream, version, i)
        WHERE x.version <> coalesce((SELECT e.version FROM ccontrol.events e
                                     WHERE e.partition = p_partition AND e.stream_id = x.stream
                                     ORDER BY e.version DESC LIMIT 1), 0);
    IF taken IS NOT NULL OR moved IS NOT NULL THEN
        RETURN;
    END IF;

    -- 4. Every written stream was expected, and its new versions follow on in the order of the batch.
    SELECT w.stream INTO v_bad
        FROM (SELECT e.stream, e.version - row_number() OVER (PARTITION BY e.stream ORDER BY e.i) AS base
              FROM unnest(e_stream, e_version) WITH ORDINALITY AS e(stream, version, i)) w
        LEFT JOIN unnest(x_stream, x_version) AS x(stream, version) ON x.stream = w.stream
        WHERE x.version IS DISTINCT FROM w.base
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the versions of stream % do not follow on from the expected one', v_bad
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- 5. Where each company's chain stands.
    FOR i IN 1 .. cardinality(h_company) LOOP
        SELECT h.length, h.hash INTO v_count, v_last FROM ccontrol.chain_heads h
            WHERE h.partition = p_partition AND h.company_id = h_company[i];
        v_length[i] := coalesce(v_count, 0);
        v_hash[i] := coalesce(v_last, decode(repeat('00', 32), 'hex'));
        IF v_count IS NULL AND p_partition <> ccontrol.partition_of(
               h_company[i], (SELECT count(*) FROM ccontrol.partition_heads)) THEN
            RAISE EXCEPTION 'company % does not belong to partition %', h_company[i], p_partition
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;

    -- 6. The chain. Each column is written as its length in bytes, a colon, itself and a comma; a null as
    --    `-,`: nothing in the data can imitate a border. write_model/store/canonical.py writes the same.
    appended_at := greatest(clock_timestamp(), v_head_at);
    v_time := to_char(appended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    v_prefix := length(p_partition::text) || ':' || p_partition || ',';
    SELECT array_agg(
               octet_length(c.actor_kind) || ':' || c.actor_kind || ',36:' || c.actor || ','
               || coalesce('36:' || c.on_behalf_of || ',', '-,')
               || '36:' || c.command || ',36:' || c.correlation || ','
               || coalesce('36:' || c.causation || ',', '-,')
               || octet_length(c.channel) || ':' || c.channel || ','
               || coalesce(octet_length(c.reason) || ':' || c.reason || ',', '-,')
               ORDER BY c.i)
        INTO v_command_part
        FROM unnest(c_actor_kind, c_actor, c_on_behalf_of, c_command, c_correlation, c_causation, c_channel,
                    c_reason)
            WITH ORDINALITY
            AS c(actor_kind, actor, on_behalf_of, command, correlation, causation, channel, reason, i);
    FOR i IN 1 .. cardinality(e_command) LOOP
        v_company := c_company[e_command[i]];
        v_last := v_hash[v_company];
        v_previous_hashes[i] := v_last;
        v_last := sha256('\x00'::bytea || v_last || convert_to(
            v_prefix
            || length((head + i)::text) || ':' || (head + i)
            || ',36:' || h_company[v_company] || ',36:' || e_stream[i]
            || ',' || length(e_version[i]::text) || ':' || e_version[i]
            || ',' || octet_length(e_topic[i]) || ':' || e_topic[i]
            || ',' || length(e_schema_version[i]::text) || ':' || e_schema_version[i]
            || ',36:' || e_id[i]
            || ',10:' || to_char(c_effective_date[e_command[i]], 'YYYY-MM-DD')
            || ',27:' || v_time || ','
            || v_command_part[e_command[i]]
            || octet_length(e_data[i]) || ':' || e_data[i] || ',', 'UTF8'));
        v_hashes[i] := v_last;
        v_hash[v_company] := v_last;
        v_length[v_company] := v_length[v_company] + 1;
    END LOOP;

    -- 7. Events, commands, heads.
    INSERT INTO ccontrol.events
        SELECT p_partition, head + e.i, h_company[c_company[e.command]], e.stream, e.version, e.topic,
               e.schema_version, e.id, c_effective_date[e.command], appended_at, c_actor_kind[e.command],
               c_actor[e.command], c_on_behalf_of[e.command], c_command[e.command],
               c_correlation[e.command], c_causation[e.command], c_channel[e.command], c_reason[e.command],
               e.data, e.previous_hash, e.hash
        FROM unnest(e_command, e_stream, e_version, e_topic, e_schema_version, e_id, e_data,
                    v_previous_hashes, v_hashes)
            WITH ORDINALITY
            AS e(command, stream, version, topic, schema_version, id, data, previous_hash, hash, i);
    INSERT INTO ccontrol.commands
        SELECT p_partition, h_company[c.company], c.actor_kind, c.actor, c.key, c.body_hash, c.command,
               c.topic, CASE WHEN c.first IS NULL THEN 'unchanged' ELSE 'recorded' END, c.answer::json,
               head + c.first, head + c.last, appended_at
        FROM unnest(c_company, c_actor_kind, c_actor, c_key, c_body_hash, c_command, c_topic, c_answer,
                    c_first, c_last)
            AS c(company, actor_kind, actor, key, body_hash, command, topic, answer, first, last);
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
