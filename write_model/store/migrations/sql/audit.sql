-- The trail for people with SQL. Read-only by nature, and each reader sees what row level security allows
-- that reader: the views run with the rights of whoever asks.
CREATE SCHEMA audit;

CREATE VIEW audit.events WITH (security_invoker = true) AS
SELECT partition, position, company_id, stream_id, version, event_id, topic, schema_version, effective_date,
       recorded_at, actor_kind, actor_id, command_id, correlation_id, causation_id, reason,
       data::jsonb AS data, prev_hash, hash, on_behalf_of, channel
FROM ccontrol.events;

-- One row per line of every journal entry, straight from the events: what a report is checked against.
CREATE VIEW audit.postings WITH (security_invoker = true) AS
SELECT e.company_id, e.partition, e.position, e.event_id,
       (e.data::jsonb ->> 'entry_id')::uuid AS entry_id,
       e.effective_date,
       line ->> 'account_code' AS account_code,
       line ->> 'account_name' AS account_name,
       line ->> 'side' AS side,
       (line #>> '{amount,minor}')::bigint AS amount_minor,
       line #>> '{amount,currency}' AS currency
FROM ccontrol.events e
CROSS JOIN LATERAL jsonb_array_elements(e.data::jsonb -> 'lines') AS line
WHERE e.topic = 'ledger.journal_entry_posted';

CREATE VIEW audit.checkpoints WITH (security_invoker = true) AS
SELECT c.partition, c.company_id, c.length, c.hash, c.signed_at, c.key_id, c.signature, k.public_key
FROM ccontrol.checkpoints c
LEFT JOIN ccontrol.sealing_keys k USING (key_id);

CREATE VIEW audit.refusals WITH (security_invoker = true) AS
SELECT partition, company_id, refusal_id, refused_at, actor_kind, actor_id, on_behalf_of, command_id,
       correlation_id, topic, target, code, params, channel
FROM ccontrol.refusals;

GRANT USAGE ON SCHEMA audit TO auditor, ccontrol_app;
GRANT SELECT ON audit.events, audit.postings, audit.checkpoints, audit.refusals TO auditor, ccontrol_app;
