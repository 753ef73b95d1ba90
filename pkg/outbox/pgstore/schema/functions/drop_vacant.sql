-- Drops a partition of outbox.events that has no rows. outcome is done, open (its ids may still be drawn), full (it has
-- rows), gone (no such partition), locked (another transaction uses outbox.events, or the look for rows took over 50 ms)
-- or busy (another transaction is changing partitions). seconds is how long writers and relays were kept out.
create or replace function outbox.drop_vacant(p_number bigint) returns table (outcome text, seconds double precision)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    child  text := outbox.partition_name('events', p_number);
    began  timestamptz := clock_timestamp();
    before text[];
    found  boolean;
begin
    seconds := 0;
    outcome := case
        when not outbox.lock_partitions(false) then 'busy'
        when to_regclass(format('outbox.%I', child)) is null then 'gone'
        when p_number >= outbox.current_partition() then 'open'
        else 'locked'
    end;
    if outcome = 'locked' then
        execute format('select exists (select from outbox.%I)', child) into found;
        if found then
            outcome := 'full';
        end if;
    end if;
    -- Where this took long, it read rows that vacuum has not removed yet, and the
    -- look under the lock would take as long.
    if outcome <> 'locked' or clock_timestamp() - began > interval '50 ms' then
        return next;
        return;
    end if;
    before := outbox.lock_holders();
    if before <> '{}' then
        perform pg_sleep(0.02);
        if before && outbox.lock_holders() then
            return next;
            return;
        end if;
    end if;
    began := clock_timestamp();
    begin
        lock table only outbox.events in access exclusive mode;
        execute format('lock table only outbox.%I, outbox.events_default in access exclusive mode nowait', child);
        execute format('select exists (select from outbox.%I)', child) into found;
        outcome := 'full';
        if not found then
            execute format('drop table outbox.%I', child);
            outcome := 'done';
        end if;
    exception
        when lock_not_available or deadlock_detected then
            outcome := 'locked';
    end;
    seconds := extract(epoch from clock_timestamp() - began);
    return next;
end
$$;

select outbox.grant_function('drop_vacant', '{outbox_janitor}');
