-- Returns the partitions of the archive with the lowest numbers, at most p_limit, in order. closed: all ids of it were
-- drawn, and outbox.events has no partition for them; rows are then only added by move_sent from outbox.events_default.
-- oldest and newest are when the rows with the lowest and the highest id were sent, null when there is no row. rows is
-- an estimate, bytes the size with indexes.
create or replace function outbox.list_archive(p_limit integer)
returns table (number bigint, closed boolean, oldest timestamptz, newest timestamptz, rows bigint, bytes bigint)
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
    for child, number, rows, bytes in
        select c.oid::regclass, substring(c.relname from '^archive_p(\d+)$')::bigint as n,
               greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'outbox.archive'::regclass and c.relname ~ '^archive_p\d+$'
        order by n
        limit p_limit
    loop
        closed := number < current and to_regclass(format('outbox.%I', outbox.partition_name('events', number))) is null;
        execute format('select (select a.sent_at from %1$s a order by a.id limit 1),'
                       ' (select a.sent_at from %1$s a order by a.id desc limit 1)', child)
        into oldest, newest;
        return next;
    end loop;
end
$$;

select outbox.grant_function('list_archive', '{outbox_janitor}');
