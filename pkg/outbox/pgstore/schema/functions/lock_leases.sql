-- Makes joining, renewing, leaving and expiring take turns, by a lock until the end
-- of the transaction. Under it they lock rows of outbox.relays, then of
-- outbox.shards, then of outbox.blocked. A settlement locks the row of its relay,
-- then rows of outbox.events, and never takes this lock. So no two of them wait for
-- each other in a circle.
create or replace function outbox.lock_leases() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from outbox.locks l where l.name = 'leases' for update;
    if not found then
        raise exception 'outbox.locks has no row leases: run outbox migrate' using errcode = 'undefined_table';
    end if;
end
$$;

select outbox.grant_function('lock_leases');
