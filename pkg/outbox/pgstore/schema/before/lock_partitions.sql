-- Takes the lock under which partitions are changed, until the end of the
-- transaction, and answers whether it has the lock. Without p_wait it answers false
-- at once when another transaction has it.
create or replace function outbox.lock_partitions(p_wait boolean) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    partitions constant integer := 2;
begin
    if not p_wait then
        return pg_try_advisory_xact_lock(outbox.lock_class(), partitions);
    end if;
    perform pg_advisory_xact_lock(outbox.lock_class(), partitions);
    return true;
end
$$;

select outbox.grant_function('lock_partitions');
