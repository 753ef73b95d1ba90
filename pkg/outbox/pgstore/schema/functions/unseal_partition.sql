-- Takes the seal of seal_partition off a partition, so that it takes unsent rows again. It answers done, also
-- when there is no seal or no such partition, or locked when another transaction has a lock that it needs.
create or replace function outbox.unseal_partition(p_number bigint) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
    if not outbox.lock_partitions(false) then
        return 'locked';
    end if;
    execute format('alter table if exists outbox.%I drop constraint if exists being_archived', outbox.partition_name('events', p_number));
    return 'done';
exception
    when lock_not_available or deadlock_detected then
        return 'locked';
end
$$;

select outbox.grant_function('unseal_partition', '{outbox_janitor}');
