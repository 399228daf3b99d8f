-- History is added to, never changed. Grants already say so; these triggers also stop the owner and, being
-- ENABLE ALWAYS, a session that sets session_replication_role. What goes around both breaks the chain.
-- They fire per statement, so that a statement that would match no row is refused as well.
CREATE FUNCTION ccontrol.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.oid IN ('ccontrol.events'::regclass, 'ccontrol.commands'::regclass,
                        'ccontrol.refusals'::regclass, 'ccontrol.checkpoints'::regclass,
                        'ccontrol.sealing_keys'::regclass, 'ccontrol.store_epoch'::regclass)
           -- A statement that names a partition fires the triggers of that partition only.
           OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ccontrol.events'::regclass)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION ccontrol.refuse_change()', guarded);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', guarded);
    END LOOP;
END
$$;
