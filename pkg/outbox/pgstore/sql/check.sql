select (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
       current_setting('transaction_isolation'),
       (select s.seqcache from pg_catalog.pg_sequence s where s.seqrelid = 'outbox.events_id_seq'::regclass),
       pg_is_in_recovery()
