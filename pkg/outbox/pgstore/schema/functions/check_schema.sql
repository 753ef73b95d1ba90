-- Returns what Go's Store.Check looks at: the number of the newest migration that was applied, a JSON object with the
-- SHA-256 of each function by its name, the isolation level of the session, the cache of the sequence that ids are drawn
-- from, and whether the server is a replica.
create or replace function outbox.check_schema()
returns table (version bigint, functions json, isolation text, cache bigint, replica boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
           (select coalesce(json_object_agg(f.name, f.sha256), '{}')
            from outbox.functions f
            where exists (
                select from pg_proc p
                where p.pronamespace = 'outbox'::regnamespace and p.proname = f.name)),
           current_setting('transaction_isolation'),
           (select s.seqcache from pg_sequence s where s.seqrelid = 'outbox.events_id_seq'::regclass),
           pg_is_in_recovery()
$$;

select outbox.grant_function('check_schema', '{outbox_relay, outbox_redrive, outbox_janitor}');
