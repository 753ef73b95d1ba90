-- Takes the lock under which partitions are changed, until the end of the
-- transaction, and answers whether it has the lock. Without p_wait it answers false
-- at once when another transaction has it.
create or replace function outbox.lock_partitions(p_wait boolean) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_wait then
        perform from outbox.locks l where l.name = 'partitions' for update;
        if not found then
            raise exception 'outbox.locks has no row partitions: run outbox migrate' using errcode = 'undefined_table';
        end if;
    else
        perform from outbox.locks l where l.name = 'partitions' for update skip locked;
    end if;
    return found;
end
$$;

select outbox.grant_function('lock_partitions');
