-- Moves rows that were sent before p_before to the archive, from the id p_from on, of one partition or, where
-- p_number is null, of outbox.events_default. It looks at p_limit rows. next is the id to go on from, null when
-- there are no more or when all that it looked at were written since p_before. Rows that another transaction
-- has locked stay, and all unsent rows: relays and settlements look for them in outbox.events. A row stays too, and
-- counts in kept, while the archive has another event of its id, as after a failover that lost commits. outcome is
-- done, also when there is no such partition, locked (another transaction uses the archive) or busy (another transaction
-- is changing partitions).
create or replace function outbox.move_sent(p_number bigint, p_from bigint, p_before timestamptz, p_limit integer)
returns table (outcome text, moved bigint, kept bigint, next bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
as $$
declare
    size   constant bigint := outbox.partition_size();
    source regclass := to_regclass(format('outbox.%I', coalesce(outbox.partition_name('events', p_number), 'events_default')));
    number bigint := p_number;
    found  boolean;
    looked bigint;
    last   bigint;
    young  boolean;
    columns  text;
    excluded text;
begin
    moved := 0;
    kept := 0;
    outcome := 'busy';
    if not outbox.lock_partitions(false) then
        return next;
        return;
    end if;
    outcome := 'done';
    if source is null or p_before > clock_timestamp() then
        return next;
        return;
    end if;
    if number is null then
        execute format('select e.id / $2 from %s e where e.id >= $1 order by e.id limit 1', source)
        into number using p_from, size;
    end if;
    -- A partition that nothing was moved from can go to the archive as a whole.
    execute format('select coalesce(bool_or(s.sent_at < $3), false) from ('
                   'select e.sent_at from %s e where e.id >= $1 and e.id < $2 order by e.id limit $4) as s', source)
    into found using greatest(p_from, number * size), (number + 1) * size, p_before, p_limit;
    if found then
        begin
            perform outbox.make_archive(number);
        exception
            when lock_not_available or deadlock_detected then
                outcome := 'locked';
                return next;
                return;
        end;
    end if;
    select string_agg(format('%I', a.attname), ', ' order by a.attnum), string_agg(format('excluded.%I', a.attname), ', ' order by a.attnum)
    into columns, excluded
    from pg_attribute a
    where a.attrelid = 'outbox.archive'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    execute format($move$
        with seen as materialized (
            select e.id, e.created_at >= $3 as young
            from %1$s e
            where e.id >= $1 and e.id < $2
            order by e.id
            limit $4
        ), picked as materialized (
            select e.id, exists (select from outbox.archive a where a.id = e.id and a.event_id <> e.event_id) as taken
            from %1$s e
            where e.id in (select s.id from seen s) and e.sent_at < $3
            for update skip locked
        ), gone as (
            delete from %1$s e
            where e.id in (select p.id from picked p where not p.taken) and e.sent_at is not null
            returning e.*
        ), added as (
            insert into outbox.archive (%2$s)
            select %2$s from gone
            -- A row that came back from the archive to be sent again is there twice.
            on conflict (id) do update set (%2$s) = row (%3$s)
            returning 1
        )
        select (select count(*) from added), (select count(*) from picked p where p.taken),
               count(*), max(s.id), coalesce(bool_and(s.young), false)
        from seen s
    $move$, source, columns, excluded)
    into moved, kept, looked, last, young
    using greatest(p_from, number * size), (number + 1) * size, p_before, p_limit;
    next := case
        when young then null
        when looked = p_limit then last + 1
        when p_number is null and looked > 0 then (number + 1) * size
    end;
    return next;
end
$$;

select outbox.grant_function('move_sent', '{outbox_janitor}');
