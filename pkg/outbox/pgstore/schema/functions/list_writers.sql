-- Returns the virtual ids of the transactions that can write events now: those with the lock on outbox.events that a
-- write takes before it draws its first id. A prepared transaction has a name that begins with -1/.
create or replace function outbox.list_writers() returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select l.virtualtransaction
    from pg_locks l
    where l.locktype = 'relation'
      and l.mode = 'RowExclusiveLock'
      and l.granted
      and l.relation = 'outbox.events'::regclass
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
    order by 1;
end
$$;

select outbox.grant_function('list_writers', '{outbox_relay}');
