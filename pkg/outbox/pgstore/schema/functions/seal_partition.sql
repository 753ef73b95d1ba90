-- The first of three steps that archive a partition: it adds a constraint by which a partition that is closed and
-- wholly sent refuses rows that are unsent or were sent at p_before or later. Adding it waits, for 50 ms at
-- most, until no transaction that wrote to the partition is open. It answers:
--   done    go on with validate_partition
--   open    ids of it may still be drawn
--   unsent  it has unsent rows
--   young   its row with the highest id was sent at p_before or later
--   moved   the archive has rows of it already: move the rest
--   gone    it is no partition of outbox.events
--   locked  another transaction uses it
--   busy    another transaction is changing partitions
create or replace function outbox.seal_partition(p_number bigint, p_before timestamptz) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
-- p_before is written into the constraint as text, in a form with the offset from UTC.
set datestyle = 'ISO'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    child  text := outbox.partition_name('events', p_number);
    found  boolean;
    newest timestamptz;
begin
    if not outbox.lock_partitions(false) then
        return 'busy';
    end if;
    if not exists (
        select from pg_inherits i
        where i.inhparent = 'outbox.events'::regclass and i.inhrelid = to_regclass(format('outbox.%I', child))) then
        return 'gone';
    end if;
    if p_number >= outbox.current_partition() then
        return 'open';
    end if;
    if to_regclass(format('outbox.%I', outbox.partition_name('archive', p_number))) is not null then
        return 'moved';
    end if;
    execute format('select exists (select from outbox.%I where sent_at is null)', child) into found;
    if found then
        return 'unsent';
    end if;
    execute format('select e.sent_at from outbox.%I e order by e.id desc limit 1', child) into newest;
    if newest >= p_before then
        return 'young';
    end if;
    begin
        execute format('alter table outbox.%I drop constraint if exists being_archived', child);
        execute format('alter table outbox.%I add constraint being_archived check (sent_at is not null and sent_at < %L) not valid',
            child, p_before);
    exception
        when lock_not_available or deadlock_detected then
            return 'locked';
    end;
    return 'done';
end
$$;

select outbox.grant_function('seal_partition', '{outbox_janitor}');
