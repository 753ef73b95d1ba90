-- Returns the virtual ids of all other transactions that have a lock of any mode on outbox.events: an access exclusive lock
-- would wait for each of them.
create or replace function outbox.lock_holders() returns text[]
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select l.virtualtransaction
        from pg_locks l
        where l.locktype = 'relation' and l.relation = 'outbox.events'::regclass and l.granted
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.virtualtransaction <> (
              select v.virtualtransaction from pg_locks v where v.pid = pg_backend_pid() limit 1))
$$;

select outbox.grant_function('lock_holders');
