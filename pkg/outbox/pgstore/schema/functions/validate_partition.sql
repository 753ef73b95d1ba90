-- Validates the constraint that seal_partition has added, the second of the three steps that archive a
-- partition. It reads the whole partition, under a lock that stops no reader and no writer. It answers done,
-- young when a row breaks the constraint, unsealed when there is no constraint to validate, or busy when another
-- transaction has a lock that it needs.
create or replace function outbox.validate_partition(p_number bigint) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    child text := outbox.partition_name('events', p_number);
begin
    if not outbox.lock_partitions(false) then
        return 'busy';
    end if;
    execute format('alter table outbox.%I validate constraint being_archived', child);
    return 'done';
exception
    when check_violation then
        return 'young';
    when undefined_table or undefined_object then
        return 'unsealed';
    when lock_not_available then
        return 'busy';
end
$$;

select outbox.grant_function('validate_partition', '{outbox_janitor}');
