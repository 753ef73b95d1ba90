select (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
       (select coalesce(json_object_agg(f.name, f.sha256), '{}')::text
        from outbox.functions f
        where exists (
            select from pg_catalog.pg_proc p
            where p.pronamespace = 'outbox'::regnamespace and p.proname = f.name)),
       current_setting('transaction_isolation'),
       (select s.seqcache from pg_catalog.pg_sequence s where s.seqrelid = 'outbox.events_id_seq'::regclass),
       pg_is_in_recovery()
