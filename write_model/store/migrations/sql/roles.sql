-- Roles are shared by all databases of the server, and databases are migrated side by side, so each role is
-- created if it is missing and losing that race is no error. None can log in: a process logs in as itself,
-- is a member, and starts its session with `role=...`. None bypasses row level security.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'ccontrol_store',      -- owns the append function and does nothing else
        'ccontrol_app',        -- the doors: reads one company at a time, writes through the append function
        'ccontrol_projector',  -- reads every event, writes read models
        'ccontrol_sealer',     -- signs chain heads
        'auditor'              -- reads the trail, changes nothing
    ] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- A superuser is a member of everything; for others, so that this login can act as the role.
        IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
END
$$;
