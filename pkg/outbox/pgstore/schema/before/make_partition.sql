-- Makes a partition of outbox.events and answers true, or false when the partition is there or when outbox.events_default
-- has rows of its range: those stay there. number is at least that of the partition in use, and at most 1000 more. For the
-- partition in use and the next one it waits, up to the lock timeout, until no transaction that writes events is open.
create or replace function outbox.make_partition(number bigint) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    size   constant bigint := outbox.partition_size();
    child  text := outbox.partition_name('events', number);
    newest constant bigint := outbox.current_partition();
    strays boolean;
begin
    perform outbox.lock_partitions(true);
    if number not between newest and newest + 1000 then
        raise exception 'make_partition: number must be % to %, is %', newest, newest + 1000, number;
    end if;
    if to_regclass(format('outbox.%I', child)) is not null then
        return false;
    end if;
    -- An insert that was on its way to outbox.events_default would fail when a
    -- partition for its id is attached. So it ends first, and later ones wait.
    if number <= newest + 1 then
        lock table outbox.events in share row exclusive mode;
    end if;
    select exists (
        select from outbox.events_default d
        where d.id >= number * size and d.id < (number + 1) * size) into strays;
    if strays then
        raise notice 'outbox.events_default holds ids from % on, so that % cannot be made', number * size, child;
        return false;
    end if;
    -- Writers would wait for CREATE TABLE ... PARTITION OF, and not for a table
    -- that is attached. The check on the ids lets the partition move to the
    -- archive without being read.
    execute format(
        'create table outbox.%I (like outbox.events including defaults including generated including constraints'
        ' including storage including compression,'
        ' constraint ids_of_this_partition check (id >= %s and id < %s)) with ('
        'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0, '
        'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000, '
        'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000000)',
        child, number * size, (number + 1) * size);
    execute format(
        'alter table outbox.events attach partition outbox.%I for values from (%s) to (%s)',
        child, number * size, (number + 1) * size);
    return true;
end
$$;

select outbox.grant_function('make_partition', '{outbox_janitor}');
