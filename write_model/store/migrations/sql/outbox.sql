-- What must reach somebody outside the database. A row is written in the transaction of what it tells of, so
-- it is there exactly when that is; whoever delivers its kind does so at least once and then notes when.
--
-- kind             payload
-- checkpoint       a signed head, for the relay
-- checkpoint.blob  the same, for the blob store
CREATE TABLE ccontrol.outbox (
    partition  smallint    NOT NULL,
    id         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    company_id uuid        NOT NULL,
    kind       text        NOT NULL,
    payload    json        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at    timestamptz,
    PRIMARY KEY (partition, id)
);
CREATE INDEX outbox_unsent ON ccontrol.outbox (kind, id) WHERE sent_at IS NULL;

ALTER TABLE ccontrol.outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE ccontrol.outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY projector ON ccontrol.outbox TO ccontrol_projector USING (true);
CREATE POLICY sealer ON ccontrol.outbox TO ccontrol_sealer USING (true);
GRANT SELECT, UPDATE (sent_at) ON ccontrol.outbox TO ccontrol_projector;
GRANT SELECT, INSERT, UPDATE (sent_at) ON ccontrol.outbox TO ccontrol_sealer;

-- A chain is signed when a period closes, so that much of an event the sealer sees.
GRANT SELECT (partition, position, company_id, topic) ON ccontrol.events TO ccontrol_sealer;

-- What was signed before there was an outbox is delivered as well.
INSERT INTO ccontrol.outbox (partition, company_id, kind, payload)
    SELECT c.partition, c.company_id, kind, json_build_object(
        'company_id', c.company_id, 'length', c.length, 'hash', encode(c.hash, 'hex'),
        'signed_at', c.signed_at, 'key_id', c.key_id, 'signature', encode(c.signature, 'hex'),
        'public_key', encode(k.public_key, 'hex'))
    FROM ccontrol.checkpoints c JOIN ccontrol.sealing_keys k USING (key_id)
    CROSS JOIN unnest(ARRAY['checkpoint', 'checkpoint.blob']) AS kind
    ORDER BY c.signed_at;
