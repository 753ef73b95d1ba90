-- Archives a partition that seal_partition and validate_partition have prepared, in one transaction: it leaves
-- outbox.events and becomes one of outbox.archive. No row is read: the validated constraints prove what the
-- archive asks for, and the archive refuses what they do not prove. While this waits for its lock on
-- outbox.events, every later transaction waits behind it. Therefore it gives up when a transaction that uses
-- the table is still there after 20 ms, and would hardly end within the 50 ms of the lock_timeout.
--
-- outcome is done, locked (another transaction uses outbox.events), busy (another transaction is changing partitions),
-- unsealed (no validated constraint) or gone (no such partition). seconds is how long writers and relays were kept out.
create or replace function outbox.archive_partition(p_number bigint) returns table (outcome text, seconds double precision)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    child   text := outbox.partition_name('events', p_number);
    resting text := outbox.partition_name('archive', p_number);
    before  text[];
    began   timestamptz;
    index   record;
begin
    seconds := 0;
    outcome := 'busy';
    if not outbox.lock_partitions(false) then
        return next;
        return;
    end if;
    outcome := 'gone';
    if to_regclass(format('outbox.%I', child)) is null then
        return next;
        return;
    end if;
    outcome := 'locked';
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
        -- A transaction that has a lock on these now got it without one on
        -- outbox.events, and is not waited for.
        execute format('lock table only outbox.%I, outbox.events_default, outbox.archive_default in access exclusive mode nowait', child);
        if not exists (
            select from pg_constraint k
            where k.conrelid = format('outbox.%I', child)::regclass and k.conname = 'being_archived' and k.convalidated) then
            outcome := 'unsealed';
            return next;
            return;
        end if;
        execute format('alter table outbox.events detach partition outbox.%I', child);
        execute format('alter table outbox.%I alter sent_at set not null', child);
        execute format('alter table outbox.%I drop constraint being_archived', child);
        execute format('alter table outbox.%I rename to %I', child, resting);
        for index in
            select c.relname as name, x.indpred is not null as partial
            from pg_index x join pg_class c on c.oid = x.indexrelid
            where x.indrelid = format('outbox.%I', resting)::regclass
        loop
            if index.partial then
                execute format('drop index outbox.%I', index.name);
            else
                execute format('alter index outbox.%I rename to %I', index.name, replace(index.name, child, resting));
            end if;
        end loop;
        execute format('alter table outbox.archive attach partition outbox.%I for values from (%s) to (%s)',
            resting, p_number * outbox.partition_size(), (p_number + 1) * outbox.partition_size());
        outcome := 'done';
    exception
        when lock_not_available or deadlock_detected then
            outcome := 'locked';
    end;
    seconds := extract(epoch from clock_timestamp() - began);
    return next;
end
$$;

select outbox.grant_function('archive_partition', '{outbox_janitor}');
