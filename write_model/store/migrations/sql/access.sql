-- Row level security on every table with a company, forced so that the owner is under it too. The setting
-- is read in a sub-select: evaluated once per statement, not once per row.
DO $$
DECLARE
    own constant text :=
        'company_id = (SELECT NULLIF(current_setting(''ccontrol.company'', true), '''')::uuid)';
    -- A person at the login has no company yet and must see which ones there are to choose from.
    mine constant text :=
        'user_id = (SELECT NULLIF(current_setting(''ccontrol.user'', true), '''')::uuid)';
    unset constant text := '(SELECT NULLIF(current_setting(''ccontrol.company'', true), '''')) IS NULL';
    guarded record;
BEGIN
    FOR guarded IN
        SELECT c.oid::regclass AS name, c.relname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
        WHERE c.relnamespace = 'ccontrol'::regnamespace AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded.name);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', guarded.name);
        -- A partition is only reached through its parent, and no role has a grant on it.
        CONTINUE WHEN guarded.relname LIKE 'events\_p%';
        EXECUTE format('CREATE POLICY app ON %s TO ccontrol_app USING (%s) WITH CHECK (%s)',
                       guarded.name, own, own);
        EXECUTE format('CREATE POLICY store ON %s TO ccontrol_store USING (true)', guarded.name);
        EXECUTE format('CREATE POLICY projector ON %s FOR SELECT TO ccontrol_projector USING (true)',
                       guarded.name);
        EXECUTE format('CREATE POLICY sealer ON %s TO ccontrol_sealer USING (true)', guarded.name);
        EXECUTE format('CREATE POLICY auditor ON %s FOR SELECT TO auditor USING (%s OR %s)',
                       guarded.name, unset, own);
    END LOOP;
    EXECUTE format('CREATE POLICY own_memberships ON ccontrol.memberships FOR SELECT TO ccontrol_app '
                   'USING (%s)', mine);
    EXECUTE format('CREATE POLICY own_companies ON ccontrol.companies_directory FOR SELECT TO ccontrol_app '
                   'USING (company_id IN (SELECT company_id FROM ccontrol.memberships WHERE %s))', mine);
END
$$;

GRANT USAGE ON SCHEMA ccontrol TO ccontrol_store, ccontrol_app, ccontrol_projector, ccontrol_sealer, auditor;

GRANT SELECT, INSERT ON ccontrol.events, ccontrol.commands TO ccontrol_store;
GRANT SELECT, INSERT, UPDATE ON ccontrol.partition_heads, ccontrol.chain_heads TO ccontrol_store;

-- No INSERT on events or commands: the only way in is the append function.
GRANT SELECT ON ccontrol.events, ccontrol.commands, ccontrol.partition_heads, ccontrol.chain_heads,
    ccontrol.checkpoints, ccontrol.sealing_keys, ccontrol.store_epoch TO ccontrol_app;
GRANT SELECT, INSERT ON ccontrol.refusals TO ccontrol_app;
GRANT SELECT, INSERT, DELETE ON ccontrol.subject_keys, ccontrol.snapshots TO ccontrol_app;
GRANT SELECT, INSERT, UPDATE ON ccontrol.users, ccontrol.companies_directory TO ccontrol_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ccontrol.memberships TO ccontrol_app;

GRANT SELECT ON ccontrol.events, ccontrol.partition_heads, ccontrol.chain_heads, ccontrol.store_epoch,
    ccontrol.subject_keys, ccontrol.companies_directory TO ccontrol_projector;

GRANT SELECT ON ccontrol.chain_heads, ccontrol.partition_heads TO ccontrol_sealer;
GRANT SELECT, INSERT ON ccontrol.checkpoints, ccontrol.sealing_keys TO ccontrol_sealer;

GRANT SELECT ON ccontrol.events, ccontrol.commands, ccontrol.refusals, ccontrol.partition_heads,
    ccontrol.chain_heads, ccontrol.checkpoints, ccontrol.sealing_keys, ccontrol.store_epoch TO auditor;

-- Read models are the projectors' own: they create, fill and drop them; the doors only read.
CREATE SCHEMA IF NOT EXISTS read;
GRANT USAGE, CREATE ON SCHEMA read TO ccontrol_projector;
GRANT USAGE ON SCHEMA read TO ccontrol_app, auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE ccontrol_projector IN SCHEMA read
    GRANT SELECT ON TABLES TO ccontrol_app, auditor;
