-- What grows carries `partition` in its key: the same schema spreads over a distributed PostgreSQL.

CREATE TABLE ccontrol.events (
    partition      smallint    NOT NULL,
    position       bigint      NOT NULL,
    company_id     uuid        NOT NULL,
    stream_id      uuid        NOT NULL,
    version        integer     NOT NULL CHECK (version > 0),
    topic          text        NOT NULL,
    schema_version smallint    NOT NULL CHECK (schema_version > 0),
    event_id       uuid        NOT NULL,
    effective_date date        NOT NULL,
    recorded_at    timestamptz NOT NULL,
    actor_kind     text        NOT NULL,
    actor_id       uuid        NOT NULL,
    on_behalf_of   uuid,
    command_id     uuid        NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    channel        text        NOT NULL,
    reason         text,
    -- Canonical JSON exactly as it was hashed. Not jsonb, which rewrites what it is given.
    data           text        NOT NULL,
    prev_hash      bytea       NOT NULL,
    hash           bytea       NOT NULL,
    PRIMARY KEY (partition, position),
    UNIQUE (partition, stream_id, version)
) PARTITION BY LIST (partition);
CREATE INDEX events_company ON ccontrol.events (partition, company_id, position);

-- The row of a partition is its append lock, held to the commit: positions are dense and in commit order.
CREATE TABLE ccontrol.partition_heads (
    partition   smallint    PRIMARY KEY,
    position    bigint      NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);  -- updated by every append: room for the new versions on the same page

CREATE TABLE ccontrol.chain_heads (
    partition  smallint NOT NULL,
    company_id uuid     NOT NULL,
    length     bigint   NOT NULL,
    hash       bytea    NOT NULL,
    PRIMARY KEY (partition, company_id)
) WITH (fillfactor = 50);

CREATE TABLE ccontrol.commands (
    partition       smallint    NOT NULL,
    company_id      uuid        NOT NULL,
    actor_kind      text        NOT NULL,
    actor_id        uuid        NOT NULL,
    idempotency_key text        NOT NULL,
    body_hash       bytea       NOT NULL,
    command_id      uuid        NOT NULL,
    topic           text        NOT NULL,
    outcome         text        NOT NULL CHECK (outcome IN ('recorded', 'unchanged')),
    answer          json        NOT NULL,
    first_position  bigint,
    last_position   bigint,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (partition, company_id, actor_id, idempotency_key),
    -- The company last: an index that begins like the other one is taken for it by plans made without
    -- statistics, and then read from end to end.
    UNIQUE (partition, command_id, company_id)
);

-- Who asked for what, and why it was refused.
CREATE TABLE ccontrol.refusals (
    partition      smallint    NOT NULL,
    company_id     uuid        NOT NULL,
    refusal_id     uuid        NOT NULL,
    refused_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_kind     text        NOT NULL,
    actor_id       uuid        NOT NULL,
    on_behalf_of   uuid,
    command_id     uuid        NOT NULL,
    correlation_id uuid        NOT NULL,
    topic          text        NOT NULL,
    target         text,
    code           text        NOT NULL,
    params         json        NOT NULL,
    channel        text        NOT NULL,
    PRIMARY KEY (partition, company_id, refusal_id)
);
CREATE INDEX refusals_time ON ccontrol.refusals (partition, company_id, refused_at);

-- A signature under the head of a company's chain as it was then.
CREATE TABLE ccontrol.checkpoints (
    partition  smallint    NOT NULL,
    company_id uuid        NOT NULL,
    length     bigint      NOT NULL,
    hash       bytea       NOT NULL,
    signed_at  timestamptz NOT NULL,
    key_id     text        NOT NULL,
    signature  bytea       NOT NULL,
    PRIMARY KEY (partition, company_id, length, key_id)
);

-- Public halves only, old ones for ever: a signature must stay verifiable.
CREATE TABLE ccontrol.sealing_keys (
    key_id       text        PRIMARY KEY,
    public_key   bytea       NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The one table whose rows are destroyed: without its key what is stored about a person is noise. Numbers
-- are never given twice, so a ciphertext can tell its own destroyed key from a later one of the same person.
CREATE TABLE ccontrol.subject_keys (
    partition   smallint    NOT NULL,
    company_id  uuid        NOT NULL,
    subject_id  uuid        NOT NULL,
    key_number  bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    root_id     integer     NOT NULL,
    wrapped_key bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, company_id, subject_id)
);

-- Folded states of long streams: disposable, and ignored when the state class has another version.
CREATE TABLE ccontrol.snapshots (
    partition     smallint    NOT NULL,
    company_id    uuid        NOT NULL,
    stream_id     uuid        NOT NULL,
    version       integer     NOT NULL,
    state_type    text        NOT NULL,
    state_version integer     NOT NULL,
    state         bytea       NOT NULL,
    taken_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, stream_id, version)
);

-- Bumped by a restore: a token of the time before it must not be mistaken for one of the time after.
CREATE TABLE ccontrol.store_epoch (
    epoch      integer     PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason     text        NOT NULL
);
INSERT INTO ccontrol.store_epoch (epoch, reason) VALUES (1, 'created');

-- Which partition a company belongs to. The same arithmetic stands in write_model/store/partitions.py.
CREATE FUNCTION ccontrol.partition_of(company uuid, partitions bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (('x' || encode(substr(sha256(uuid_send(company)), 1, 4), 'hex'))::bit(32)::bigint
        % partitions)::smallint;
