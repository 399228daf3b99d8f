-- Who may come in, and the companies there are. Ordinary tables: they change.

CREATE TABLE ccontrol.users (
    user_id           uuid        PRIMARY KEY,
    email             text        NOT NULL UNIQUE CHECK (email = lower(email)),
    password_hash     text        NOT NULL,
    display_name      text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at       timestamptz,
    -- Tokens issued before this moment are void: logout everywhere, changed password, changed role.
    tokens_valid_from timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE ccontrol.memberships (
    company_id uuid   NOT NULL,
    user_id    uuid   NOT NULL REFERENCES ccontrol.users,
    roles      text[] NOT NULL,
    PRIMARY KEY (company_id, user_id)
);
CREATE INDEX memberships_user ON ccontrol.memberships (user_id);

CREATE TABLE ccontrol.companies_directory (
    company_id      uuid        PRIMARY KEY,
    partition       smallint    NOT NULL REFERENCES ccontrol.partition_heads,
    name            text        NOT NULL,
    tax_fingerprint text,
    time_zone       text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    suspended_at    timestamptz
);
