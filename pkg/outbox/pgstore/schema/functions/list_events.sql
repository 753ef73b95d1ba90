-- Returns the partitions of outbox.events with the lowest numbers, at most p_limit, in order. closed: no id of it will be
-- drawn any more. archived: the archive has a partition for the range. sealed: it refuses unsent rows. vacant: it has no
-- row. unsent: it has an unsent row. newest is when the row with the highest id was sent, null when that row is
-- unsent or there is no row.
create or replace function outbox.list_events(p_limit integer)
returns table (number bigint, closed boolean, archived boolean, sealed boolean, vacant boolean, unsent boolean, newest timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    current constant bigint := outbox.current_partition();
    child   regclass;
begin
    for child, number in
        select c.oid::regclass, substring(c.relname from '^events_p(\d+)$')::bigint as n
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'outbox.events'::regclass and c.relname ~ '^events_p\d+$'
        order by n
        limit p_limit
    loop
        closed := number < current;
        archived := to_regclass(format('outbox.%I', outbox.partition_name('archive', number))) is not null;
        sealed := exists (select from pg_constraint k where k.conrelid = child and k.conname = 'being_archived');
        -- An empty partition of the future needs no look.
        if number > current then
            vacant := true;
            unsent := false;
            newest := null;
        else
            execute format('select not exists (select from %1$s), exists (select from %1$s where sent_at is null),'
                           ' (select e.sent_at from %1$s e order by e.id desc limit 1)', child)
            into vacant, unsent, newest;
        end if;
        return next;
    end loop;
end
$$;

select outbox.grant_function('list_events', '{outbox_janitor}');
